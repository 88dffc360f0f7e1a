// Loaded first by every Node of the guest. Its source files have lost their types on the way in (write-sources.ts), so they are taken as they are: Node's own
// remover of types is WebAssembly, which takes long to compile there, and under emulation V8's change from a quickly to a well compiled function now and then
// ends the process ("Check failed: it->second.Size() > offset", or a segmentation fault).
const { readFileSync } = require('node:fs');
const { registerHooks } = require('node:module');
const { fileURLToPath } = require('node:url');

require('node:v8').setFlagsFromString('--no-wasm-tier-up');
registerHooks({
  load(url, context, next) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
    const source = readFileSync(fileURLToPath(url), 'utf8');
    // The last line is write-sources.ts' mark.
    return source.endsWith('\n//# without types\n') ? { format: 'module', source, shortCircuit: true } : next(url, context);
  },
});
