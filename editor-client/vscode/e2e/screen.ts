/**
 * The workbench as a user has it: what is on the screen, and keys.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Locator, Page, Frame as PageFrame } from 'playwright-core';

import { OUT, WINDOW, until } from './workbench.ts';

const STATUS = '.statusbar-item[id*="midfill"]';
const SIGN_MS = 60_000;

/** For a step that is tried again if it fails. */
const STEP = { timeout: 5000 };

/** Ghost text that has not changed for so long is complete. */
const REST_MS = 3000;

/** Until a model is loaded, with the kernels compiled for the first time. */
export const LOAD_MS = 120_000;

/** What the page keeps for `record` and `time`. */
declare global {
  interface Window {
    midfillStates?: string[];
    midfillTimes?: { readonly pressed: number; readonly seen?: number };
  }
}

/** A part of the window, in pixels. */
export interface Clip {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A picture of the growing ghost text, and when it was taken: milliseconds since the last key. */
export interface Frame {
  readonly atMs: number;
  readonly ghost: string;
  readonly png: Buffer;
}

export class Screen {
  readonly page: Page;
  private readonly workspace: string;

  constructor(page: Page, workspace: string) {
    this.page = page;
    this.workspace = workspace;
  }

  /** Writes a file of the workspace and opens it, with the cursor at its end or on a line, counted from 1. */
  async edit(name: string, text: string, line?: number): Promise<void> {
    writeFileSync(path.join(this.workspace, name), text);
    await this.open(name);
    await this.press('Control+End');
    if (line !== undefined) {
      await this.press('Control+Home');
      for (let above = 1; above < line; above += 1) {
        await this.press('ArrowDown');
      }
      await this.press('End');
    }
  }

  async open(name: string): Promise<void> {
    await this.find(name);
    await this.page.locator('.part.editor .view-lines').first().click();
  }

  /** Goes to a file by its name, whatever its editor is. */
  async find(name: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input').first();
    const row = this.page.locator(`.quick-input-list .monaco-list-row[aria-label^="${name}"]`).first();
    await until(`${name} to be listed`, async () => {
      await this.press('Escape');
      await this.press('Control+p');
      return happens(async () => {
        await input.fill(name, STEP);
        await row.waitFor(STEP);
      });
    });
    await this.press('Enter');
    const tab = this.page.locator(`.tab.active[data-resource-name="${name}"]`);
    await tab.waitFor({ state: 'visible', timeout: SIGN_MS });
  }

  /** Whether the explorer comes to list a file or a folder. */
  lists(name: string): Promise<boolean> {
    const row = this.page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).first();
    return happens(() => row.waitFor({ timeout: 2 * STEP.timeout }));
  }

  /** Runs a command by its title in the palette. */
  async command(title: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input').first();
    const rows = '.quick-input-list .monaco-list-row';
    const row = this.page.locator(`${rows}[aria-label="${title}"], ${rows}[aria-label^="${title},"]`).first();
    let isOpen = false;
    await until(`the command ${title}`, async () => {
      if (isOpen) {
        await this.press('Escape');
      }
      isOpen = true;
      await this.press('F1');
      return happens(async () => {
        await input.fill(`>${title}`, STEP);
        await row.waitFor(STEP);
      });
    });
    await row.click();
  }

  /** Takes the first line with these words of a list that is open. */
  async choose(label: string): Promise<void> {
    const row = this.page.locator(`.quick-input-list .monaco-list-row[aria-label*="${label}"]`).first();
    await row.waitFor({ state: 'visible', timeout: SIGN_MS });
    await row.click();
  }

  /** Takes a file in the editor's own dialog for files, which is open. */
  async chooseFile(file: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input').first();
    await until('the dialog to have a folder', async () => (await input.inputValue()).endsWith('/'));
    // The dialog completes what is typed, which can come between.
    const row = this.page.locator('.quick-input-list .monaco-list-row', { hasText: path.basename(file) }).first();
    await until('the dialog to close', async () => {
      const isThere = await happens(async () => {
        await input.fill(file, STEP);
        await row.waitFor(STEP);
        await this.press('Enter');
        await input.waitFor({ state: 'hidden', ...STEP });
      });
      return isThere || input.isHidden();
    });
  }

  /** A notification with these words. */
  notification(words: string): Locator {
    return this.page.locator('.notification-list-item', { hasText: words }).first();
  }

  async press(key: string): Promise<void> {
    await this.page.keyboard.press(key);
  }

  /** Types as a person does, key by key. */
  async type(text: string, delayMs = 60): Promise<void> {
    await this.page.keyboard.type(text, { delay: delayMs });
  }

  /** Puts a text in at once, as pasting does. */
  async insert(text: string): Promise<void> {
    await this.page.keyboard.insertText(text);
  }

  /** The ghost text, its lines as on the screen; empty: none. */
  ghost(): Promise<string> {
    return this.page.evaluate(ghostText);
  }

  /** Waits until exactly this ghost text is on the screen. */
  async sees(text: string): Promise<void> {
    let last = '';
    try {
      await until(`the ghost text`, async () => (last = await this.ghost()) === text, SIGN_MS);
    } catch (error) {
      throw new Error(`wanted ${JSON.stringify(text)}, saw ${JSON.stringify(last)}`, { cause: error });
    }
  }

  /** Waits until there is ghost text that grows no more, and returns it. */
  async seesSome(): Promise<string> {
    let seen = '';
    await until('ghost text to come to rest', async () => {
      const before = await this.ghost();
      await pause(before === '' ? 0 : REST_MS);
      await this.status('is ready');
      seen = await this.ghost();
      return seen !== '' && seen === before;
    });
    return seen;
  }

  /** From now on, notes each ghost text that a frame shows; looks when the frame is complete, for it is drawn in steps. */
  async record(): Promise<void> {
    await this.page.evaluate(`
      window.midfillStates = [];
      {
        const states = window.midfillStates;
        const look = ${ghostText.toString()};
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
          const now = look();
          if (now !== states.at(-1)) states.push(now);
          if (window.midfillStates === states) frame();
        };
        const frame = () => requestAnimationFrame(() => port2.postMessage(0));
        port1.onmessage();
      }
    `);
  }

  /** From now on, notes when a key went down and when a frame first showed ghost text after it. */
  async time(): Promise<void> {
    await this.page.evaluate(`
      addEventListener('keydown', (event) => {
        if (event.key.length === 1) window.midfillTimes = { pressed: performance.now() };
      }, true);
      {
        const look = ${ghostText.toString()};
        const frame = () => {
          const times = window.midfillTimes;
          if (times !== undefined && times.seen === undefined && look() !== '') times.seen = performance.now();
          requestAnimationFrame(frame);
        };
        frame();
      }
    `);
  }

  /** Milliseconds from the last key to its ghost text; undefined: there is none yet. */
  sinceKey(): Promise<number | undefined> {
    return this.page.evaluate(() => {
      const { pressed = 0, seen } = window.midfillTimes ?? {};
      return seen && seen - pressed;
    });
  }

  /** Types, and takes a picture of each state of the ghost text until it has come to rest. */
  async film(text: string, clip: Clip): Promise<Frame[]> {
    const frames: Frame[] = [];
    await this.type(text);
    const start = performance.now();
    let changed = start;
    await until('the ghost text to come to rest', async () => {
      const ghost = await this.ghost();
      if (ghost !== '' && ghost !== frames.at(-1)?.ghost) {
        changed = performance.now();
        const png = await this.page.screenshot({ clip });
        frames.push({ atMs: changed - start, ghost: await this.ghost(), png });
      }
      return frames.length > 0 && performance.now() - changed > REST_MS;
    });
    return frames;
  }

  /** What `record` has noted. */
  recorded(): Promise<readonly string[]> {
    return this.page.evaluate(() => window.midfillStates ?? []);
  }

  /** Waits until the item in the status bar says this, and returns all that it says. */
  async status(words: string, limitMs = SIGN_MS): Promise<string> {
    const item = this.page.locator(`${STATUS}[aria-label*="${words}"]`);
    await item.waitFor({ timeout: limitMs }).catch(async (error: unknown) => {
      const label = await this.page.locator(STATUS).first().getAttribute('aria-label');
      throw new Error(`wanted ${words}, the status bar says ${String(label)}`, { cause: error });
    });
    return (await item.getAttribute('aria-label')) ?? '';
  }

  /** Milliseconds that loading and activating the extension took, as the editor has counted. */
  async activation(): Promise<number> {
    const size = this.page.viewportSize();
    // Rows below the window's end are not in the page.
    await this.page.setViewportSize({ width: 1100, height: 2400 });
    await this.command('Developer: Show Running Extensions');
    const row = this.page.locator('.runtime-extensions-editor .extension', { hasText: 'midfill' });
    const text = await row.locator('.activation-time').innerText();
    await this.command('View: Close All Editors');
    await this.page.setViewportSize(size ?? WINDOW);
    return Number(/(\d+)ms/.exec(text)?.[1]);
  }

  /** Waits until a page that the extension shows has this text, and returns all of its text. */
  async reads(words: string): Promise<string> {
    let text = '';
    await until(`a page with ${words}`, async () => {
      const texts = await Promise.all(this.page.frames().map((frame) => shownText(frame).catch(() => '')));
      text = texts.find((each) => each.includes(words)) ?? '';
      return text !== '';
    });
    return text;
  }

  /** Saves, and waits until the file on disk has this text. */
  async saves(name: string, text: string): Promise<void> {
    await this.press('Control+s');
    const file = path.join(this.workspace, name);
    let last = '';
    try {
      await until('the file', () => (last = readFileSync(file, 'utf8')) === text, SIGN_MS);
    } catch (error) {
      throw new Error(`wanted ${JSON.stringify(text)} on disk, found ${JSON.stringify(last)}`, { cause: error });
    }
  }

  /** Saves the pictures below each other, with their times, as one. */
  async strip(name: string, frames: readonly Frame[]): Promise<void> {
    const figures = frames.map(
      ({ atMs, png }) =>
        `<figure><img src="data:image/png;base64,${png.toString('base64')}">` +
        `<figcaption>${(atMs / 1000).toFixed(1)} s</figcaption></figure>`,
    );
    const style =
      'body{margin:0;display:grid;gap:6px;background:#e0e0e0;width:max-content}img{display:block}' +
      'figure{margin:0;background:#fff;font:13px sans-serif}figcaption{padding:0 6px 4px;text-align:right}';
    const page = await this.page.context().browser()?.newPage();
    if (page === undefined) {
      throw new Error('the browser is gone');
    }
    await page.setContent(`<!doctype html><style>${style}</style>${figures.join('')}`);
    await page.locator('body').screenshot({ path: path.join(OUT, `${name}.png`) });
    await page.close();
  }

  /** Saves a picture, and returns what the window shows of a suggestion. */
  async keep(file: string): Promise<Record<string, unknown>> {
    await this.page.screenshot({ path: file });
    const status = await this.page.locator(STATUS).first().getAttribute('aria-label', { timeout: 1000 }).catch(String);
    const focus = await this.page.evaluate(() => document.activeElement?.className);
    return { ghost: await this.ghost(), recorded: await this.recorded(), status, focus };
  }

  async shoot(name: string): Promise<void> {
    mkdirSync(OUT, { recursive: true });
    await this.page.screenshot({ path: path.join(OUT, `${name}.png`) });
  }
}

/** What a frame in the page shows; a new one is hidden until it has loaded. */
async function shownText(frame: PageFrame): Promise<string> {
  const element = await frame.frameElement();
  const isPending = (await element.getAttribute('id')) === 'pending-frame';
  return isPending ? '' : frame.locator('body').innerText({ timeout: 1000 });
}

/** Whether all of it came about, each step in its time. */
function happens(steps: () => Promise<void>): Promise<boolean> {
  return steps().then(
    () => true,
    () => false,
  );
}

/**
 * Whether what stands on the screen only grows: no line goes away, or loses or changes what it has.
 *
 * The editor draws lines below the cursor's a frame before the rest of that one, if its machine is busy.
 */
export function onlyGrow(states: readonly string[], first = ''): boolean {
  return states.every((state, index) => {
    const lines = state.split('\n');
    return (states[index - 1] ?? first).split('\n').every((line, number) => lines[number]?.startsWith(line));
  });
}

/** Runs in the page; blanks in the editor are U+00A0. */
function ghostText(): string {
  const texts = (selector: string): string[] =>
    [...document.querySelectorAll(selector)].map((element) => element.textContent);
  const first = texts('.view-lines .ghost-text-decoration').join('');
  const further = texts('.suggest-preview-text .view-line');
  return (further.length === 0 ? [first] : [first, ...further]).join('\n').replaceAll('\u00a0', ' ').replaceAll('\u200b', '');
}
