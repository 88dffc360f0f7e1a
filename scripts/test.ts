// `npm test`: the gate, then every test that needs no special hardware. Extra arguments are globs to run instead of all.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

const globs = [
  'packages/*/test/**/*.test.ts',
  'test/**/*.test.ts',
  'fuzz/**/*.test.ts',
  'lab/**/*.test.ts',
  'scenarios/**/*.test.ts',
];
/** Milliseconds after which a test file counts as stuck: not a measure of speed, only so that a hang ends by itself. */
const stuckAfter = 600_000;
const wanted = process.argv.slice(2);

if (wanted.length === 0) {
  const gate = spawnSync(process.execPath, ['scripts/gate.ts'], { stdio: 'inherit' });
  if (gate.status !== 0) process.exit(gate.status ?? 1);
}
const tests = spawnSync(
  process.execPath,
  [
    '--test',
    '--test-concurrency=3',
    `--test-timeout=${stuckAfter}`,
    '--test-reporter=spec',
    ...(wanted.length > 0 ? wanted : globs),
  ],
  // Each test file is a process of its own: what one has compiled, the next one finds (half of the start of most of them).
  { stdio: 'inherit', env: { ...process.env, NODE_COMPILE_CACHE: path.resolve('.build/compile-cache') } },
);
process.exit(tests.status ?? 1);
