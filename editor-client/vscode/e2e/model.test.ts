/**
 * The extension with the real default model, in a copy of this repository; it finds the server in the workspace's .venv.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { env } from 'node:process';
import { after, before, describe, it } from 'node:test';

import { LOAD_MS, Screen } from './screen.ts';
import { OUT, ROOT, Workbench, emptyFolders } from './workbench.ts';

const FILE = 'primes_try.py';
const HEAD = `"""Prime numbers."""


def is_prime(n: int) -> bool:
    """Whether n is a prime number."""
    if n < 2:
        return False
`;

const { folder, workspace } = emptyFolders();
let bench: Workbench;
let screen: Screen;
let accepted = '';

before(async () => {
  const archive = execFileSync('git', ['archive', 'HEAD'], { cwd: ROOT, maxBuffer: 2 ** 30 });
  execFileSync('tar', ['-x'], { cwd: workspace, input: archive });
  symlinkSync(path.join(ROOT, '.venv'), path.join(workspace, '.venv'));
  const environment = {
    XDG_DATA_HOME: env.XDG_DATA_HOME ?? path.join(env.HOME ?? '', '.local/share'),
  };
  const settings = { 'editor.autoClosingBrackets': 'never', 'midfill.completion.timeLimitMs': null };
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
    await screen.type('    for i');
    const seen = await screen.seesSome();
    await screen.shoot('model');
    await screen.press('Tab');
    await screen.sees('');
    await screen.shoot('model-accepted');
    await screen.saves(FILE, `${HEAD}    for i${seen}`);
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

  it('has caused no error in the extension host', () => {
    assert.deepEqual(bench.errors(), []);
  });
});
