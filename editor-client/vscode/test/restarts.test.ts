import { describe, expect, it } from 'vitest';

import { MOST_ENDS, OneAtATime, RestartBudget, WINDOW_MS } from '../src/restarts';

describe('the budget of restarts', () => {
  it('waits twice as long each time, then gives up and says why', () => {
    const budget = new RestartBudget(() => 0);
    const verdicts = Array.from({ length: MOST_ENDS + 1 }, () => budget.ended());
    const delays = verdicts.map((verdict) => (verdict.again ? verdict.delayMs : verdict.reason));
    expect(delays).toEqual([250, 500, 1000, 2000, 'the server ended 5 times within 3 minutes']);
  });

  it('forgets ends that are long ago', () => {
    let now = 0;
    const budget = new RestartBudget(() => now);
    for (let end = 0; end < 3 * MOST_ENDS; end += 1) {
      now += WINDOW_MS;
      expect(budget.ended()).toEqual({ again: true, delayMs: 250 });
    }
  });

  it('starts anew when the user asks', () => {
    const budget = new RestartBudget(() => 0);
    Array.from({ length: MOST_ENDS + 1 }, () => budget.ended());
    budget.forgive();
    expect(budget.ended()).toEqual({ again: true, delayMs: 250 });
  });
});

describe('tasks one at a time', () => {
  it('never overlap', async () => {
    const turns = new OneAtATime();
    const seen: string[] = [];
    const task = (name: string) => async (): Promise<void> => {
      seen.push(`${name} begins`);
      await Promise.resolve();
      seen.push(`${name} ends`);
    };
    const first = turns.run(task('first'));
    await Promise.resolve();
    await Promise.all([first, turns.run(task('second'))]);
    expect(seen).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  });

  it('are shared by all who ask before one begins', async () => {
    const turns = new OneAtATime();
    let runs = 0;
    const task = (): Promise<void> => {
      runs += 1;
      return Promise.resolve();
    };
    await Promise.all([turns.run(task), turns.run(task), turns.run(task)]);
    expect(runs).toBe(1);
  });

  it('go on after one that failed', async () => {
    const turns = new OneAtATime();
    await expect(turns.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(turns.run(() => Promise.resolve())).resolves.toBeUndefined();
  });
});
