import { describe, expect, it } from 'vitest';

import { BETWEEN_MS, FIRST_LINE_MS, Growth, MOST_PARTS, completeLines } from '../src/growth';

/** A clock that the test turns. */
function clock(): { now: number } {
  return { now: 0 };
}

function growing(onScreen = ''): { growth: Growth; time: { now: number } } {
  const time = clock();
  return { growth: new Growth(onScreen, () => time.now), time };
}

describe('a growing suggestion', () => {
  it('is shown when its first line is complete', () => {
    const { growth } = growing();
    expect(growth.grown('def f')).toBeUndefined();
    expect(growth.grown('def f():\n')).toBe('def f():');
    expect(growth.text).toBe('def f():');
  });

  it('is shown as far as it is written when the first line takes long', () => {
    const { growth, time } = growing();
    expect(growth.grown('a long')).toBeUndefined();
    time.now = FIRST_LINE_MS;
    expect(growth.grown('a long line')).toBe('a long line');
  });

  it('grows by complete lines, and not more often than the eye wants', () => {
    const { growth, time } = growing();
    growth.grown('one\n');
    time.now = BETWEEN_MS - 1;
    expect(growth.grown('one\ntwo\nthr')).toBeUndefined();
    time.now = BETWEEN_MS;
    expect(growth.grown('one\ntwo\nthr')).toBe('one\ntwo');
  });

  it('is shown in few states before the whole', () => {
    const { growth, time } = growing();
    const states = Array.from({ length: 2 * MOST_PARTS }, (_, count) => {
      time.now += BETWEEN_MS;
      return growth.grown('line\n'.repeat(count + 1));
    });
    expect(states.filter((state) => state !== undefined)).toHaveLength(MOST_PARTS);
    expect(growth.finished('line\n'.repeat(9) + 'end')).toBe('line\n'.repeat(9) + 'end');
  });

  it('never replaces what is on the screen by a shorter start of it', () => {
    const { growth } = growing('one\ntwo');
    expect(growth.grown('one\n')).toBeUndefined();
    expect(growth.grown('one\ntwo\nthree\n')).toBe('one\ntwo\nthree');
  });

  it('replaces what is on the screen if it says something else', () => {
    expect(growing('one\ntwo').growth.grown('uno\n')).toBe('uno');
  });
});

describe('a complete suggestion', () => {
  it('is not shown twice', () => {
    const { growth } = growing();
    growth.grown('one\n');
    expect(growth.finished('one')).toBeUndefined();
  });

  it('is shown, empty too, when nothing was before', () => {
    expect(growing().growth.finished('')).toBe('');
  });
});

describe('complete lines', () => {
  it.each([
    ['', ''],
    ['half', ''],
    ['\n', ''],
    ['\n  \n', ''],
    ['\nfirst\n', '\nfirst'],
    ['first\r\nsecond\r\nhalf', 'first\r\nsecond'],
  ])('of %j are %j', (text, lines) => {
    expect(completeLines(text)).toBe(lines);
  });
});
