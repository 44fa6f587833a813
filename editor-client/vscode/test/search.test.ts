import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExtensionContext } from 'vscode';

import { examine, findServer, ownEnvironment } from '../src/search';
import * as editor from './vscode';

let folder: string;
let context: ExtensionContext;

/** A program that answers as a Python with this version of midfill; none: without midfill. */
function python(environment: string, version?: string): string {
  const program = path.join(environment, 'bin/python');
  mkdirSync(path.dirname(program), { recursive: true });
  writeFileSync(program, version === undefined ? '#!/bin/sh\nexit 1\n' : `#!/bin/sh\necho ${version}\n`);
  chmodSync(program, 0o755);
  return program;
}

describe.skipIf(process.platform === 'win32')('the search for a server', () => {
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'midfill-search-'));
    context = { globalStorageUri: { fsPath: path.join(folder, 'storage') } } as unknown as ExtensionContext;
    const uri = { scheme: 'file', fsPath: path.join(folder, 'project') };
    editor.workspace.workspaceFolders = [{ uri }];
    editor.workspace.isTrusted = true;
    python(ownEnvironment(context), '3.0');
  });

  afterEach(() => {
    editor.settings.clear();
    rmSync(folder, { recursive: true });
  });

  it('ends with the setting, and looks nowhere else', async () => {
    editor.settings.set('server.command', ['midfill', 'lsp']);
    expect(await findServer(context)).toEqual({
      server: { command: 'midfill', args: ['lsp'] },
      origin: 'the setting midfill.server.command',
    });
  });

  it("prefers the workspace's environment to the extension's", async () => {
    const program = python(path.join(folder, 'project/venv'), '2.0');
    const found = await findServer(context);
    expect(found?.server.command).toBe(program);
    expect(found?.origin).toBe('venv of the workspace (midfill 2.0)');
  });

  it('goes on where midfill is not installed', async () => {
    python(path.join(folder, 'project/.venv'));
    expect((await findServer(context))?.origin).toBe("midfill's own environment (midfill 3.0)");
  });

  it('runs nothing of a workspace that is not trusted', async () => {
    python(path.join(folder, 'project/.venv'), '2.0');
    editor.workspace.isTrusted = false;
    expect((await findServer(context))?.origin).toBe("midfill's own environment (midfill 3.0)");
  });

  it('says of each place whether midfill is there', async () => {
    python(path.join(folder, 'project/.venv'));
    python(path.join(folder, 'project/venv'), '2.0');
    const versions = (await examine(context)).map(({ version }) => version);
    expect(versions.slice(0, 3)).toEqual([undefined, '2.0', '3.0']);
  });
});
