/**
 * The commands: each is one line to the part that does it.
 */

import * as vscode from 'vscode';

import type { Ghost } from './ghost';
import type { Server } from './server';
import type { Switchboard } from './switchboard';

/** The parts that commands act on. */
export interface Workbench {
  readonly context: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  readonly server: Server;
  readonly switches: Switchboard;
  readonly ghost: Ghost;
}

/** Registers all of them. */
export function registerCommands(bench: Workbench): vscode.Disposable[] {
  const { ghost, log, server, switches } = bench;
  const commands: Record<string, (...args: never[]) => unknown> = {
    trigger: () => vscode.commands.executeCommand('editor.action.inlineSuggest.trigger'),
    acceptWord: () => ghost.acceptPart('editor.action.inlineSuggest.acceptNextWord', 'word'),
    acceptLine: () => ghost.acceptPart('editor.action.inlineSuggest.acceptNextLine', 'line'),
    acceptGrowing: () => ghost.acceptGrowing(),
    itemAccepted: (itemId: string | undefined, length: number) => {
      ghost.itemAccepted(itemId, length);
    },
    dismissed: () => {
      ghost.dismissed();
    },
    nextCandidate: () => vscode.commands.executeCommand('editor.action.inlineSuggest.showNext'),
    previousCandidate: () =>
      vscode.commands.executeCommand('editor.action.inlineSuggest.showPrevious'),
    toggle: () => switches.toggle(),
    restartServer: () => server.restart(),
    showLogs: () => {
      log.show(true);
    },
  };
  return Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`midfill.${name}`, run),
  );
}
