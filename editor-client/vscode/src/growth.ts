/**
 * When a growing suggestion is worth a redraw.
 *
 * The first complete line goes out at once, then more complete lines from time to time, and then the
 * whole: a text that changes with every token is not readable. A text that is on the screen already, because the user types along, is
 * never replaced by a shorter start of itself.
 */

/** A first line that takes longer is shown as far as it is written. */
export const FIRST_LINE_MS = 400;

/** Between the first state and the next. */
export const BETWEEN_MS = 400;

/** How many states go out before the whole suggestion. */
export const MOST_PARTS = 4;

export class Growth {
  private given = '';
  private parts = 0;
  private readonly started: number;
  private last: number;

  /**
   * @param onScreen What the editor shows here already.
   * @param now A clock in milliseconds.
   */
  constructor(
    private readonly onScreen: string,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.started = this.last = now();
  }

  /** What was given to the editor last; empty: nothing yet. */
  get text(): string {
    return this.given;
  }

  /** What to show now that the suggestion has grown to this; undefined: nothing new. */
  grown(text: string): string | undefined {
    const state = this.parts === 0 ? this.first(text) : this.next(text);
    if (state === undefined || state.length <= this.given.length || this.isShort(state)) {
      return undefined;
    }
    this.parts += 1;
    return this.give(state);
  }

  /** What to show now that the suggestion is complete; undefined: it is shown already. */
  finished(text: string): string | undefined {
    return this.parts > 0 && text === this.given ? undefined : this.give(text);
  }

  private first(text: string): string | undefined {
    const lines = completeLines(text);
    return lines === '' && this.now() - this.started >= FIRST_LINE_MS ? text : lines || undefined;
  }

  private next(text: string): string | undefined {
    const isDue = this.parts < MOST_PARTS && this.now() - this.last >= BETWEEN_MS;
    return isDue ? completeLines(text) : undefined;
  }

  private isShort(state: string): boolean {
    return state.length < this.onScreen.length && this.onScreen.startsWith(state);
  }

  private give(state: string): string {
    this.given = state;
    this.last = this.now();
    return state;
  }
}

/** The text up to its last line end, without it; empty if no line with anything on it is complete. */
export function completeLines(text: string): string {
  const lines = text.slice(0, Math.max(0, text.lastIndexOf('\n'))).replace(/\r$/, '');
  return lines.trim() === '' ? '' : lines;
}
