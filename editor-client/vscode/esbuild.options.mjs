// How the extension is bundled: files that VS Code loads without reading node_modules.

// What is imported by `import()` is a file of its own, read when it is needed.
const apart = {
  name: 'apart',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\// }, ({ kind, path }) => (kind === 'dynamic-import' ? { path, external: true } : undefined));
  },
};

/** @type {import("esbuild").BuildOptions} */
export const options = {
  entryPoints: ['src/extension.ts', 'src/client.ts', 'src/web.ts'],
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['vscode'],
  minify: true,
  legalComments: 'eof',
  plugins: [apart],
  // VS Code gives its API to what is read by `require` only.
  supported: { 'dynamic-import': false },
};
