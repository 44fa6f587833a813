import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InlineCompletionTriggerKind, type CancellationToken, type InlineCompletionContext, type TextDocument } from 'vscode';

import type { Client } from '../src/client';
import { Ghost } from '../src/ghost';
import type { Part, Reply } from '../src/protocol';
import * as editor from './vscode';

const LINE = 'for x in y:';
const WHOLE = `${LINE}\n    pass`;
const SHOWS_LINE = `shows ${JSON.stringify([LINE])}`;
const SHOWS_WHOLE = `shows ${JSON.stringify([WHOLE])}`;
const COMMAND = 'editor.action.inlineSuggest.';

const cursor = new editor.Position(0, 0);
const document = { uri: { path: '/a.py' }, version: 1, offsetAt: () => 0 } as unknown as TextDocument;
const never = { onCancellationRequested: () => ({ dispose: () => undefined }) } as unknown as CancellationToken;
const range = { start: cursor, end: cursor };

/** A part of a suggestion, or all of it. */
function state(insertText: string): Part & Reply {
  return { items: [{ insertText, range, itemId: '1' }] } as unknown as Part & Reply;
}

describe('a suggestion that grows', () => {
  /** What the editor has been told, and what it shows then. */
  let log: string[];
  let ghost: Ghost;
  /** Lets the server's suggestion become whole. */
  let finish: () => void;

  /** The editor asks, and shows what it gets. */
  async function ask(isInvoked: boolean): Promise<void> {
    const { Automatic, Invoke } = InlineCompletionTriggerKind;
    const context = { triggerKind: isInvoked ? Invoke : Automatic } as InlineCompletionContext;
    const items = await ghost.provide(document, cursor as never, context, never);
    log.push(`shows ${JSON.stringify(items?.map(({ insertText }) => insertText))}`);
  }

  /** What the editor does with one of its commands. */
  function onCommand(name: string, run: () => unknown): void {
    editor.commands.registerCommand(COMMAND + name, () => {
      log.push(name);
      return run();
    });
  }

  beforeEach(() => {
    vi.useFakeTimers();
    log = [];
    editor.window.activeTextEditor = { document, selection: { active: cursor } };
    const suggest: Client['suggest'] = (_place, _context, _token, onPart) => {
      onPart?.(state(`${LINE}\n`));
      return new Promise((resolve) => {
        finish = () => {
          resolve(state(WHOLE));
        };
      });
    };
    const client = { suggest, shown: () => undefined } as unknown as Client;
    ghost = new Ghost({
      client: () => client,
      isWanted: () => true,
      isStreaming: () => true,
      log: (message) => log.push(message),
    });
    onCommand('hide', () => undefined);
    onCommand('trigger', () => ask(true));
  });

  afterEach(() => {
    ghost.dispose();
    vi.useRealTimers();
  });

  it('goes on to its next state without a blink', async () => {
    onCommand('showNext', () => ask(true));
    await ask(false);
    finish();
    await vi.runAllTimersAsync();
    expect(log).toEqual([SHOWS_LINE, 'showNext', SHOWS_WHOLE, 'trigger', SHOWS_WHOLE]);
  });

  it('stays on the screen of an editor that takes long to come to it', async () => {
    onCommand('showNext', async () => {
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      await ask(true);
    });
    await ask(false);
    finish();
    await vi.runAllTimersAsync();
    expect(log).not.toContain('hide');
    expect(log.at(-1)).toBe(SHOWS_WHOLE);
  });

  it('is hidden and shown again in an editor that does not ask again', async () => {
    onCommand('showNext', () => undefined);
    await ask(false);
    finish();
    await vi.runAllTimersAsync();
    expect(log).toEqual([SHOWS_LINE, 'showNext', 'hide', 'trigger', SHOWS_WHOLE]);
  });

  it('does not answer a later request with a state that nobody asked for', async () => {
    onCommand('showNext', () => undefined);
    onCommand('trigger', () => undefined);
    await ask(false);
    finish();
    await vi.runAllTimersAsync();
    log = [];
    void ask(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual([SHOWS_LINE]);
  });
});
