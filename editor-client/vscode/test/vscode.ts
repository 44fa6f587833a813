/**
 * What of the editor's API the tested modules need, without an editor: plain values that a test may set.
 */

export class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}

export class Range {
  readonly start: Position;
  readonly end: Position;

  constructor(...[startLine, startCharacter, endLine, endCharacter]: [number, number, number, number]) {
    this.start = new Position(startLine, startCharacter);
    this.end = new Position(endLine, endCharacter);
  }

  get isEmpty(): boolean {
    return this.start.line === this.end.line && this.start.character === this.end.character;
  }
}

export class TabInputText {
  constructor(readonly uri: unknown) {}
}

export const StatusBarAlignment = { Left: 1, Right: 2 } as const;

/** The items of the status bar. */
export const items: { tooltip?: string; show(): void }[] = [];

/** What warnings have said. */
export const said: string[] = [];

type Run = () => unknown;
const registered = new Map<string, Run>();

export const commands = {
  registerCommand(name: string, run: Run): { dispose(): void } {
    registered.set(name, run);
    return { dispose: () => void registered.delete(name) };
  },
  executeCommand: (name: string): Promise<unknown> => Promise.resolve(registered.get(name)?.()),
};

type Listener = () => void;
const seen: Listener[] = [];

export const window = {
  activeTextEditor: undefined as unknown,
  visibleTextEditors: [] as unknown[],
  createStatusBarItem(): object {
    const item = { show: () => undefined };
    items.push(item);
    return item;
  },
  showWarningMessage: (message: string) => void said.push(message),
  tabGroups: { all: [] as { tabs: { input: unknown }[] }[] },
  onDidChangeVisibleTextEditors(listener: Listener): { dispose(): void } {
    seen.push(listener);
    return { dispose: () => void seen.splice(seen.indexOf(listener), 1) };
  },
};

/** Shows documents, as the editor does when the user goes to them. */
export function show(...documents: unknown[]): void {
  window.visibleTextEditors = documents.map((document) => ({ document }));
  seen.forEach((listener) => {
    listener();
  });
}

/** The user's settings of the extension. */
export const settings = new Map<string, unknown>();

export const workspace = {
  isTrusted: true,
  workspaceFolders: [] as { uri: { scheme: string; fsPath: string } }[],
  getConfiguration: () => ({
    get: (name: string, standard: unknown) => settings.get(name) ?? standard,
  }),
};

export const extensions = { getExtension: (): unknown => undefined };
