import { afterEach, describe, expect, it } from 'vitest';
import type { Position, TextDocument } from 'vscode';

import { isAt, isSame, placeAt, placeOf, rangeOf } from '../src/place';
import * as editor from './vscode';

function documentOf(version: number, uri = 'file:///a.py'): TextDocument {
  return { uri: { toString: () => uri }, version } as unknown as TextDocument;
}

function at(line: number, character: number): Position {
  return new editor.Position(line, character) as unknown as Position;
}

describe('a place', () => {
  afterEach(() => {
    editor.window.activeTextEditor = undefined;
  });

  it('is the same in the same version, at the same position, with the same suggest widget', () => {
    const place = placeAt(documentOf(1), at(2, 3));
    expect(isSame(place, placeAt(documentOf(1), at(2, 3)))).toBe(true);
  });

  it.each([
    ['another document', placeAt(documentOf(1, 'file:///b.py'), at(2, 3))],
    ['another version', placeAt(documentOf(2), at(2, 3))],
    ['another line', placeAt(documentOf(1), at(1, 3))],
    ['another column', placeAt(documentOf(1), at(2, 4))],
    ['another word in the suggest widget', placeAt(documentOf(1), at(2, 3), 'word')],
  ])('is not that of %s', (_, other) => {
    expect(isSame(placeAt(documentOf(1), at(2, 3)), other)).toBe(false);
  });

  it('is where the cursor is only in the active editor, in that version', () => {
    const place = placeAt(documentOf(1), at(2, 3));
    expect(isAt(place)).toBe(false);
    const active = { document: documentOf(1), selection: { active: at(2, 3) } };
    editor.window.activeTextEditor = active;
    expect(isAt(place)).toBe(true);
    expect(placeOf(active as never).key).toBe(place.key);
    editor.window.activeTextEditor = { ...active, document: documentOf(2) };
    expect(isAt(place)).toBe(false);
  });

  it("has an item's range as the editor writes it", () => {
    const range = { start: { line: 1, character: 2 }, end: { line: 3, character: 4 } };
    expect(rangeOf({ insertText: '', range })).toEqual(new editor.Range(1, 2, 3, 4));
  });
});
