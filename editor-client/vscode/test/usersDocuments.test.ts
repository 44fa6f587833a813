import { beforeEach, describe, expect, it } from 'vitest';
import type { TextDocument, TextDocumentChangeEvent } from 'vscode';

import { UsersDocuments } from '../src/usersDocuments';
import * as editor from './vscode';

function documentOf(uri: string): TextDocument {
  return { uri: { scheme: uri.slice(0, uri.indexOf(':')), toString: () => uri } } as unknown as TextDocument;
}

describe("the user's documents", () => {
  const document = documentOf('file:///a.py');
  const change = { document } as TextDocumentChangeEvent;
  let told: string[];
  let documents: UsersDocuments;

  /** Notes what the server is told. */
  const tell = (what: string) => (): Promise<void> => {
    told.push(what);
    return Promise.resolve();
  };

  beforeEach(() => {
    told = [];
    editor.show();
    editor.window.tabGroups.all = [];
    documents = new UsersDocuments();
  });

  it('are those that are on the screen', async () => {
    editor.show(document);
    await documents.middleware.didOpen?.(document, tell('open'));
    await documents.middleware.didChange?.(change, tell('change'));
    await documents.middleware.didClose?.(document, tell('close'));
    expect(told).toEqual(['open', 'change', 'close']);
  });

  it('are those in a tab behind another one', async () => {
    editor.window.tabGroups.all = [{ tabs: [{ input: new editor.TabInputText(document.uri) }] }];
    await documents.middleware.didOpen?.(document, tell('open'));
    expect(told).toEqual(['open']);
  });

  it('are none that another extension only reads', async () => {
    await documents.middleware.didOpen?.(document, tell('open'));
    await documents.middleware.didChange?.(change, tell('change'));
    await documents.middleware.didSave?.(document, tell('save'));
    await documents.middleware.didClose?.(document, tell('close'));
    expect(told).toEqual([]);
  });

  it('are opened when the user goes to them, once', async () => {
    await documents.middleware.didOpen?.(document, tell('open'));
    editor.show(document);
    editor.show(document);
    await documents.middleware.didChange?.(change, tell('change'));
    expect(told).toEqual(['open', 'change']);
  });

  it('are all that have no file: new ones, and cells of notebooks', async () => {
    await documents.middleware.didOpen?.(documentOf('untitled:1'), tell('new'));
    await documents.middleware.didOpen?.(documentOf('vscode-notebook-cell:1'), tell('cell'));
    expect(told).toEqual(['new', 'cell']);
  });

  it('are of no interest when the server is gone', async () => {
    await documents.middleware.didOpen?.(document, tell('open'));
    documents.dispose();
    editor.show(document);
    expect(told).toEqual([]);
  });
});
