/**
 * Where a server may be, in the order in which the places are tried.
 *
 * `-P` keeps the current folder out of Python's search path: a workspace folder named midfill would
 * be imported instead of midfill.
 */

import * as path from 'node:path';

/** A program and its arguments. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

/** A Python that may have midfill, and where it comes from in words for the user. */
export interface Place {
  readonly python: string;
  readonly origin: string;
}

/** A place that was asked for midfill; no version: it is not there. */
export interface Examined extends Place {
  readonly version: string | undefined;
}

/** What is known without asking anybody. */
export interface Surroundings {
  readonly platform: NodeJS.Platform;
  /** Local folders of the workspace, or none if it is not trusted: programs of it must not run. */
  readonly folders: readonly string[];
  /** The environment that the extension made, or would make. */
  readonly ownEnvironment: string;
}

/** A found server. */
export interface Found {
  readonly server: Command;
  readonly origin: string;
}

/** What a Python answers when asked for midfill. */
export type Probe = (python: string) => Promise<string | undefined>;

/** Prints midfill's version, or fails. */
export const PROBE_ARGS: readonly string[] = [
  '-P',
  '-c',
  'import importlib.metadata as m; print(m.version("midfill"))',
];

/** The oldest Python that can run the server; `-P` came with it. */
export const OLDEST_PYTHON = [3, 11] as const;

/** The setting's words as a command, `~/` at their start as the home folder; undefined if it is empty. */
export function configured(words: readonly string[], home: string): Command | undefined {
  const [command, ...args] = words.map((word) => word.trim().replace(/^~(?=[/\\])/, () => home));
  return command ? { command, args } : undefined;
}

/** How to start the server of a Python. */
export function serverOf(python: string): Command {
  return { command: python, args: ['-P', '-m', 'midfill.cli', 'lsp'] };
}

/** The interpreter of a virtual environment. */
export function interpreterOf(environment: string, platform: NodeJS.Platform): string {
  return platform === 'win32'
    ? path.win32.join(environment, 'Scripts', 'python.exe')
    : path.posix.join(environment, 'bin', 'python');
}

/** Pythons of the workspace: the usual names of virtual environments in its folders. */
export function workspacePlaces(around: Surroundings): Place[] {
  return around.folders.flatMap((folder) =>
    ['.venv', 'venv'].map((name) => ({
      python: interpreterOf(path.join(folder, name), around.platform),
      origin: `${name} of the workspace`,
    })),
  );
}

/** Pythons outside of the workspace, the extension's own environment first. */
export function commonPlaces(around: Surroundings): Place[] {
  const names = around.platform === 'win32' ? ['python', 'py'] : ['python3', 'python'];
  return [
    {
      python: interpreterOf(around.ownEnvironment, around.platform),
      origin: "midfill's own environment",
    },
    ...names.map((name) => ({ python: name, origin: `${name} on PATH` })),
  ];
}

/** The first place whose Python has midfill, and its server. */
export async function firstWithMidfill(
  places: readonly Place[],
  probe: Probe,
): Promise<Found | undefined> {
  for (const { python, origin } of places) {
    const version = await probe(python);
    if (version !== undefined) {
      return { server: serverOf(python), origin: `${origin} (midfill ${version})` };
    }
  }
  return undefined;
}
