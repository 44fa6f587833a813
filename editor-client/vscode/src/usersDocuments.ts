/**
 * Which documents the server hears of: those that the user has open.
 *
 * Other extensions open documents too, only to read them, and nobody sees those. The server would take
 * each for a file that the user works with, and give it to the model to read.
 */

import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';

/** Documents with another scheme are never opened only to be read. */
const OF_FILES = ['file', 'vscode-remote', 'vscode-vfs'];

type Open = (document: vscode.TextDocument) => Promise<void>;

export class UsersDocuments implements vscode.Disposable {
  /** Those that wait for somebody to see them, and how to open them then. */
  private readonly held = new Map<vscode.TextDocument, Open>();
  private readonly subscription = vscode.window.onDidChangeVisibleTextEditors(() => {
    this.release();
  });

  /** What the client calls instead of telling the server. */
  readonly middleware: Middleware = {
    didOpen: (document, next) => {
      if (isUsers(document)) {
        return next(document);
      }
      this.held.set(document, next);
      return Promise.resolve();
    },
    didChange: (event, next) => (this.held.has(event.document) ? Promise.resolve() : next(event)),
    didSave: (document, next) => (this.held.has(document) ? Promise.resolve() : next(document)),
    didClose: (document, next) => (this.held.delete(document) ? Promise.resolve() : next(document)),
  };

  dispose(): void {
    this.subscription.dispose();
    this.held.clear();
  }

  /** Opens, as they are now, those that the user sees by now. */
  release(): void {
    for (const [document, open] of this.held) {
      if (isUsers(document)) {
        this.held.delete(document);
        void open(document);
      }
    }
  }
}

function isUsers(document: vscode.TextDocument): boolean {
  const { uri } = document;
  if (!OF_FILES.includes(uri.scheme)) {
    return true;
  }
  const isVisible = vscode.window.visibleTextEditors.some((editor) => editor.document === document);
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  return isVisible || tabs.some(({ input }) => hasText(input, uri));
}

function hasText(input: unknown, uri: vscode.Uri): boolean {
  return input instanceof vscode.TabInputText && input.uri.toString() === uri.toString();
}
