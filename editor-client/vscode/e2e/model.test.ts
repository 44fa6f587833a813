/**
 * The extension with the real default model, in a copy of this repository; it finds the server in the workspace's .venv.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { env } from 'node:process';
import { after, before, describe, it } from 'node:test';

import { keepEvidence } from './evidence.ts';
import { LOAD_MS, Screen, onlyGrow, type Frame } from './screen.ts';
import { OUT, ROOT, Workbench, emptyFolders } from './workbench.ts';

const FILE = 'primes_try.py';
const HEAD = `"""Prime numbers."""


def is_prime(n: int) -> bool:
    """Whether n is a prime number."""
    if n < 2:
        return False
`;

const LONG = 'merge_try.py';
const LONG_HEAD = `def merge(left: list[int], right: list[int]) -> list[int]:
    """Merges two sorted lists into one."""
    result = []
    i = j = 0
    whil`;
const PICTURE = { width: 560, height: 220 };

const { folder, workspace } = emptyFolders();
let bench: Workbench;
let screen: Screen;
let accepted = '';

keepEvidence(folder, () => screen);

before(async () => {
  const archive = execFileSync('git', ['archive', 'HEAD'], { cwd: ROOT, maxBuffer: 2 ** 30 });
  execFileSync('tar', ['-x'], { cwd: workspace, input: archive });
  symlinkSync(path.join(ROOT, '.venv'), path.join(workspace, '.venv'));
  const environment = {
    XDG_DATA_HOME: env.XDG_DATA_HOME ?? path.join(env.HOME ?? '', '.local/share'),
  };
  const settings = {
    'editor.autoClosingBrackets': 'never',
    'midfill.completion.timeLimitMs': null,
    'midfill.logLevel': 'debug',
  };
  bench = await Workbench.start({ folder, workspace, settings, environment });
  screen = new Screen(await bench.open(), workspace);
  await screen.status('is ready', LOAD_MS);
});

after(async () => {
  await bench.close();
});

describe('the default model', () => {
  it('writes ghost text, and what Tab accepts is what was seen', async () => {
    await screen.edit(FILE, HEAD);
    await screen.record();
    await screen.type('    for divisor');
    const seen = await screen.seesSome();
    await screen.shoot('model');
    await screen.press('Tab');
    // What follows it may be on the screen at once: the server has prepared that.
    await screen.saves(FILE, `${HEAD}    for divisor${seen}`);
    await screen.shoot('model-accepted');
    assert.ok(seen.trim() !== '', seen);
    accepted = seen;
    process.stdout.write(`# ${OUT}: ${JSON.stringify(readFileSync(path.join(workspace, FILE), 'utf8'))}\n`);
  });

  it('explains what it has written', async () => {
    await screen.command('midfill: Explain This Suggestion');
    const page = await screen.reads('Where this suggestion comes from');
    await screen.shoot('explain');
    assert.ok(page.includes(accepted.trim().split('\n')[0] ?? ''), page);
    assert.ok(page.includes(`${FILE}, line 8`), page);
    assert.ok(!page.includes('package.json'), 'the model read a file that nobody had opened');
  });

  it('streams: what stands on the screen only grows', async () => {
    await screen.command('View: Close All Editors');
    await screen.edit(LONG, LONG_HEAD);
    const editor = await screen.page.locator('.editor-instance .overflow-guard').first().boundingBox();
    assert.ok(editor);
    await screen.record();
    const frames = await screen.film('e', { ...editor, ...PICTURE });
    const states = (await screen.recorded()).filter((state) => state !== '');
    assert.ok(states.length >= 2, JSON.stringify(states));
    assert.ok(onlyGrow(states), JSON.stringify(states));
    await screen.strip('streaming', pick(frames));
  });

  it('has caused no error in the extension host', () => {
    assert.deepEqual(bench.errors(), []);
  });
});

/** At most three pictures: the first, one from the middle, the last. */
function pick(frames: readonly Frame[]): Frame[] {
  const middle = Math.floor(frames.length / 2);
  return [...new Set([0, middle, frames.length - 1])].flatMap((index) => frames[index] ?? []);
}
