/**
 * Where a suggestion is asked for.
 */

import * as vscode from 'vscode';

import type { Item } from './protocol';

/** A place of one version of a document. */
export interface Place {
  readonly document: vscode.TextDocument;
  readonly position: vscode.Position;
  /** Document, version and position. */
  readonly key: string;
  /** The suggest widget's text; empty: it is closed. */
  readonly selected: string;
}

/** The place of an editor's cursor. */
export function placeOf(editor: vscode.TextEditor): Place {
  return placeAt(editor.document, editor.selection.active);
}

/** Whether the cursor is at a place, and the document as it was. */
export function isAt(place: Place): boolean {
  const editor = vscode.window.activeTextEditor;
  return editor !== undefined && placeOf(editor).key === place.key;
}

/** A place in a document; `selected` is the suggest widget's text. */
export function placeAt(document: vscode.TextDocument, position: vscode.Position, selected = ''): Place {
  const { line, character } = position;
  const key = [document.uri.toString(), document.version, line, character].join(' ');
  return { document, position, key, selected };
}

/** Whether an answer for the one is an answer for the other. */
export function isSame(one: Place, other: Place): boolean {
  return one.key === other.key && one.selected === other.selected;
}

/** Where an item goes, as the editor has it. */
export function rangeOf({ range: { start, end } }: Item): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}
