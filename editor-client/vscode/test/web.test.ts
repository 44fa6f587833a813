import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExtensionContext } from 'vscode';

import { REFUSAL, activate } from '../src/web';
import { commands, items, said } from './vscode';

const MANIFEST = JSON.parse(readFileSync(path.join(__dirname, '../package.json'), 'utf8')) as {
  browser: string;
  contributes: { commands: { command: string }[] };
};

describe('in a browser without a machine', () => {
  const subscriptions: unknown[] = [];
  activate({ extension: { packageJSON: MANIFEST }, subscriptions } as unknown as ExtensionContext);

  it('the status bar says why nothing is suggested', () => {
    expect(items.map(({ tooltip }) => tooltip)).toEqual([REFUSAL]);
  });

  it('each command says so, too', async () => {
    for (const { command } of MANIFEST.contributes.commands) {
      said.length = 0;
      await commands.executeCommand(command);
      expect(said, command).toEqual([REFUSAL]);
    }
  });

  it('what was made is freed with the extension', () => {
    expect(subscriptions).toHaveLength(MANIFEST.contributes.commands.length + 1);
  });
});
