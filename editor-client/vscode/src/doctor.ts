/**
 * The page "doctor": what is there, what is missing, and what helps; as Markdown.
 */

import type { Command, Examined } from './discovery';
import { bullets, code, sections, table } from './markdown';
import type { Status } from './protocol';
import type { Options } from './serverSettings';
import { statusLine, type Process } from './statusText';

/** What the page is made from. */
export interface Findings {
  /** Names of programs and their versions. */
  readonly versions: Readonly<Record<string, string>>;
  readonly isTrusted: boolean;
  readonly process: Process;
  readonly status: Status | undefined;
  /** Why suggestions are off here, if they are. */
  readonly off: string | undefined;
  /** The command of the setting, which goes before all places. */
  readonly configured: Command | undefined;
  readonly places: readonly Examined[];
  readonly settings: Options;
}

/** The findings, the advice first. */
export function doctorPage(findings: Findings): string {
  const { process, status, off, versions, configured, settings, isTrusted } = findings;
  const command = configured && [configured.command, ...configured.args].join(' ');
  return sections(
    ['# Does midfill have what it needs?', advice(findings)],
    ['## Now', bullets({ State: code(statusLine(process, status, off).tooltip), ...coded(versions) })],
    ['## Where a server is looked for', table(['place', 'Python', 'midfill'], findings.places.map(row))],
    ['', command === undefined ? '`midfill.server.command` is not set.' : `Instead, as set: ${code(command)}`],
    ['', isTrusted ? 'The workspace is trusted.' : 'The workspace is not trusted: its Pythons are left out.'],
    ['## Settings that are not the default', code(JSON.stringify(settings))],
  );
}

/** What to do next. */
function advice({ process, status, off }: Findings): string {
  switch (process.kind) {
    case 'missing':
      return 'No server was found: run **midfill: Set Up the Server**.';
    case 'stopped':
      return 'The server does not run: see **midfill: Show Logs**, then run **midfill: Restart the Server**.';
    case 'looking':
    case 'starting':
      return 'The server is starting. Run this again in a moment.';
    case 'running':
      return running(status, off);
  }
}

function running(status: Status | undefined, off: string | undefined): string {
  if (status?.state === 'error') {
    return `The model does not run: ${code(status.message)} **midfill: Download the Model** gets one that is missing.`;
  }
  return off === undefined ? 'Nothing is wrong.' : `Suggestions are ${off}: click midfill in the status bar.`;
}

function coded(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, code(value)]));
}

function row({ origin, python, version }: Examined): string[] {
  return [origin, code(python), version ?? 'no'];
}
