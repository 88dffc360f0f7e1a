import type { TestEvent } from 'node:test/reporters';

/** One test of the guest on its way out of it. */
export interface GuestResult {
  /** Names of suites and the test, outermost first. */
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly milliseconds: number;
  /** Why it failed, or was skipped. */
  readonly why?: string;
}

export const resultMark = '@@result ';
/** Before the exit status, when all is done. */
export const exitMark = '@@exit ';
/** Before the name, in JSON, of a test that begins now. */
export const beginMark = '@@begin ';

/**
 * Reporter of `node --test` that writes a line of JSON for every test, for whoever reads the guest's serial line. It also tells the end itself: a guest that
 * has slept has lost its root (Linux does not bring a 9P device back), and no process of it can end any more.
 */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const open: string[] = [];
  for await (const event of source) {
    if (event.type === 'test:start') {
      open.length = event.data.nesting;
      open[event.data.nesting] = event.data.name;
    } else if (event.type === 'test:dequeue') {
      yield `${beginMark}${JSON.stringify(event.data.name)}\n`;
    } else if (event.type === 'test:summary' && event.data.file === undefined) {
      yield `${exitMark}${event.data.success ? 0 : 1}\n`;
    } else if (event.type === 'test:stderr' || event.type === 'test:stdout') {
      yield event.data.message;
    } else if (event.type === 'test:pass' || event.type === 'test:fail') {
      const { name, nesting, details, skip, todo } = event.data;
      const failed = event.type === 'test:fail';
      // A suite that failed by itself (in `before`, say) has no test that would tell.
      const error = failed ? (details as { error: Error & { failureType?: string; cause?: unknown } }).error : undefined;
      if (details.type === 'suite' && (!error || error.failureType === 'subtestsFailed')) continue;
      const path = [...open.slice(0, nesting), name].join(' › ');
      const skipped = skip !== undefined || todo !== undefined;
      const why = error ? text(error) : typeof skip === 'string' ? skip : undefined;
      const result: GuestResult = {
        name: path,
        outcome: failed ? 'failed' : skipped ? 'skipped' : 'passed',
        milliseconds: Math.round(details.duration_ms),
        ...(why === undefined ? {} : { why }),
      };
      yield `${resultMark}${JSON.stringify(result)}\n`;
    }
  }
}

function text(error: Error & { cause?: unknown }): string {
  const { cause } = error;
  return cause instanceof Error
    ? (cause.stack ?? cause.message)
    : typeof cause === 'string'
      ? cause
      : (error.stack ?? error.message);
}
