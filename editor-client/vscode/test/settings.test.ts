import { describe, expect, it } from 'vitest';

import { nested, serverOptions } from '../src/serverSettings';
import { reasonOff, toggled, type Switches } from '../src/toggles';

describe("the server's options", () => {
  it('are all but those that only the extension understands', () => {
    const names = ['enabled', 'server.command', 'server.install', 'trace.server', 'streaming', 'context.exclude'];
    const properties = names.map((name) => `midfill.${name}`);
    expect(serverOptions(properties)).toEqual(['enabled', 'context.exclude']);
  });

  it('are nested by their dots; what is not set is left out', () => {
    const options = nested([
      ['model', 'a.gguf'],
      ['dialect', undefined],
      ['completion.maxTokens', 64],
      ['completion.seed', null],
    ]);
    expect(options).toEqual({ model: 'a.gguf', completion: { maxTokens: 64, seed: null } });
  });
});

describe('suggestions', () => {
  const on: Switches = { enabled: true, disabledLanguages: ['markdown'], disabledFiles: ['file:///b'], snoozedUntil: 0 };
  const here = { uri: 'file:///a', languageId: 'python' };

  it('are on if no switch is off', () => {
    expect(reasonOff(on, here, 0)).toBeUndefined();
    expect(reasonOff(on, undefined, 0)).toBeUndefined();
  });

  it.each([
    ['turned off everywhere', { enabled: false }, here],
    ['snoozed for 2 minutes', { snoozedUntil: 61_000 }, here],
    ['snoozed for 1 minute', { snoozedUntil: 59_000 }, undefined],
    ['turned off for the language markdown', {}, { ...here, languageId: 'markdown' }],
    ['turned off for this file', {}, { ...here, uri: 'file:///b' }],
  ])('are %s', (reason, change, subject) => {
    expect(reasonOff({ ...on, ...change }, subject, 0)).toBe(reason);
  });

  it('are on again when the snooze is over', () => {
    expect(reasonOff({ ...on, snoozedUntil: 5 }, here, 5)).toBeUndefined();
  });

  it('are toggled in a list', () => {
    expect(toggled([], 'a')).toEqual(['a']);
    expect(toggled(['a', 'b'], 'a')).toEqual(['b']);
  });
});
