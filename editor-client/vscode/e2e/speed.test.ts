/**
 * How soon: the extension's activation, and from a key to ghost text of the default model, which is warm.
 *
 * Each key asks the model: nothing is on the screen when it goes down, and no place sees a letter twice.
 * The first key of a place, for which the model has to read the file, is counted apart.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import path from 'node:path';
import { env } from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';

import { keepEvidence } from './evidence.ts';
import { LOAD_MS, Screen } from './screen.ts';
import { Wire } from './wire.ts';
import { OUT, PYTHON, ROOT, VSIX, Workbench, emptyFolders, until } from './workbench.ts';

/** A real file; a function of it is begun at each of these lines, counted from 1. */
const SOURCE = 'lsp_server/session.py';
const LINES = [40, 62, 85, 107, 130, 152, 175, 197];
const LETTERS = ['f', 'r', 's', 'i', 't', 'a', 'c', 'p', 'w'] as const;
const KEYS = 50;
const WINDOWS = 3;
const MOST_ACTIVATION_MS = 100;
const PATIENCE_MS = 5000;
/** For the server to prepare the document, and after that to be idle. */
const REST_MS = 400;

const { folder, workspace } = emptyFolders();
const wire = new Wire(folder);
const startLoad = loadavg()[0] ?? 0;
let bench: Workbench;
let screen: Screen;
const activations: number[] = [];
let model = '';

keepEvidence(folder, () => screen);

before(async () => {
  const settings = {
    'editor.autoClosingBrackets': 'never',
    'midfill.server.command': wire.tapped(PYTHON, '-P', '-m', 'midfill.cli', 'lsp'),
  };
  const environment = { XDG_DATA_HOME: env.XDG_DATA_HOME ?? path.join(env.HOME ?? '', '.local/share') };
  bench = await Workbench.start({ folder, workspace, settings, environment });
  screen = new Screen(await bench.open(), workspace);
  model = (await screen.status('is ready', LOAD_MS)).replace(/^midfill: (.*) is ready.*$/, '$1');
});

after(async () => {
  await bench.close();
});

/** One key and its ghost text, in milliseconds. */
interface Timed {
  readonly keyToGhostMs: number;
  /** From the request to the first that the server said to it. */
  readonly serverMs: number;
}

/** Times a key at the cursor, and leaves all as it was; nothing: the model had nothing to say. */
async function timed(letter: string): Promise<Timed[]> {
  await screen.type(letter);
  let keyToGhostMs: number | undefined;
  const isSeen = until('ghost text', async () => (keyToGhostMs = await screen.sinceKey()) !== undefined, PATIENCE_MS);
  await isSeen.catch(() => undefined);
  const serverMs = wire.lastWait();
  await screen.press('Escape');
  await screen.press('Backspace');
  await until('the server to be idle', async () => {
    await pause(REST_MS);
    return wire.isAnswered();
  });
  await until('the ghost text to be gone', async () => {
    await screen.press('Escape');
    return (await screen.ghost()) === '';
  });
  return keyToGhostMs === undefined || serverMs === undefined ? [] : [{ keyToGhostMs, serverMs }];
}

/** The value that this share of the values does not exceed. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return Number((sorted[Math.ceil(share * sorted.length) - 1] ?? NaN).toFixed(2));
}

function summary(values: readonly number[]): Record<string, number> {
  return { p50: quantile(values, 0.5), p95: quantile(values, 0.95), max: quantile(values, 1) };
}

describe('the extension', () => {
  it('activates without being felt', async () => {
    activations.push(await screen.activation());
    while (activations.length < WINDOWS) {
      await screen.page.reload();
      await screen.status('is ready', LOAD_MS);
      activations.push(await screen.activation());
    }
    // The editor counts in what it loads meanwhile of other extensions, so the least is nearest to ours.
    assert.ok(Math.min(...activations) < MOST_ACTIVATION_MS, `activated in ${activations.join(', ')} ms`);
  });

  it('shows ghost text soon', async () => {
    const lines = readFileSync(path.join(ROOT, SOURCE), 'utf8').split('\n');
    const firsts: Timed[] = [];
    const all: Timed[] = [];
    let silent = 0;
    await screen.time();
    for (const line of LINES) {
      const text = [...lines.slice(0, line), '    ', ...lines.slice(line)].join('\n');
      await screen.edit(`line_${String(line)}.py`, text, line + 1);
      await pause(REST_MS);
      const [first, ...letters] = LETTERS;
      firsts.push(...(await timed(first)));
      for (const letter of letters.slice(0, KEYS - all.length)) {
        const one = await timed(letter);
        silent += 1 - one.length;
        all.push(...one);
      }
    }
    assert.equal(all.length, KEYS, `${String(silent)} keys had no ghost text`);
    report(all, firsts, silent);
  });

  it('has caused no error in the extension host', () => {
    assert.deepEqual(bench.errors(), []);
  });
});

function report(all: readonly Timed[], firsts: readonly Timed[], silent: number): void {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'editor-client/vscode/package.json'), 'utf8')) as {
    version: string;
  };
  const results = {
    date: new Date().toISOString().slice(0, 10),
    cores: availableParallelism(),
    load_average: { before: startLoad, after: loadavg()[0] },
    extension: version,
    model,
    vsix_bytes: statSync(VSIX).size,
    activation_ms: activations,
    keys: all.length,
    keys_without_ghost_text: silent,
    key_to_ghost_ms: summary(all.map(({ keyToGhostMs }) => keyToGhostMs)),
    server_ms: summary(all.map(({ serverMs }) => serverMs)),
    server_share: summary(all.map(({ serverMs, keyToGhostMs }) => serverMs / keyToGhostMs)),
    first_key_to_ghost_ms: summary(firsts.map(({ keyToGhostMs }) => keyToGhostMs)),
    first_server_ms: summary(firsts.map(({ serverMs }) => serverMs)),
    samples_ms: all.map(({ keyToGhostMs, serverMs }) => [keyToGhostMs, serverMs].map(Math.round).join(' ')),
  };
  const file = env.MIDFILL_E2E_RESULTS ?? path.join(OUT, 'vscode.json');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
}
