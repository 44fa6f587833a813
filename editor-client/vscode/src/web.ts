/**
 * The extension's entry in a browser without a machine behind it: says why there are no suggestions.
 */

import * as vscode from 'vscode';

/** What is wrong and what to do. */
export const REFUSAL =
  'midfill runs its model on your machine, and this window has none: open the folder in the desktop editor or in a remote window.';

interface Manifest {
  readonly contributes: { readonly commands: readonly { readonly command: string }[] };
}

export function activate(context: vscode.ExtensionContext): void {
  const item = vscode.window.createStatusBarItem('midfill.status', vscode.StatusBarAlignment.Right, 100);
  item.name = 'midfill';
  item.text = '$(circle-slash) midfill';
  item.tooltip = REFUSAL;
  item.command = 'midfill.showMenu';
  item.show();
  const { contributes } = context.extension.packageJSON as Manifest;
  const commands = contributes.commands.map(({ command }) =>
    vscode.commands.registerCommand(command, () => vscode.window.showWarningMessage(REFUSAL)),
  );
  context.subscriptions.push(item, ...commands);
}
