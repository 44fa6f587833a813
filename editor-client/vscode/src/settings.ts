/**
 * The user's settings, read from the editor.
 */

import * as vscode from 'vscode';

import { nested, serverOptions, type Options } from './serverSettings';

interface Manifest {
  readonly contributes: {
    readonly configuration: readonly { readonly properties: Record<string, unknown> }[];
  };
}

/** What the user has set of the server's options. */
export function currentSettings(context: vscode.ExtensionContext): Options {
  const { contributes } = context.extension.packageJSON as Manifest;
  const names = contributes.configuration.flatMap(({ properties }) => Object.keys(properties));
  const configuration = vscode.workspace.getConfiguration('midfill');
  return nested(
    serverOptions(names).map((name) => [name, setValue(configuration.inspect(name))] as const),
  );
}

/** The value that wins, unless it is the default. */
function setValue(inspected: ReturnType<vscode.WorkspaceConfiguration['inspect']>): unknown {
  return inspected?.workspaceFolderValue ?? inspected?.workspaceValue ?? inspected?.globalValue;
}
