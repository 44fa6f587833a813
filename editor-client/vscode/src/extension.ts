/**
 * The extension's entry: puts the parts together. Nothing here waits for the server.
 */

import * as vscode from 'vscode';

import { CandidatesPanel } from './candidates';
import { registerCommands } from './commands';
import { Documents } from './documents';
import { Ghost } from './ghost';
import { findServer } from './search';
import { Server } from './server';
import { currentSettings } from './settings';
import { StatusBar } from './statusBar';
import { Switchboard } from './switchboard';

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('midfill', { log: true });
  const bar = new StatusBar();
  const switches = new Switchboard(context);
  const ghost = new Ghost({
    client: () => server?.running,
    isWanted: (document) => switches.reasonOff(document) === undefined,
    isStreaming: () => vscode.workspace.getConfiguration('midfill').get('streaming', true),
    log: (message) => {
      log.debug(message);
    },
  });
  const made = new Server({
    find: () => findServer(context),
    settings: () => currentSettings(context),
    log,
    provideInlineCompletionItems: (document, position, asked, token) =>
      ghost.provide(document, position, asked, token),
    onChange: show,
  });
  server = made;

  function show(): void {
    const document = vscode.window.activeTextEditor?.document;
    bar.update(made.process, made.status, switches.reasonOff(document));
    // For the steps of the walkthrough.
    void setContext('midfill.isServerRunning', made.process.kind === 'running');
    void setContext('midfill.isModelReady', made.status?.state === 'ready');
  }

  const documents = new Documents();
  const panel = new CandidatesPanel(documents, made);
  context.subscriptions.push(log, bar, switches, ghost, documents, panel);
  context.subscriptions.push(switches.onDidChange(show), vscode.window.onDidChangeActiveTextEditor(show));
  context.subscriptions.push(...registerCommands({ context, log, server: made, switches, ghost, documents, panel }));
  context.subscriptions.push(
    // Settings may arrive after the start: in a remote window, the user's are elsewhere.
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('midfill.server.command')) {
        void made.restart();
      }
    }),
    // The workspace's own Pythons and settings count from now on.
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      void made.restart();
    }),
  );
  show();
  void made.restart();
}

function setContext(name: string, value: boolean): Thenable<void> {
  return vscode.commands.executeCommand('setContext', name, value);
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
