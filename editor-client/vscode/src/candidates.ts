/**
 * The panel with candidates: a read-only document in the language's colours, "Accept" above each.
 */

import * as vscode from 'vscode';

import { sheetOf } from './candidateSheet';
import type { Documents } from './documents';
import { placeOf, rangeOf, type Place } from './place';
import type { Item } from './protocol';
import type { Server } from './server';

const NAME = 'candidates';

/** What the panel shows now. */
interface Shown {
  readonly place: Place;
  readonly items: readonly Item[];
  readonly starts: readonly number[];
}

export class CandidatesPanel implements vscode.CodeLensProvider, vscode.Disposable {
  private shown: Shown | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly registration: vscode.Disposable;
  readonly onDidChangeCodeLenses = this.changed.event;

  constructor(
    private readonly documents: Documents,
    private readonly server: Server,
  ) {
    const selector = { scheme: 'midfill', pattern: `/${NAME}` };
    this.registration = vscode.languages.registerCodeLensProvider(selector, this);
  }

  dispose(): void {
    vscode.Disposable.from(this.registration, this.changed).dispose();
  }

  provideCodeLenses(): vscode.CodeLens[] {
    return (this.shown?.starts ?? []).map((line, index) => {
      const title = `Accept candidate ${String(index + 1)}`;
      const command = { title, command: 'midfill.acceptCandidate', arguments: [index] };
      return new vscode.CodeLens(new vscode.Range(line, 0, line, 0), command);
    });
  }

  /** Asks for candidates at the cursor and shows them. */
  async show(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const client = this.server.running;
    if (editor === undefined || client === undefined) {
      void vscode.window.showInformationMessage('midfill: there is no editor or no server to ask.');
      return;
    }
    const place = placeOf(editor);
    const items = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: 'midfill writes', cancellable: true },
      (_, token) => client.candidates(place, token),
    );
    if (items.length === 0) {
      void vscode.window.showInformationMessage('midfill: the model has nothing to add here.');
      return;
    }
    const { document, position } = place;
    const before = document.lineAt(position.line).text.slice(0, position.character);
    const { text, starts } = sheetOf(
      before,
      items.map(({ insertText }) => insertText),
    );
    this.shown = { place, items, starts };
    await this.documents.showCode(NAME, text, document.languageId);
    this.changed.fire();
  }

  /** Inserts a candidate where it was asked for, unless the document has changed since. */
  async accept(index: number): Promise<Item | undefined> {
    const item = this.shown?.items[index];
    const place = this.shown?.place;
    if (item === undefined || place === undefined) {
      return undefined;
    }
    const visible = vscode.window.visibleTextEditors.find((each) => each.document === place.document);
    const editor = await vscode.window.showTextDocument(place.document, visible?.viewColumn);
    if (placeOf(editor).key !== place.key) {
      void vscode.window.showInformationMessage('midfill: the document or the cursor has moved on.');
      return undefined;
    }
    await editor.edit((edit) => {
      edit.replace(rangeOf(item), item.insertText);
    });
    return item;
  }
}
