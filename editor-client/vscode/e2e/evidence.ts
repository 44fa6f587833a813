/**
 * What is kept of a case that failed, in build/e2e/failed: a picture, and what everybody said.
 */

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach } from 'node:test';

import type { Screen } from './screen.ts';
import { OUT } from './workbench.ts';

/** Files that a workbench leaves in its folder: its own words, the server's, and what passed between it and the editor. */
const FILES = ['code-server.log', 'home/.local/state/midfill/log/lsp.log', 'wire.jsonl'];
/** The last lines of each file that are shown at once. */
const LINES = 12;

/**
 * Keeps this of each case of the file that fails.
 *
 * @param folder Of the workbench.
 * @param screen The window that the cases look at now.
 */
export function keepEvidence(folder: string, screen: () => Screen | undefined): void {
  afterEach(async (context) => {
    // The types of Node 20 do not know of the result.
    const { passed, name } = context as unknown as { readonly passed: boolean; readonly name: string };
    if (!passed) {
      await keep(path.join(OUT, 'failed', name.replaceAll(/\W+/g, '-')), folder, screen());
    }
  });
}

async function keep(place: string, folder: string, screen: Screen | undefined): Promise<void> {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  const state = await screen?.keep(path.join(place, 'screen.png')).catch(String);
  const text = `${JSON.stringify(state, null, 1)}\n`;
  writeFileSync(path.join(place, 'screen.json'), text);
  process.stdout.write(`# kept in ${place}:\n${text}`);
  for (const file of FILES.map((name) => path.join(folder, name)).filter(existsSync)) {
    cpSync(file, path.join(place, path.basename(file)));
    const last = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LINES);
    process.stdout.write(`# ${path.basename(file)}:\n${last.join('\n')}\n`);
  }
}
