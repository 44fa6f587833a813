import { beforeEach, describe, expect, it } from 'vitest';

import { ShownSuggestion } from '../src/shown';

const URI = 'file:///a.py';

describe('a shown suggestion', () => {
  let shown: ShownSuggestion;

  beforeEach(() => {
    shown = new ShownSuggestion();
    shown.show({ uri: URI, version: 1, offset: 10, text: 'abc(d)', itemId: '7' });
  });

  it('is there at its place only', () => {
    expect(shown.restAt(URI, 1, 10)).toBe('abc(d)');
    expect(shown.restAt(URI, 1, 11)).toBe('');
    expect(shown.restAt(URI, 2, 10)).toBe('');
    expect(shown.restAt('file:///b.py', 1, 10)).toBe('');
  });

  it('keeps its rest and its id while it is typed', () => {
    shown.edited(URI, 2, [{ rangeOffset: 10, rangeLength: 0, text: 'ab' }]);
    expect(shown.restAt(URI, 2, 12)).toBe('c(d)');
    expect(shown.current?.itemId).toBe('7');
    expect(shown.lastStep).toBe(2);
  });

  it('is gone when all of it is in the document', () => {
    shown.edited(URI, 2, [{ rangeOffset: 10, rangeLength: 0, text: 'abc(d)' }]);
    expect(shown.current).toBeUndefined();
    expect(shown.lastStep).toBe(6);
  });

  it.each([
    ['other text', { rangeOffset: 10, rangeLength: 0, text: 'x' }],
    ['an edit elsewhere', { rangeOffset: 3, rangeLength: 0, text: 'a' }],
    ['a replacement', { rangeOffset: 10, rangeLength: 1, text: 'a' }],
  ])('is gone after %s', (_, change) => {
    shown.edited(URI, 2, [change]);
    expect(shown.current).toBeUndefined();
    expect(shown.lastStep).toBe(0);
  });

  it('is gone after several edits at once', () => {
    const change = { rangeOffset: 10, rangeLength: 0, text: 'a' };
    shown.edited(URI, 2, [change, { ...change, rangeOffset: 30 }]);
    expect(shown.current).toBeUndefined();
  });

  it('stays when another document changes, and when nothing of the text does', () => {
    shown.edited('file:///b.py', 5, [{ rangeOffset: 0, rangeLength: 0, text: 'x' }]);
    shown.edited(URI, 1, []);
    expect(shown.restAt(URI, 1, 10)).toBe('abc(d)');
  });

  it('is none if it is empty', () => {
    shown.show({ uri: URI, version: 1, offset: 10, text: '', itemId: '8' });
    expect(shown.current).toBeUndefined();
  });

  it('is returned when it is cleared', () => {
    expect(shown.clear()?.itemId).toBe('7');
    expect(shown.clear()).toBeUndefined();
  });

  it('is remembered by its id when it is gone, or when nothing came after it', () => {
    shown.clear();
    shown.show({ uri: URI, version: 2, offset: 16, text: '', itemId: '8' });
    expect(shown.lastId).toBe('7');
  });
});
