#!/usr/bin/env node
// Checks the Node version before any TypeScript is loaded, so that an old one gets a sentence and not a syntax error.
import process from 'node:process';

if (!(Number.parseInt(process.versions.node, 10) >= 24)) {
  process.stderr.write(`aovpnd: Node 24 or newer is needed, this is ${process.versions.node}\n`);
  process.exit(1);
}
const { main } = await import('../src/main.ts');
await main(process.argv.slice(2));
