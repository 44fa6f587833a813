import { describe, expect, it } from 'vitest';

import { sheetOf } from '../src/candidateSheet';
import { menuEntries, type MenuState } from '../src/menuEntries';
import { costLine, explainPage, statsPage } from '../src/pages';
import type { CompletionStats, Explanation, Status } from '../src/protocol';
import { statusLine, type Process } from '../src/statusText';

const RUNNING: Process = { kind: 'running', origin: 'here' };
const READY: Status = { state: 'ready', message: '', model: 'tiny', progress: null };
const COST: CompletionStats = {
  finishReason: 'block',
  order: 'psm',
  promptTokens: 310,
  cachedTokens: 300,
  prefilledTokens: 10,
  generatedTokens: 20,
  queueMs: 0,
  prefillMs: 50,
  decodeMs: 200,
  meanLogprob: -0.5,
};
const ABOUT: Explanation = {
  itemId: '1',
  text: 'x = "```"',
  source: 'generated',
  model: 'tiny',
  dialect: 'left-to-right',
  device: 'cpu',
  dtype: 'int4',
  path: 'src/a`b.py',
  line: 4,
  scope: 'auto',
  temperature: 0,
  context: [
    { path: 'src/b|c.py', firstLine: 1, lastLine: 30, characters: 812, score: 0.625, reasons: ['imported', 'open'], fitted: false },
  ],
  cut: '',
  stats: COST,
  contextMs: 1.25,
  report: '',
};

describe('the status bar', () => {
  it.each<[string, Process, Status | undefined, string | undefined]>([
    ['$(sync~spin) midfill', { kind: 'looking' }, undefined, undefined],
    ['$(sync~spin) midfill', { kind: 'starting', origin: 'here' }, undefined, undefined],
    ['$(error) midfill', { kind: 'missing' }, undefined, undefined],
    ['$(error) midfill', { kind: 'stopped', reason: 'it ended' }, READY, undefined],
    ['$(loading~spin) midfill 42 %', RUNNING, { ...READY, state: 'loading', progress: 0.42 }, undefined],
    ['$(sparkle) midfill', RUNNING, READY, undefined],
    ['$(sparkle-filled) midfill', RUNNING, { ...READY, state: 'thinking' }, undefined],
    ['$(circle-slash) midfill', RUNNING, READY, 'turned off everywhere'],
    ['$(circle-outline) midfill', RUNNING, undefined, undefined],
    ['$(error) midfill', RUNNING, { ...READY, state: 'error' }, 'turned off everywhere'],
  ])('says %s', (text, process, status, off) => {
    expect(statusLine(process, status, off).text).toBe(text);
  });

  it('explains an error and why suggestions are off', () => {
    const failed = statusLine(RUNNING, { ...READY, state: 'error', message: 'run this' }, undefined);
    expect(failed).toMatchObject({ tooltip: 'run this', isError: true });
    const off = statusLine(RUNNING, READY, 'turned off everywhere');
    expect(off).toMatchObject({ tooltip: 'Suggestions are turned off everywhere', isError: false });
  });
});

describe('the menu', () => {
  const state: MenuState = { process: RUNNING, status: READY, last: COST, off: undefined, languageId: 'python' };
  const commands = (change: Partial<MenuState>): string[] =>
    menuEntries({ ...state, ...change }).map(({ command }) => command);

  it('has what helps at the top', () => {
    expect(commands({ process: { kind: 'missing' } })[0]).toBe('setUpServer');
    expect(commands({ status: { ...READY, state: 'error' } })[0]).toBe('pullModel');
    expect(commands({})[0]).toBe('explain');
  });

  it('has switches for the document only if there is one', () => {
    expect(commands({})).toContain('toggleLanguage');
    expect(commands({ languageId: undefined })).not.toContain('toggleFile');
  });

  it('says how fast the last suggestion was', () => {
    const descriptions = menuEntries(state).map(({ description }) => description);
    expect(descriptions).toContain('20 tokens in 250 ms, 100 tokens/s');
    expect(costLine({ ...COST, decodeMs: 0 })).toBe('20 tokens in 50 ms, 0 tokens/s');
  });
});

describe('the page that explains', () => {
  it('lets nothing of a file end its fence', () => {
    expect(explainPage(ABOUT)).toContain('````\nx = "```"\n````');
    expect(explainPage(ABOUT)).toContain('`` src/a`b.py, line 4 ``');
  });

  it('lists what the model read', () => {
    const row = '| ` src/b\\|c.py ` | 1–30 | 812 | imported, open | 0.63 | no room |';
    expect(explainPage(ABOUT)).toContain(row);
    expect(explainPage(ABOUT)).toContain('Collected in 1.3 ms.');
  });

  it('says so when nothing was read, nothing is known of the cost, and there is no path', () => {
    const page = explainPage({ ...ABOUT, context: [], stats: null, path: null, cut: 'rest' });
    expect(page).toContain('read of other files\n\nNothing.');
    expect(page).toContain('It is not complete yet.');
    expect(page).toContain('A document without a path, line 4');
    expect(page).toContain('```\nrest\n```');
  });
});

describe('the page of statistics', () => {
  it('writes the names as words', () => {
    const page = statsPage({ requests: 3, worstCancelMs: null, last: COST });
    expect(page).toContain('| requests | 3 |');
    expect(page).toContain('| worst cancel (ms) | – |');
    expect(page).toContain('| finish reason | ` block ` |');
  });

  it('says that there is no completion yet', () => {
    expect(statsPage({})).toContain('There is none yet.');
  });
});

describe('the panel with candidates', () => {
  it('shows each from the start of the line, a blank line between', () => {
    expect(sheetOf('  return ', ['a', 'b(\n  )'])).toEqual({
      text: '  return a\n\n  return b(\n  )\n',
      starts: [0, 2],
    });
  });
});
