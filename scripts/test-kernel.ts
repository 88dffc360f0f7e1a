// `npm run test:kernel`: boots Debian's own kernel in QEMU and runs in it what needs the kernel's ESP, each file in a guest of its own. Arguments are test files
// to run instead of all, or with a leading `/` a regular expression for names of tests.
import { existsSync, globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import process from 'node:process';
import type { GuestResult } from '../lab/kernel/guest-reporter.ts';
import { runLane } from '../lab/kernel/lane.ts';
import { kernelRelease } from '../lab/kernel/virtual-machine.ts';

/** Not a measure of speed, only so that a hang ends by itself. A single test has a limit of its own. */
const timeoutMs = 3_600_000;
/** After so long, and each time so long again, the name of a test that still runs is shown. */
const slowAfter = 30_000;
const marks = { passed: '✔', failed: '✖', skipped: '﹣' } as const;

const wanted = process.argv.slice(2);
const only = wanted.find((word) => word.startsWith('/'))?.slice(1);
const named = wanted.filter((word) => !word.startsWith('/'));
const missing = named.filter((file) => !existsSync(file));
if (missing.length > 0) {
  process.stderr.write(`there is no ${missing.join(', no ')}\n`);
  process.exit(2);
}
const files = named.length > 0 ? named : globSync(['packages/*/test/**/*.guest.ts', 'scenarios/**/*.guest.ts']).toSorted();
// A guest has two processors.
const guests = Math.min(files.length, Math.max(1, Math.floor(availableParallelism() / 2)));
// However this ends, the guests end with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const started = performance.now();
const results: GuestResult[] = [];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
try {
  say(
    `Linux ${kernelRelease()} in QEMU (an emulated processor: some ten times slower than this machine), ${files.length} guests`,
  );
  const left = [...files];
  await Promise.all(Array.from({ length: guests }, () => work(left)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
const of = (outcome: GuestResult['outcome']): GuestResult[] => results.filter((result) => result.outcome === outcome);
for (const outcome of ['skipped', 'failed'] as const)
  if (of(outcome).length > 0) say(`\n${outcome}:\n${of(outcome).map(line).join('\n')}`);
const spent = Math.round((performance.now() - started) / 1000);
say(`\n${of('passed').length} passed, ${of('failed').length} failed, ${of('skipped').length} skipped in ${spent} s`);
process.exitCode = of('failed').length > 0 || of('passed').length === 0 ? 1 : 0;

/** Runs files one after the other, while there are some. */
async function work(left: string[]): Promise<void> {
  for (let file = left.shift(); file !== undefined; file = left.shift()) await runFile(file);
}

async function runFile(file: string): Promise<void> {
  say(`\n${file}: boots …`);
  let current = 'its start';
  let since = performance.now();
  const clock = setInterval(() => say(`… ${current}, since ${Math.round((performance.now() - since) / 1000)} s`), slowAfter);
  try {
    const { passed, failed, skipped, seconds } = await runLane({
      files: [file],
      ...(only === undefined ? {} : { only }),
      timeoutMs,
      onBegin: (name) => {
        current = name;
        since = performance.now();
        clock.refresh();
      },
      onResult: (result) => {
        results.push(result);
        say(line(result));
        if (result.why !== undefined) say(result.why.replaceAll(/^/gm, '    '));
      },
      onText: (text) => say(`  ${text}`),
    });
    say(`${file}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${Math.round(seconds)} s`);
  } finally {
    clearInterval(clock);
  }
}

function line({ name, outcome, milliseconds, why }: GuestResult): string {
  const reason = outcome === 'skipped' && why !== undefined ? `: ${why}` : '';
  return `${marks[outcome]} ${name} (${(milliseconds / 1000).toFixed(1)} s)${reason}`;
}
