import { build, type Metafile } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';

import { options } from '../esbuild.options.mjs';

const ENTRY = 'dist/extension.js';
let outputs: Metafile['outputs'];

beforeAll(async () => {
  const { metafile } = await build({ ...options, write: false, metafile: true });
  ({ outputs } = metafile);
});

/** What a bundled file reads when it is loaded, or later. */
function imports(name: string): string[] {
  return (outputs[name]?.imports ?? []).map(({ path }) => path.replace(/^node:/, ''));
}

describe('the file that VS Code loads at its start', () => {
  it('is small, and has nothing of a package in it', () => {
    expect(outputs[ENTRY]?.bytes).toBeLessThan(50_000);
    expect(Object.keys(outputs[ENTRY]?.inputs ?? {}).filter((path) => path.includes('node_modules'))).toEqual([]);
  });

  it('leaves the language client to a file of its own', () => {
    expect(imports(ENTRY)).toContain('./client.js');
    expect(Object.keys(outputs)).toContain('dist/client.js');
  });

  it('has no way to the network', () => {
    const network = ['dgram', 'dns', 'http', 'http2', 'https', 'net', 'tls'];
    expect(imports(ENTRY).filter((path) => network.includes(path))).toEqual([]);
  });
});
