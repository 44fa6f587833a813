/**
 * Starting again: one at a time when the user asks, and not for ever when the server keeps ending.
 */

/** How many unexpected ends within the window are followed by a start. */
export const MOST_ENDS = 4;
export const WINDOW_MS = 180_000;
const FIRST_DELAY_MS = 250;

/** What to do after the server has ended by itself. */
export type Verdict =
  | { readonly again: true; readonly delayMs: number }
  | { readonly again: false; readonly reason: string };

/** Bounds restarts: each within the window waits twice as long as the one before. */
export class RestartBudget {
  private ends: number[] = [];

  /** @param now A clock in milliseconds. */
  constructor(private readonly now: () => number = () => Date.now()) {}

  /** The server has ended. */
  ended(): Verdict {
    const now = this.now();
    this.ends = [...this.ends.filter((end) => now - end < WINDOW_MS), now];
    const count = this.ends.length;
    if (count > MOST_ENDS) {
      const reason = `the server ended ${String(count)} times within ${String(WINDOW_MS / 60_000)} minutes`;
      return { again: false, reason };
    }
    return { again: true, delayMs: FIRST_DELAY_MS * 2 ** (count - 1) };
  }

  /** The user asked for a start: what was before does not count. */
  forgive(): void {
    this.ends = [];
  }
}

/** Runs one task at a time; of those asked for meanwhile, one more, which all of the askers share. */
export class OneAtATime {
  private tail: Promise<void> = Promise.resolve();
  private waiting: Promise<void> | undefined;

  /** Settles when a run that began after this call has ended; rejects if that one failed. */
  run(task: () => Promise<void>): Promise<void> {
    if (this.waiting !== undefined) {
      return this.waiting;
    }
    const turn = this.tail.then(() => {
      this.waiting = undefined;
      return task();
    });
    this.waiting = turn;
    this.tail = turn.catch(() => undefined);
    return turn;
  }
}
