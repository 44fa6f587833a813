/**
 * Looks for a server on this machine, in the order of discovery.ts.
 */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';

import {
  PROBE_ARGS,
  commonPlaces,
  configured,
  firstWithMidfill,
  workspacePlaces,
  type Command,
  type Examined,
  type Found,
  type Place,
  type Surroundings,
} from './discovery';

const PROBE_MS = 5_000;
const PYTHON_EXTENSION = 'ms-python.python';

/** The folder of the environment that the extension makes. */
export function ownEnvironment(context: vscode.ExtensionContext): string {
  return path.join(context.globalStorageUri.fsPath, 'server');
}

/** The server to start: as configured, else of the first Python that has midfill. */
export async function findServer(context: vscode.ExtensionContext): Promise<Found | undefined> {
  const server = configuredServer();
  if (server !== undefined) {
    return { server, origin: 'the setting midfill.server.command' };
  }
  const around = surroundings(context);
  return (
    (await firstWithMidfill(workspacePlaces(around), probe)) ??
    (await firstWithMidfill(await selectedInterpreter(), probe)) ??
    (await firstWithMidfill(commonPlaces(around), probe))
  );
}

/** Each place that is looked at, in this order, and midfill's version there; for the page "doctor". */
export async function examine(context: vscode.ExtensionContext): Promise<Examined[]> {
  const around = surroundings(context);
  const places = [...workspacePlaces(around), ...(await selectedInterpreter()), ...commonPlaces(around)];
  return Promise.all(places.map(async (place) => ({ ...place, version: await probe(place.python) })));
}

/** The command of the setting; undefined: it is not set. */
export function configuredServer(): Command | undefined {
  const words = vscode.workspace.getConfiguration('midfill').get<string[]>('server.command', []);
  return configured(words, homedir());
}

function surroundings(context: vscode.ExtensionContext): Surroundings {
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  return {
    platform: process.platform,
    folders: folders.filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => uri.fsPath),
    ownEnvironment: ownEnvironment(context),
  };
}

/** midfill's version as this Python has it; undefined: it has none, or there is no such Python. */
async function probe(python: string): Promise<string | undefined> {
  if (path.isAbsolute(python) && !existsSync(python)) {
    return undefined;
  }
  return new Promise((resolve) => {
    execFile(python, [...PROBE_ARGS], { timeout: PROBE_MS }, (error, stdout) => {
      resolve(error ? undefined : stdout.trim());
    });
  });
}

/** What the Python extension's API has of use here (its documentation, "environments"). */
interface PythonApi {
  readonly environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
  };
}

/** The interpreter that the user has chosen in the Python extension, if that is installed. */
async function selectedInterpreter(): Promise<Place[]> {
  const extension = vscode.extensions.getExtension<PythonApi>(PYTHON_EXTENSION);
  if (extension === undefined || !vscode.workspace.isTrusted) {
    return [];
  }
  const api = extension.isActive ? extension.exports : await extension.activate();
  const python = api.environments?.getActiveEnvironmentPath().path;
  return python ? [{ python, origin: 'the selected interpreter' }] : [];
}
