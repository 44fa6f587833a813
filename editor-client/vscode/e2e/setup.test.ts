/**
 * A machine without midfill, and a workspace that is not trusted: the set-up of an environment of its own.
 *
 * The wheels are small, and the package index answers as a test wants it.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Locator } from 'playwright-core';

import { keepEvidence } from './evidence.ts';
import { Screen } from './screen.ts';
import { PYTHON, ROOT, Workbench, emptyFolders, until } from './workbench.ts';

const SERVER = 'scripted_server.py';
const WHEEL = 'midfill-9.9.9-py3-none-any.whl';
const SUGGESTION = 'ef add(a, b):\n    return a + b';

const { folder, workspace } = emptyFolders();
const environmentOfOurs = path.join(folder, 'data/User/globalStorage/midfill.midfill/server');
/** What the index does with a request; at first it never answers. */
let answer: RequestListener = () => undefined;
const index = createServer((request, reply) => {
  answer(request, reply);
});
let bench: Workbench;
let screen: Screen;

keepEvidence(folder, () => screen);

before(async () => {
  execFileSync(PYTHON, [path.join(import.meta.dirname, 'wheels.py'), folder, path.join(ROOT, 'tests/support', SERVER)]);
  const programs = path.join(folder, 'bin');
  mkdirSync(programs);
  symlinkSync(realpathSync(PYTHON), path.join(programs, 'python3'));
  makeEnvironment(path.join(workspace, '.venv'));
  index.listen(0, '127.0.0.1');
  await new Promise((resolve) => index.once('listening', resolve));
  const { port } = index.address() as AddressInfo;
  const environment = {
    PATH: [programs, '/usr/bin', '/bin'].join(':'),
    PIP_CONFIG_FILE: '/dev/null',
    PIP_INDEX_URL: `http://127.0.0.1:${String(port)}/`,
  };
  const settings = { 'security.workspace.trust.startupPrompt': 'never' };
  bench = await Workbench.start({ folder, workspace, settings, environment, asksForTrust: true });
  screen = new Screen(await bench.open(), workspace);
});

after(async () => {
  index.closeAllConnections();
  index.close();
  await bench.close();
});

/** A virtual environment that has the small wheel. */
function makeEnvironment(environment: string): void {
  execFileSync(realpathSync(PYTHON), ['-m', 'venv', environment]);
  const install = ['-m', 'pip', 'install', '--quiet', '--no-index', path.join(folder, 'whole', WHEEL)];
  execFileSync(path.join(environment, 'bin/python'), install);
}

/** A button of the dialog that is open. */
function dialog(button: string): Locator {
  return screen.page.locator('.monaco-dialog-box .monaco-button', { hasText: button });
}

/** The mark of a step of the walkthrough. */
function step(id: string): Locator {
  return screen.page.locator(`[data-done-step-id="midfill.midfill#start#${id}"]`);
}

/** Begins the set-up with a wheel of one of the folders. */
async function setUpWith(kind: 'whole' | 'wanting'): Promise<void> {
  await screen.command('midfill: Set Up the Server');
  await dialog('Choose a Wheel').click();
  await screen.chooseFile(path.join(folder, kind, WHEEL));
}

describe('without a server', () => {
  it('says so, and runs no Python of a workspace that is not trusted', async () => {
    await screen.status('No server found');
    assert.equal(bench.processes(SERVER).length, 0);
  });

  it('has a walkthrough that begins with the set-up', async () => {
    await screen.command('Welcome: Open Walkthrough...');
    await screen.choose('Start with midfill');
    await step('server').waitFor();
    await screen.shoot('walkthrough');
    assert.equal(await step('server').getAttribute('aria-checked'), 'false');
    const button = screen.page.locator('.getting-started-step .monaco-button', { hasText: 'Set Up the Server' });
    await button.click();
    await dialog('Cancel').click();
    await until('the step to be done', async () => (await step('server').getAttribute('aria-checked')) === 'true');
    assert.equal(await step('model').getAttribute('aria-checked'), 'false');
  });

  it('stops a set-up that is cancelled, and leaves nothing of it', async () => {
    await setUpWith('wanting');
    const notification = screen.notification('installing midfill');
    await notification.waitFor();
    await until('pip to wait for the index', () => bench.processes('pip', 'install').length > 0);
    assert.ok(existsSync(environmentOfOurs));
    await notification.locator('.monaco-button', { hasText: 'Cancel' }).click();
    await until('nothing to be left', () => !existsSync(environmentOfOurs));
    await until('pip to end', () => bench.processes('pip', 'install').length === 0);
    await screen.status('No server found');
  });

  it('says why a set-up failed, and leaves nothing of it', async () => {
    answer = (_, reply) => {
      reply.writeHead(404).end();
    };
    await setUpWith('wanting');
    const notification = screen.notification('could not set up its server');
    await notification.waitFor();
    assert.match(await notification.innerText(), /No matching distribution found for midfill-needs-this/);
    await screen.shoot('setup-failed');
    assert.ok(!existsSync(environmentOfOurs));
  });

  it('sets one up, and shows ghost text', async () => {
    await setUpWith('whole');
    await screen.status('is ready');
    assert.ok(existsSync(environmentOfOurs));
    await until('the next step to be done', async () => (await step('model').getAttribute('aria-checked')) === 'true');
    await screen.edit('new.py', '# do:fill def add(a, b):~    return a + b\n');
    await screen.type('d');
    await screen.sees(SUGGESTION);
  });
});

describe('a workspace that becomes trusted', () => {
  it("gives its own environment's server", async () => {
    const servers = bench.processes(SERVER);
    await screen.command('Workspaces: Manage Workspace Trust');
    await screen.page.locator('.workspace-trust-editor .monaco-button', { hasText: 'Trust' }).first().click();
    await until('another server', () => bench.processes(SERVER).some((pid) => !servers.includes(pid)));
    await screen.status('is ready');
    await screen.command('midfill: Doctor');
    await screen.reads('The workspace is trusted.');
    assert.deepEqual(bench.errors(), []);
  });
});
