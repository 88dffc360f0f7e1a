// Loaded first by every Node of the guest. Under emulation V8's change from a quickly to a well compiled WebAssembly function (Node's own remover of types is
// one) now and then ends the process with "Check failed: it->second.Size() > offset".
require('node:v8').setFlagsFromString('--no-wasm-tier-up');
