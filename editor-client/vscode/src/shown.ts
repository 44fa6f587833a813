/**
 * What is on the screen: the last suggestion that the editor was given, followed through edits.
 *
 * While the user types it or accepts it by parts, the rest of it stays shown; any other edit ends it.
 */

/** A suggestion at a place of one version of a document. */
export interface Shown {
  readonly uri: string;
  readonly version: number;
  /** Of the cursor, in UTF-16 units. */
  readonly offset: number;
  /** What is still to come at the cursor. */
  readonly text: string;
  readonly itemId: string | undefined;
}

/** One edit, as VS Code reports it. */
export interface Change {
  readonly rangeOffset: number;
  readonly rangeLength: number;
  readonly text: string;
}

export class ShownSuggestion {
  private shown: Shown | undefined;
  private step = 0;
  private last: string | undefined;

  /** What is shown now. */
  get current(): Shown | undefined {
    return this.shown;
  }

  /** The id of what was shown last, though it may be gone. */
  get lastId(): string | undefined {
    return this.last;
  }

  /** How many characters the last edit took from the suggestion. */
  get lastStep(): number {
    return this.step;
  }

  /** The editor was given this. */
  show(shown: Shown): void {
    this.shown = shown.text === '' ? undefined : shown;
    this.last = this.shown?.itemId ?? this.last;
    this.step = 0;
  }

  /** It is gone; returns what was there. */
  clear(): Shown | undefined {
    const shown = this.shown;
    this.shown = undefined;
    return shown;
  }

  /** The rest that the editor shows at this place of this version; empty: nothing. */
  restAt(uri: string, version: number, offset: number): string {
    const shown = this.shown;
    const isHere = shown?.uri === uri && shown.version === version && shown.offset === offset;
    return isHere ? shown.text : '';
  }

  /** A document changed to this version. */
  edited(uri: string, version: number, changes: readonly Change[]): void {
    const shown = this.shown;
    if (shown?.uri !== uri || changes.length === 0) {
      return;
    }
    const typed = typedText(shown, changes);
    this.step = typed?.length ?? 0;
    this.shown = typed === undefined ? undefined : advanced(shown, version, typed);
  }
}

/** What of the suggestion the edit inserted; undefined: it did something else. */
function typedText(shown: Shown, changes: readonly Change[]): string | undefined {
  const [change] = changes;
  if (changes.length !== 1 || change === undefined) {
    return undefined;
  }
  const isHere = change.rangeOffset === shown.offset && change.rangeLength === 0;
  return isHere && shown.text.startsWith(change.text) ? change.text : undefined;
}

function advanced(shown: Shown, version: number, typed: string): Shown | undefined {
  const text = shown.text.slice(typed.length);
  return text === '' ? undefined : { ...shown, version, offset: shown.offset + typed.length, text };
}
