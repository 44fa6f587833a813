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

  constructor(...ends: [number, number, number, number] | [Position, Position]) {
    const [startLine, startCharacter, endLine, endCharacter] = ends;
    this.start = startLine instanceof Position ? startLine : new Position(startLine, startCharacter as number);
    this.end = startLine instanceof Position ? (startCharacter as Position) : new Position(endLine ?? 0, endCharacter ?? 0);
  }

  get isEmpty(): boolean {
    return this.start.line === this.end.line && this.start.character === this.end.character;
  }
}

export class InlineCompletionItem {
  constructor(readonly insertText: string) {}
}

export const InlineCompletionTriggerKind = { Invoke: 0, Automatic: 1 } as const;

export const Disposable = { from: (): { dispose(): void } => ({ dispose: () => undefined }) };

export class CancellationTokenSource {
  readonly token = {};
  cancel = (): void => undefined;
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
  onDidChangeTextEditorSelection: Disposable.from,
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
  onDidChangeTextDocument: Disposable.from,
  workspaceFolders: [] as { uri: { scheme: string; fsPath: string } }[],
  getConfiguration: () => ({
    get: (name: string, standard: unknown) => settings.get(name) ?? standard,
  }),
};

export const languages = { registerInlineCompletionItemProvider: Disposable.from };

export const extensions = { getExtension: (): unknown => undefined };
