// `npm run test:kernel`: boots Debian's own kernel in QEMU and runs in it what needs the kernel's ESP. Arguments are test files to run instead of
// all, or with a leading `/` a regular expression for names of tests.
import { globSync } from 'node:fs';
import process from 'node:process';
import { runLane } from '../lab/kernel/lane.ts';
import { kernelRelease } from '../lab/kernel/virtual-machine.ts';

/** An hour: not a measure of speed, only so that a hang ends by itself. */
const timeoutMs = 3_600_000;

const wanted = process.argv.slice(2);
const only = wanted.find((word) => word.startsWith('/'))?.slice(1);
const named = wanted.filter((word) => !word.startsWith('/'));
const files = named.length > 0 ? named : globSync(['packages/*/test/**/*.guest.ts', 'scenarios/**/*.guest.ts']).toSorted();
process.stdout.write(`Linux ${kernelRelease()} in QEMU (an emulated processor: some ten times slower than this machine)\n`);
for (const file of files) process.stdout.write(`  ${file}\n`);
const report = await runLane({
  files,
  ...(only === undefined ? {} : { only }),
  timeoutMs,
  onResult: ({ name, outcome, milliseconds, why }) => {
    const mark = { passed: '✔', failed: '✖', skipped: '﹣' }[outcome];
    process.stdout.write(`${mark} ${name} (${milliseconds} ms)\n`);
    if (why !== undefined) process.stdout.write(`${why.replaceAll(/^/gm, '    ')}\n`);
  },
  onText: (line) => process.stdout.write(`  ${line}\n`),
});
process.stdout.write(`\n${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped\n`);
process.exitCode = report.failed > 0 ? 1 : 0;
