/**
 * Makes an environment for the server, when the user asks: with progress, and cancellable.
 */

import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import * as vscode from 'vscode';

import { OLDEST_PYTHON, interpreterOf } from './discovery';
import { ownEnvironment } from './search';
import {
  VERSION_ARGS,
  isNewEnough,
  pythonNames,
  setupSteps,
  type Plan,
  type Step,
} from './setupPlan';

const PROBE_MS = 5_000;

/** A message for the user. */
class SetupError extends Error {}

/** Whether the server is installed now; says itself what went wrong. */
export async function setUpServer(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
): Promise<boolean> {
  const source = await installSource();
  if (source === undefined) {
    return false;
  }
  try {
    const plan = await makePlan(context, source);
    return await withProgress((report, token) => carryOut(plan, log, report, token));
  } catch (error) {
    const choice = await vscode.window.showErrorMessage(
      `midfill could not set up its server: ${error instanceof Error ? error.message : String(error)}`,
      'Show Logs',
    );
    if (choice !== undefined) {
      log.show();
    }
    return false;
  }
}

/** What to install, from the setting or the user; undefined: the user does not want to. */
async function installSource(): Promise<string | undefined> {
  const configuration = vscode.workspace.getConfiguration('midfill');
  const set = configuration.get('server.install', '').trim();
  if (set !== '') {
    return set;
  }
  const [file, folder] = ['Choose a Wheel…', 'Choose a Source Folder…'] as const;
  const choice = await vscode.window.showInformationMessage(
    'Set up midfill’s server in an environment of its own?',
    {
      modal: true,
      detail:
        'midfill is in no package index yet: choose a wheel (made by "make wheel") or a folder with its ' +
        'source. Its dependencies, PyTorch among them, come from your package index: some 200 MB to 3 GB.',
    },
    file,
    folder,
  );
  if (choice === undefined) {
    return undefined;
  }
  const picked = await vscode.window.showOpenDialog({
    canSelectFiles: choice === file,
    canSelectFolders: choice === folder,
    openLabel: 'Install',
    ...(choice === file && { filters: { Wheels: ['whl'] } }),
  });
  return picked?.[0]?.fsPath;
}

async function makePlan(context: vscode.ExtensionContext, source: string): Promise<Plan> {
  const environment = ownEnvironment(context);
  const { platform } = process;
  const exists = existsSync(interpreterOf(environment, platform));
  return { python: await basePython(), environment, exists, source, platform };
}

/** A Python that is new enough. */
async function basePython(): Promise<string> {
  for (const name of pythonNames(process.platform)) {
    const printed = await output(name, VERSION_ARGS);
    if (printed !== undefined && isNewEnough(printed)) {
      return name;
    }
  }
  const version = OLDEST_PYTHON.join('.');
  throw new SetupError(`no Python ${version} or newer is on PATH; install one, then try again`);
}

function output(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, [...args], { timeout: PROBE_MS }, (error, stdout) => {
      resolve(error ? undefined : stdout);
    });
  });
}

type Report = (message: string) => void;

function withProgress(
  task: (report: Report, token: vscode.CancellationToken) => Promise<boolean>,
): Promise<boolean> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: 'midfill',
    cancellable: true,
  };
  return Promise.resolve(
    vscode.window.withProgress(options, (progress, token) =>
      task((message) => {
        progress.report({ message });
      }, token),
    ),
  );
}

/** Runs the steps; what a failed or cancelled first set-up leaves behind is removed. */
async function carryOut(
  plan: Plan,
  log: vscode.LogOutputChannel,
  report: Report,
  token: vscode.CancellationToken,
): Promise<boolean> {
  try {
    for (const step of setupSteps(plan)) {
      report(step.title + (step.note ?? ''));
      await run(step, log, token);
    }
    return true;
  } catch (error) {
    if (!plan.exists) {
      await rm(plan.environment, { recursive: true, force: true });
    }
    if (token.isCancellationRequested) {
      return false;
    }
    throw error;
  }
}

/** Runs a program to its end; its output goes to the log. */
function run(
  { title, run: { command, args } }: Step,
  log: vscode.LogOutputChannel,
  token: vscode.CancellationToken,
): Promise<void> {
  log.info(`${title}: ${[command, ...args].join(' ')}`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const cancelled = token.onCancellationRequested(() => child.kill());
    let lastLine = '';
    const take = (data: Buffer): void => {
      const text = data.toString().trim();
      log.info(text);
      lastLine = text.slice(text.lastIndexOf('\n') + 1) || lastLine;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('close', (code) => {
      cancelled.dispose();
      if (code === 0) {
        resolve();
      } else {
        reject(new SetupError(`${title} failed: ${lastLine || `exit code ${String(code)}`}`));
      }
    });
  });
}
