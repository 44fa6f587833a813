/**
 * What the menu behind the status bar offers.
 */

import { costLine } from './pages';
import type { CompletionStats, Status } from './protocol';
import type { Process } from './statusText';

/** One line of the menu. */
export interface Entry {
  /** With VS Code's icons. */
  readonly label: string;
  readonly description?: string;
  /** Without the prefix `midfill.`. */
  readonly command: string;
}

/** What the menu depends on. */
export interface MenuState {
  readonly process: Process;
  readonly status: Status | undefined;
  readonly last: CompletionStats | null | undefined;
  /** Why suggestions are off here, if they are. */
  readonly off: string | undefined;
  readonly languageId: string | undefined;
}

/** The entries, what is needed most at the top. */
export function menuEntries(state: MenuState): Entry[] {
  return [...problems(state), ...about(state), ...switches(state), ...service()];
}

function problems({ process, status }: MenuState): Entry[] {
  if (process.kind === 'missing') {
    return [{ label: '$(tools) Set up the server', command: 'setUpServer' }];
  }
  if (process.kind === 'running' && status?.state === 'error') {
    const label = '$(cloud-download) Download the model';
    return [{ label, description: status.message, command: 'pullModel' }];
  }
  return [];
}

function about({ status, last }: MenuState): Entry[] {
  const model = status?.model ?? 'no model yet';
  return [
    { label: '$(question) Explain the last suggestion', description: model, command: 'explain' },
    {
      label: '$(graph) Statistics',
      ...(last && { description: costLine(last) }),
      command: 'showStats',
    },
    { label: '$(list-unordered) Candidates in a panel', command: 'showCandidates' },
  ];
}

function switches({ off, languageId }: MenuState): Entry[] {
  const language = languageId && [
    { label: `$(code) On or off for ${languageId}`, command: 'toggleLanguage' },
    { label: '$(file) On or off for this file', command: 'toggleFile' },
  ];
  return [
    {
      label: '$(circle-slash) On or off everywhere',
      description: off === undefined ? 'on' : off,
      command: 'toggle',
    },
    ...(language || []),
    { label: '$(bell-slash) Snooze', command: 'snooze' },
  ];
}

function service(): Entry[] {
  return [
    { label: '$(pulse) Doctor: what is there, what is missing', command: 'doctor' },
    { label: '$(output) Logs', command: 'showLogs' },
    { label: '$(debug-restart) Restart the server', command: 'restartServer' },
    { label: '$(gear) Settings', command: 'openSettings' },
  ];
}
