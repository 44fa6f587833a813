import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';

const FOLDER = path.join(__dirname, '..');
const TEXT = read('package.json');
const MANIFEST = JSON.parse(TEXT) as {
  contributes: {
    commands: { command: string }[];
    keybindings: { command: string }[];
    walkthroughs: { steps: { media: { markdown: string } }[] }[];
  };
};

function read(name: string): string {
  return readFileSync(path.join(FOLDER, name), 'utf8');
}

/** All that a pattern's group matches, each once. */
function matches(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, group = '']) => group))].sort();
}

const REGISTERED = matches(read('src/commands.ts'), /^ {4}(\w+): (?:async )?\(/gm);

describe('the manifest', () => {
  it('has commands that exist, in the palette, for keys and in the walkthrough', () => {
    const { commands, keybindings } = MANIFEST.contributes;
    const named = [...commands, ...keybindings]
      .map(({ command }) => command)
      .filter((command) => command.startsWith('midfill.'))
      .map((command) => command.slice('midfill.'.length));
    const linked = matches(TEXT, /ommand:midfill\.(\w+)/g);
    expect(linked).toContain('setUpServer');
    expect([...named, ...linked].filter((command) => !REGISTERED.includes(command))).toEqual([]);
  });

  it('names each command of the menu', () => {
    const inMenu = matches(read('src/menuEntries.ts'), /command: '(\w+)'/g);
    expect(inMenu.length).toBeGreaterThan(8);
    expect(inMenu.filter((command) => !REGISTERED.includes(command))).toEqual([]);
  });

  it('has the pages of the walkthrough', () => {
    const pages = MANIFEST.contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.markdown));
    expect(pages).toHaveLength(4);
    expect(pages.filter((page) => !existsSync(path.join(FOLDER, page)))).toEqual([]);
  });
});
