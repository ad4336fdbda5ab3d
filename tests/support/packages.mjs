// The npm packages of tests/e2e, for modules that lie outside it.
import { createRequire } from 'node:module';

export const require = createRequire(new URL('../e2e/package.json', import.meta.url));
