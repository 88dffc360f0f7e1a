#!/usr/bin/env -S node --max-semi-space-size=2 --expose-gc
// Checks the Node version before any TypeScript is loaded, so that an old one gets a sentence and not a syntax error.
import module from 'node:module';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

if (!(Number.parseInt(process.versions.node, 10) >= 24)) {
  process.stderr.write(`aovpnd: Node 24 or newer is needed, this is ${process.versions.node}\n`);
  process.exit(1);
}
// The cache lies beside the sources, never in a directory that other people may write: who can change it can change the code anyway.
const directory = fileURLToPath(new URL('../../../.build/compile-cache', import.meta.url));
module.enableCompileCache({ directory, portable: true });
const { main } = await import('../src/main.ts');
await main(process.argv.slice(2));
