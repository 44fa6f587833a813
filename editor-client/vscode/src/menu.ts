/**
 * The menu behind the status bar, and the choice of how long to snooze.
 */

import * as vscode from 'vscode';

import { menuEntries } from './menuEntries';
import type { Server } from './server';
import type { Switchboard } from './switchboard';

const MINUTE_MS = 60_000;

/** Shows the menu and runs what is chosen. */
export async function showMenu(server: Server, switches: Switchboard): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const stats = await server.running?.stats().catch(() => undefined);
  const entries = menuEntries({
    process: server.process,
    status: server.status,
    last: stats?.last,
    off: switches.reasonOff(document),
    languageId: document?.languageId,
  });
  const picked = await vscode.window.showQuickPick(entries, { title: 'midfill' });
  if (picked !== undefined) {
    await vscode.commands.executeCommand(`midfill.${picked.command}`);
  }
}

/** Asks how long, and snoozes. */
export async function snooze(switches: Switchboard): Promise<void> {
  const choices = [5, 15, 60].map((minutes) => ({ label: `${String(minutes)} minutes`, minutes }));
  const end = { label: 'End the snooze', minutes: 0 };
  const isSnoozing = switches.isSnoozing;
  const picked = await vscode.window.showQuickPick(isSnoozing ? [end, ...choices] : choices, {
    title: 'No suggestions for',
  });
  if (picked !== undefined) {
    switches.snooze(picked.minutes * MINUTE_MS);
  }
}
