import { beginMark, resultMark, type GuestResult } from './guest-reporter.ts';
import { runInGuest } from './virtual-machine.ts';

export interface LaneOptions {
  /** Test files, relative to the repository. */
  readonly files: readonly string[];
  /** Only tests whose full name this regular expression finds; default all. */
  readonly only?: string;
  readonly onResult: (result: GuestResult) => void;
  /** The name of a test that begins, without those of its suites. */
  readonly onBegin?: (name: string) => void;
  /** What tests say beside their results. */
  readonly onText?: (line: string) => void;
  readonly timeoutMs: number;
}

export interface LaneReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

/** One test of the guest may take so long before it counts as stuck. */
const stuckAfter = 600_000;

/**
 * Runs test files in a guest with Debian's kernel. That the guest did not come to an orderly end, or ran nothing at all, counts as a failed test
 * of its own: whatever it did not report must not be taken for good.
 */
export async function runLane(options: LaneOptions): Promise<LaneReport> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const take = (result: GuestResult): void => {
    counts[result.outcome]++;
    options.onResult(result);
  };
  const end = await runInGuest({
    argv: [
      'node',
      '--test',
      '--test-isolation=none',
      '--test-force-exit',
      `--test-timeout=${stuckAfter}`,
      '--test-reporter=./lab/kernel/guest-reporter.ts',
      ...(options.only === undefined ? [] : [`--test-name-pattern=${options.only}`]),
      ...options.files,
    ],
    onLine: (line) => {
      if (line.startsWith(resultMark)) take(JSON.parse(line.slice(resultMark.length)) as GuestResult);
      else if (line.startsWith(beginMark)) options.onBegin?.(JSON.parse(line.slice(beginMark.length)) as string);
      else options.onText?.(line);
    },
    timeoutMs: options.timeoutMs,
  });
  const ran = counts.passed + counts.failed + counts.skipped;
  const orderly = end.status === 0 || (end.status === 1 && counts.failed > 0);
  if (!orderly || ran === 0) {
    const what = end.dead
      ? 'showed no more life, and was killed'
      : end.timedOut
        ? `was killed after ${Math.round(end.seconds)} s`
        : `ended with ${end.status ?? 'nothing said'}`;
    take({
      name: 'the guest',
      outcome: 'failed',
      milliseconds: Math.round(end.seconds * 1000),
      why: `it ${what}, after ${ran} tests\n${end.console}`,
    });
  }
  return { ...counts, seconds: end.seconds };
}
