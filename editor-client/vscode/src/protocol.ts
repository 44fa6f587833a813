/**
 * What the server says beyond LSP, as in docs/protocol.md; nothing here imports the editor.
 */

/** A place in a document; the encoding is UTF-16, which VS Code's client always takes. */
export interface Position {
  readonly line: number;
  readonly character: number;
}

export interface Range {
  readonly start: Position;
  readonly end: Position;
}

/** One suggestion; `itemId` stays the same while it grows and while the user types it. */
export interface Item {
  readonly insertText: string;
  readonly range: Range;
  readonly itemId?: string;
}

/** The reply to textDocument/inlineCompletion and midfill/candidates; null: no answer. */
export type Reply = { readonly items: readonly Item[] } | null;

/** One state of a growing suggestion; each text starts with the one before. */
export interface Part {
  readonly sequence: number;
  readonly documentVersion: number;
  readonly items: readonly Item[];
}

export type ServerState = 'off' | 'loading' | 'ready' | 'thinking' | 'error';

export interface Status {
  readonly state: ServerState;
  /** The phase of loading, or what is wrong and what to do. */
  readonly message: string;
  readonly model: string;
  /** From 0 to 1 while loading. */
  readonly progress: number | null;
}

/** What a completion cost; times in milliseconds. */
export interface CompletionStats {
  readonly finishReason: string;
  readonly order: string;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly prefilledTokens: number;
  readonly generatedTokens: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly meanLogprob: number | null;
}

/** Counters of a session; servers may send more of them than these. */
export interface Stats {
  readonly [counter: string]: number | CompletionStats | null | undefined;
  readonly last?: CompletionStats | null;
}

/** A part of another file that the model was given to read. */
export interface ContextPiece {
  readonly path: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly characters: number;
  readonly score: number;
  readonly reasons: readonly string[];
  /** Whether the prompt had room for it. */
  readonly fitted: boolean;
}

/** How a suggestion came about. */
export interface Explanation {
  readonly itemId: string;
  readonly text: string;
  readonly source: string;
  readonly model: string;
  readonly dialect: string;
  readonly device: string;
  readonly dtype: string;
  readonly path: string | null;
  readonly line: number;
  readonly scope: string;
  readonly temperature: number;
  readonly context: readonly ContextPiece[];
  /** What the model wrote and was not shown. */
  readonly cut: string;
  readonly stats: CompletionStats | null;
  readonly contextMs: number;
  readonly report: string;
}

export type AcceptedKind = 'full' | 'word' | 'line';

export interface CandidatesParams {
  readonly textDocument: { readonly uri: string };
  readonly position: Position;
  readonly count: number;
}

/** What the user took of a suggestion. */
export interface Accepted {
  readonly itemId: string;
  readonly kind: AcceptedKind;
  /** In UTF-16 units. */
  readonly acceptedLength: number;
}
