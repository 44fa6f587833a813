/**
 * How the extension makes an environment of its own: which programs run, in which order.
 */

import { OLDEST_PYTHON, interpreterOf, type Command } from './discovery';

/** One program to run, and what it does in words for the user. */
export interface Step {
  readonly title: string;
  /** What else the user should know while it runs. */
  readonly note?: string;
  readonly run: Command;
}

/** What the environment is made from. */
export interface Plan {
  readonly python: string;
  readonly environment: string;
  /** Whether it is there already; then it is brought up to date. */
  readonly exists: boolean;
  /** For pip: a wheel, a folder, or a requirement. */
  readonly source: string;
  readonly platform: NodeJS.Platform;
}

/** Prints the version's first two numbers. */
export const VERSION_ARGS: readonly string[] = [
  '-c',
  'import sys; print("%d %d" % sys.version_info[:2])',
];

/** Names of Pythons to try, the likeliest to fit first. */
export function pythonNames(platform: NodeJS.Platform): string[] {
  return platform === 'win32'
    ? ['python', 'py']
    : ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python'];
}

/** Whether what `VERSION_ARGS` printed is new enough. */
export function isNewEnough(printed: string): boolean {
  const [major = 0, minor = 0] = printed.trim().split(' ').map(Number);
  const [least, lesser] = OLDEST_PYTHON;
  return major > least || (major === least && minor >= lesser);
}

/** The programs to run; a failed one ends the set-up. */
export function setupSteps(plan: Plan): Step[] {
  const own = interpreterOf(plan.environment, plan.platform);
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--upgrade'];
  const create = {
    title: 'making an environment',
    run: { command: plan.python, args: ['-m', 'venv', plan.environment] },
  };
  const install = {
    title: 'installing midfill and PyTorch',
    note: ', which takes minutes',
    run: { command: own, args: [...pip, plan.source] },
  };
  return plan.exists ? [install] : [create, install];
}
