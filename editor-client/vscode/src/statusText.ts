/**
 * What the status bar says.
 */

import type { Status } from './protocol';

/** What is known of the server's process. */
export type Process =
  | { readonly kind: 'looking' }
  | { readonly kind: 'starting'; readonly origin: string }
  | { readonly kind: 'running'; readonly origin: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'stopped'; readonly reason: string };

/** A line for the status bar and its tooltip. */
export interface Line {
  /** With VS Code's icons, `$(name)`. */
  readonly text: string;
  readonly tooltip: string;
  readonly isError: boolean;
}

/**
 * The line for a state of everything.
 *
 * @param off Why suggestions are off in the active document, if they are.
 */
export function statusLine(
  process: Process,
  status: Status | undefined,
  off: string | undefined,
): Line {
  switch (process.kind) {
    case 'looking':
      return line('$(sync~spin) midfill', 'Looking for the server');
    case 'starting':
      return line('$(sync~spin) midfill', `Starting the server: ${process.origin}`);
    case 'missing':
      return line('$(error) midfill', 'No server found: click to set it up', true);
    case 'stopped':
      return line('$(error) midfill', process.reason, true);
    case 'running':
      return running(status, off);
  }
}

function running(status: Status | undefined, off: string | undefined): Line {
  if (status?.state === 'error') {
    return line('$(error) midfill', status.message, true);
  }
  if (off !== undefined) {
    return line('$(circle-slash) midfill', `Suggestions are ${off}`);
  }
  switch (status?.state) {
    case 'loading':
      return line(`$(loading~spin) midfill ${percent(status)}`, loading(status));
    case 'ready':
      return line('$(sparkle) midfill', `${status.model} is ready`);
    case 'thinking':
      return line('$(sparkle-filled) midfill', `${status.model} is writing`);
    case 'off':
    case undefined:
      return line('$(circle-outline) midfill', 'No model is loaded yet');
  }
}

function percent(status: Status): string {
  return `${String(Math.round(100 * (status.progress ?? 0)))} %`;
}

function loading(status: Status): string {
  const phase = status.message === '' ? '' : `: ${status.message}`;
  return `Loading ${status.model}${phase} (${percent(status)})`;
}

function line(text: string, tooltip: string, isError = false): Line {
  return { text, tooltip, isError };
}
