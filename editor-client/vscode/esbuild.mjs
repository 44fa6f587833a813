// Bundles the extension into dist/.
import { build } from 'esbuild';

import { options } from './esbuild.options.mjs';

await build(options);
