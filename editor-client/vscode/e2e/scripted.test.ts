/**
 * The extension in a real workbench, with a server whose engine writes as the file tells it.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kill } from 'node:process';
import { after, before, describe, it } from 'node:test';

import { keepEvidence } from './evidence.ts';
import { LOAD_MS, Screen, onlyGrow } from './screen.ts';
import { PYTHON, ROOT, Workbench, emptyFolders, until } from './workbench.ts';
import { Wire } from './wire.ts';

const SERVER = 'scripted_server.py';
const FUNCTION = 'def add(a, b):~    return a + b';
const TEXT = FUNCTION.replace('~', '\n');
const HEAD = `# do:fill ${FUNCTION}\n`;
const CELL = { cell_type: 'code', execution_count: null, metadata: {}, outputs: [], source: [HEAD] };
const BOOK = { cells: [CELL], metadata: { language_info: { name: 'python' } }, nbformat: 4, nbformat_minor: 5 };

/** An extension that makes each kind of error, in a window with several folders. */
const FAULTY = `exports.activate = () => {
  if (require('vscode').workspace.workspaceFolders.length < 2) return;
  console.error('deliberate: said');
  setTimeout(() => { throw new Error('deliberate: thrown'); });
  Promise.reject(new Error('deliberate: rejected'));
};`;

const { folder, workspace } = emptyFolders();
const wire = new Wire(folder);
let bench: Workbench;
let screen: Screen;

keepEvidence(folder, () => screen);

before(async () => {
  const settings = {
    'editor.autoClosingBrackets': 'never',
    'editor.autoIndent': 'none',
    'midfill.server.command': wire.tapped(PYTHON, path.join(ROOT, 'tests/support', SERVER), 'lsp'),
  };
  bench = await Workbench.start({ folder, workspace, settings, extensions: { faulty: FAULTY } });
  screen = new Screen(await bench.open(), workspace);
  await screen.status('is ready', LOAD_MS);
});

after(async () => {
  await bench.close();
});

/** A file that asks for the function, and the ghost text after its first letter. */
async function suggestion(name: string): Promise<string> {
  const before = wire.told('shown');
  await screen.edit(name, HEAD);
  await screen.record();
  await screen.type('d');
  await screen.sees(TEXT.slice(1));
  await until('the editor to have taken it', () => wire.told('shown') > before && wire.isAtRest());
  const [, ...states] = await screen.recorded();
  assert.ok(!states.includes(''), `it blinked: ${JSON.stringify(states)}`);
  return HEAD;
}

describe('a suggestion', () => {
  it('is accepted by Tab, into the file', async () => {
    const head = await suggestion('tab.py');
    await screen.press('Tab');
    await screen.sees('');
    await screen.saves('tab.py', head + TEXT);
    await until('the server to hear', () => wire.told('shown') > 0 && wire.told('accepted') > 0);
  });

  it('is accepted word by word', async () => {
    const head = await suggestion('word.py');
    await screen.press('Control+ArrowRight');
    await screen.sees(TEXT.slice('def'.length));
    await screen.press('Control+ArrowRight');
    await screen.sees(TEXT.slice('def '.length));
    await screen.press('Control+ArrowRight');
    await screen.sees(TEXT.slice('def add'.length));
    await screen.saves('word.py', `${head}def add`);
  });

  it('is accepted line by line', async () => {
    const head = await suggestion('line.py');
    await screen.press('Control+Alt+ArrowRight');
    await screen.sees('    return a + b');
    await screen.press('Control+Alt+ArrowRight');
    await screen.saves('line.py', head + TEXT);
  });

  it('is turned away by Escape, and comes again when asked for', async () => {
    const before = wire.told('dismissed');
    const head = await suggestion('escape.py');
    await screen.press('Escape');
    await screen.sees('');
    await until('the server to hear', () => wire.told('dismissed') > before);
    await screen.press('Alt+\\');
    await screen.sees(TEXT.slice(1));
    await screen.saves('escape.py', `${head}d`);
  });

  it('never blinks while it is typed', async () => {
    const head = await suggestion('typed.py');
    await screen.record();
    await screen.type('ef add(a');
    await screen.sees(TEXT.slice('def add(a'.length));
    const states = await screen.recorded();
    assert.deepEqual(
      states.filter((state) => state === '' || !TEXT.endsWith(state)),
      [],
    );
    await screen.saves('typed.py', `${head}def add(a`);
  });

  it('grows on the screen, and never shrinks', async () => {
    const lines = ['first line', 'second line', 'third line', 'fourth line', 'fifth line'];
    await screen.edit('slow.rb', `# do:slowly ${lines.join('~')}\n`);
    await screen.record();
    await screen.type('f');
    await screen.sees(lines.join('\n').slice(1));
    const [, ...states] = await screen.recorded();
    assert.ok(states.length >= 2, JSON.stringify(states));
    assert.ok(onlyGrow(states, 'irst line'), JSON.stringify(states));
    await screen.press('Tab');
    await screen.saves('slow.rb', `# do:slowly ${lines.join('~')}\n${lines.join('\n')}`);
  });

  it('is accepted while it grows', async () => {
    await screen.edit('early.rb', '# do:slowly first line~second line~third line~fourth line~fifth line\n');
    await screen.type('f');
    await until('the first line', async () => (await screen.ghost()).startsWith('irst line'));
    await screen.press('Control+ArrowRight');
    await screen.sees(' line\nsecond line\nthird line\nfourth line\nfifth line');
  });

  it('is there in a file without a name', async () => {
    const before = wire.count('textDocument/didOpen');
    await screen.command('File: New Untitled Text File');
    await until('the server to hear of it', () => wire.count('textDocument/didOpen') > before);
    await screen.insert(HEAD);
    await until('the server to hear the text', () => wire.isAtRest());
    await screen.type('d');
    await screen.sees(TEXT.slice(1));
    await screen.press('Tab');
    await screen.sees('');
    // A file that is not saved would keep the editors open that later tests close.
    await screen.command('View: Revert and Close Editor');
  });

  it('is one of several', async () => {
    await screen.edit('several.rb', '# do:any alpha one|alpha two|alpha three|alpha four\n');
    await screen.type('a');
    await screen.sees('lpha one');
    await screen.press('Alt+]');
    await until('another one', async () => /^lpha (?:two|three|four)$/.test(await screen.ghost()));
    await screen.press('Alt+[');
    await screen.sees('lpha one');
  });
});

describe('suggestions', () => {
  it('are turned off and on for the file, the language and everywhere', async () => {
    for (const [name, title, reason] of [
      ['file.py', 'midfill: Turn Suggestions On or Off for This File', 'turned off for this file'],
      ['language.py', 'midfill: Turn Suggestions On or Off for This Language', 'turned off for the language python'],
      ['everywhere.py', 'midfill: Turn Suggestions On or Off', 'turned off everywhere'],
    ] as const) {
      await screen.edit(name, HEAD);
      await screen.command(title);
      await screen.status(reason);
      await screen.record();
      await screen.type('de');
      await screen.saves(name, `${HEAD}de`);
      assert.deepEqual(await screen.recorded(), ['']);
      await screen.command(title);
      await screen.status('is ready');
      await screen.type('f');
      await screen.sees(TEXT.slice('def'.length));
    }
  });
});

describe('a snooze', () => {
  it('is chosen from a list, and ended from it', async () => {
    await screen.edit('snooze.py', HEAD);
    await screen.command('midfill: Snooze Suggestions');
    await screen.choose('5 minutes');
    await screen.status('snoozed for 5 minutes');
    await screen.record();
    await screen.type('de');
    await screen.saves('snooze.py', `${HEAD}de`);
    assert.deepEqual(await screen.recorded(), ['']);
    await screen.command('midfill: Snooze Suggestions');
    await screen.choose('End the snooze');
    await screen.status('is ready');
    await screen.type('f');
    await screen.sees(TEXT.slice('def'.length));
  });
});

describe('the panel', () => {
  it('lists candidates, and inserts the one that is chosen', async () => {
    await screen.edit('panel.rb', '# do:any beta one|beta two|beta three|beta four\n');
    await screen.command('midfill: Show Candidates in a Panel');
    const accept = screen.page.locator('.codelens-decoration a', { hasText: 'Accept candidate 2' });
    await accept.waitFor();
    await screen.shoot('panel');
    await accept.click();
    await until('a candidate in the editor', async () => {
      await screen.press('Control+s');
      return /\nbeta (?:two|three|four)$/.test(readFileSync(path.join(workspace, 'panel.rb'), 'utf8'));
    });
    await screen.command('View: Close All Editors');
  });
});

describe('the menu', () => {
  it('leads to the statistics, which count what was accepted', async () => {
    const accepted = wire.told('accepted');
    assert.ok(accepted > 0);
    await screen.edit('menu.py', '');
    await screen.command('midfill: Show Menu');
    await screen.choose('Statistics');
    const page = await screen.reads('midfill in this window');
    await screen.shoot('statistics');
    assert.match(page, /accepted\s+[1-9]/);
    await screen.command('View: Close All Editors');
  });
});

describe('the doctor', () => {
  it('says that nothing is wrong', async () => {
    await screen.edit('doctor.py', '');
    await screen.command('midfill: Doctor');
    await screen.reads('Nothing is wrong.');
    await screen.shoot('doctor');
    await screen.command('View: Close All Editors');
  });
});

describe('the server', () => {
  it('comes back when it was killed', async () => {
    const killed = bench.processes(SERVER);
    killed.forEach((pid) => kill(pid, 'SIGKILL'));
    await screen.status('Starting the server');
    await until('another server', () => bench.processes(SERVER).some((pid) => !killed.includes(pid)));
    await screen.status('is ready');
    await suggestion('killed.py');
  });

  it('has caused no error in the extension host', () => {
    assert.deepEqual(bench.errors(), []);
  });

  it('ends when the window closes', async () => {
    assert.equal(bench.processes(SERVER).length, 2, 'the tap and the server');
    await screen.page.goto('about:blank');
    await until('the server to end', () => bench.processes(SERVER).length === 0);
  });

});

describe('a window with several folders', () => {
  before(async () => {
    for (const name of ['one', 'two']) {
      mkdirSync(path.join(workspace, name));
    }
    writeFileSync(path.join(workspace, 'two/second.py'), HEAD);
    writeFileSync(path.join(workspace, 'two/book.ipynb'), JSON.stringify(BOOK));
    const file = path.join(workspace, 'both.code-workspace');
    writeFileSync(file, JSON.stringify({ folders: [{ path: 'one' }, { path: 'two' }] }));
    screen = new Screen(await bench.open(file), workspace);
    // The workbench can be too early to read that file, and stays without folders then.
    await until('its folders', async () => {
      const isComplete = await screen.lists('one');
      if (!isComplete) {
        await screen.page.reload();
      }
      return isComplete;
    });
    await screen.status('is ready', LOAD_MS);
  });

  it('has ghost text in the second', async () => {
    await screen.open('second.py');
    await screen.press('Control+End');
    await screen.type('d');
    await screen.sees(TEXT.slice(1));
    await screen.press('Tab');
    await screen.saves('two/second.py', HEAD + TEXT);
  });

  it('has it in the cell of a notebook', async () => {
    await screen.find('book.ipynb');
    await screen.page.locator('.notebookOverlay .cell .monaco-editor').first().click();
    await screen.press('Control+End');
    await screen.type('d');
    await screen.sees(TEXT.slice(1));
    await screen.shoot('notebook');
    await screen.press('Tab');
    await screen.sees('');
    await screen.press('Control+s');
    await until('the file', () => readFileSync(path.join(workspace, 'two/book.ipynb'), 'utf8').includes('"    return a + b"'));
  });

  it('shows what another extension does wrong, so errors of ours would be seen', async () => {
    const wanted = ['deliberate: said', 'deliberate: thrown', 'deliberate: rejected'];
    await until('all of it', () => wanted.every((words) => bench.errors().some((error) => error.includes(words))));
    assert.deepEqual(bench.errors().filter((error) => !error.includes('deliberate')), []);
  });

  it('leaves no server when its extension host is killed', async () => {
    const servers = bench.processes(SERVER);
    assert.equal(servers.length, 2, 'the tap and the server');
    const hosts = bench.processes('--type=extensionHost');
    assert.ok(hosts.length > 0);
    hosts.forEach((host) => kill(host, 'SIGKILL'));
    await until('the server to end', () => !bench.processes(SERVER).some((pid) => servers.includes(pid)));
  });
});
