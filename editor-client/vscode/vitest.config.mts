import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The editor's API is there in the editor only.
  resolve: { alias: { vscode: path.join(import.meta.dirname, 'test/vscode.ts') } },
  test: { include: ['test/**/*.test.{ts,mts}'] },
});
