/**
 * The item in the status bar: what is going on, and a click to the menu.
 */

import * as vscode from 'vscode';

import { statusLine, type Line } from './statusText';

/** The server is busy for a moment at each keystroke; shorter work is not worth a change. */
const SETTLE_MS = 150;

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'midfill.status',
    vscode.StatusBarAlignment.Right,
    100,
  );
  private timer: NodeJS.Timeout | undefined;

  constructor() {
    this.item.name = 'midfill';
    this.item.command = 'midfill.showMenu';
    this.item.show();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.item.dispose();
  }

  /** Show this state, soon. */
  update(...state: Parameters<typeof statusLine>): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.show(statusLine(...state));
    }, SETTLE_MS);
  }

  private show({ text, tooltip, isError }: Line): void {
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: `midfill: ${tooltip}` };
    this.item.backgroundColor = isError
      ? new vscode.ThemeColor('statusBarItem.errorBackground')
      : undefined;
  }
}
