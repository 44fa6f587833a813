/**
 * The commands: each is a line or two to the part that does it.
 */

import * as vscode from 'vscode';

import type { CandidatesPanel } from './candidates';
import { doctorPage } from './doctor';
import type { Documents } from './documents';
import type { Ghost } from './ghost';
import { showMenu, snooze } from './menu';
import { explainPage, statsPage } from './pages';
import { configuredServer, examine } from './search';
import type { Server } from './server';
import { currentSettings } from './settings';
import { setUpServer } from './setup';
import type { Switchboard } from './switchboard';

/** The parts that commands act on. */
export interface Workbench {
  readonly context: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  readonly server: Server;
  readonly switches: Switchboard;
  readonly ghost: Ghost;
  readonly panel: CandidatesPanel;
  readonly documents: Documents;
}

/** Registers all of them. */
export function registerCommands(bench: Workbench): vscode.Disposable[] {
  const commands = { ...suggesting(bench), ...switching(bench), ...serving(bench) };
  return Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`midfill.${name}`, run),
  );
}

type Commands = Record<string, (...args: never[]) => unknown>;

function suggesting({ ghost, panel, server, documents }: Workbench): Commands {
  return {
    trigger: () => vscode.commands.executeCommand('editor.action.inlineSuggest.trigger'),
    acceptWord: () => ghost.acceptPart('acceptNextWord', 'word'),
    acceptLine: () => ghost.acceptPart('acceptNextLine', 'line'),
    nextCandidate: () => ghost.cycle('showNext'),
    previousCandidate: () => ghost.cycle('showPrevious'),
    itemAccepted: (itemId: string | undefined, length: number) => {
      ghost.itemAccepted(itemId, length);
    },
    dismissed: () => {
      ghost.dismissed();
    },
    showCandidates: () => panel.show(),
    acceptCandidate: async (index: number) => {
      const item = await panel.accept(index);
      ghost.accepted(item?.itemId, 'full', item?.insertText.length ?? 0);
    },
    explain: async () => {
      const itemId = ghost.shown.lastId ?? null;
      const about = await server.running?.explain(itemId);
      if (about) {
        await documents.showPage('Explanation', explainPage(about));
      } else {
        void vscode.window.showInformationMessage('midfill: there is no suggestion to explain yet.');
      }
    },
  };
}

function switching({ switches }: Workbench): Commands {
  return {
    toggle: () => switches.toggle(),
    toggleLanguage: () => withDocument((document) => switches.toggleLanguage(document.languageId)),
    toggleFile: () => withDocument((document) => switches.toggleFile(document)),
    snooze: () => snooze(switches),
  };
}

function serving(bench: Workbench): Commands {
  const { context, documents, log, server, switches } = bench;
  return {
    showMenu: () => showMenu(server, switches),
    restartServer: () => server.restart(),
    setUpServer: async () => {
      if (await setUpServer(context, log)) {
        await server.restart();
      }
    },
    pullModel: () => {
      pullModel(server);
    },
    showLogs: () => {
      log.show(true);
    },
    showStats: async () => {
      const stats = await server.running?.stats();
      await documents.showPage('Statistics', statsPage(stats ?? {}));
    },
    doctor: () => showDoctor(bench),
    openSettings: () =>
      vscode.commands.executeCommand('workbench.action.openSettings', '@ext:midfill.midfill'),
  };
}

async function showDoctor({ context, documents, server, switches }: Workbench): Promise<void> {
  const { version } = context.extension.packageJSON as { version: string };
  const { process, status } = server;
  const page = doctorPage({
    versions: { Editor: `${vscode.env.appName} ${vscode.version}`, Extension: version },
    isTrusted: vscode.workspace.isTrusted,
    process,
    status,
    off: switches.reasonOff(vscode.window.activeTextEditor?.document),
    configured: configuredServer(),
    places: await examine(context),
    settings: currentSettings(context),
  });
  await documents.showPage('Doctor', page);
}

/** Downloads the configured model where the user sees it, then starts the server again. */
function pullModel(server: Server): void {
  const command = server.pullCommand();
  if (command === undefined) {
    void vscode.window.showInformationMessage('midfill: set up the server first.');
    return;
  }
  const terminal = vscode.window.createTerminal({
    name: 'midfill: download the model',
    shellPath: command.command,
    shellArgs: [...command.args],
  });
  terminal.show();
  const closed = vscode.window.onDidCloseTerminal((each) => {
    if (each === terminal) {
      closed.dispose();
      void server.restart();
    }
  });
}

async function withDocument(act: (document: vscode.TextDocument) => Promise<void>): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (document === undefined) {
    void vscode.window.showInformationMessage('midfill: open a file first.');
    return;
  }
  await act(document);
}
