// Everything static: types and walls, lint, format, unused code. Each check runs even when an earlier one failed.
import { spawnSync } from 'node:child_process';
import process from 'node:process';

const checks: readonly { readonly name: string; readonly argv: readonly string[] }[] = [
  { name: 'types and walls', argv: ['tsc', '-b'] },
  { name: 'lint', argv: ['oxlint', '--type-aware', '--deny-warnings', '--quiet'] },
  { name: 'format', argv: ['oxfmt', '--check'] },
  { name: 'release', argv: [process.execPath, 'scripts/build.ts'] },
  { name: 'unused and undeclared', argv: ['knip', '--no-progress', '--no-config-hints'] },
];

let failed = 0;
for (const check of checks) {
  const [program, ...args] = check.argv;
  const started = performance.now();
  const result = spawnSync(program!, args, { encoding: 'utf8' });
  const good = result.status === 0;
  if (!good) failed++;
  process.stdout.write(`${good ? 'ok    ' : 'FAILED'} ${check.name} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`);
  if (!good) process.stdout.write(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}\n`);
}
process.exit(failed === 0 ? 0 : 1);
