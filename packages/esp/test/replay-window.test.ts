import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ReplayWindow, replayWindowSize } from '../src/index.ts';

/** The definition, without any cleverness. */
class NaiveWindow {
  readonly #seen = new Set<number>();
  #newest = 0;

  check(sequence: number): boolean {
    return sequence !== 0 && sequence > this.#newest - replayWindowSize && !this.#seen.has(sequence);
  }

  update(sequence: number): void {
    this.#seen.add(sequence);
    this.#newest = Math.max(this.#newest, sequence);
  }
}

suite('replay window', () => {
  test('is at least 1024 numbers wide', () => assert.ok(replayWindowSize >= 1024));

  test('a new window takes number 1 once and number 0 never', () => {
    const window = new ReplayWindow();
    assert.equal(window.check(0), false);
    assert.equal(window.check(1), true);
    window.update(1);
    assert.equal(window.check(1), false);
    assert.equal(window.check(0), false);
  });

  test('a check alone changes nothing: what was not authentic may come again', () => {
    const window = new ReplayWindow();
    assert.equal(window.check(0xffffffff), true);
    assert.equal(window.check(1), true);
    assert.equal(window.newest, 0);
  });

  test('works up to the last number', () => {
    const window = new ReplayWindow();
    window.update(0xffffffff);
    assert.equal(window.check(0xffffffff), false);
    assert.equal(window.check(0xfffffffe), true);
    assert.equal(window.check(0xffffffff - replayWindowSize + 1), true);
    assert.equal(window.check(0xffffffff - replayWindowSize), false);
  });

  test('equals the naive model for any order of numbers', () => {
    const near = fc.integer({ min: -2 * replayWindowSize, max: 2 * replayWindowSize });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('near' as const), by: near }) },
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('near' as const), by: fc.integer({ min: -70, max: 70 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('to' as const), by: fc.integer({ min: 0, max: 0xffffffff }) }) },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 300 }), (steps) => {
        const window = new ReplayWindow();
        const naive = new NaiveWindow();
        let at = 0;
        for (const [{ kind, by }, authentic] of steps) {
          const sequence = Math.min(0xffffffff, Math.max(0, kind === 'to' ? by : at + by));
          const allowed = naive.check(sequence);
          assert.equal(window.check(sequence), allowed, `number ${sequence}`);
          if (allowed && authentic) {
            window.update(sequence);
            naive.update(sequence);
            at = Math.max(at, sequence);
          }
        }
      }),
    );
  });

  test('the upper half of an extended number is inferred for every number that may still come (RFC 4303 appendix A2.2)', () => {
    const newest = fc.integer({ min: 1, max: 2 ** 40 });
    const reach = fc.integer({ min: -(replayWindowSize - 1), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(newest, reach, (top, by) => {
        const window = new ReplayWindow();
        window.update(top);
        const wanted = top + by;
        if (wanted >= 0) assert.equal(window.infer(wanted % 2 ** 32), wanted);
      }),
    );
  });

  test('below the first number there is none to infer', () => {
    const window = new ReplayWindow();
    window.update(5);
    assert.equal(window.check(window.infer(0xffff_fff0)), false);
  });

  test('equals the naive model beyond 32 bits', () => {
    const window = new ReplayWindow();
    const naive = new NaiveWindow();
    for (const by of [0, -1, 5, -3, 4000, 3999, -63, 100, 4064, 8000, 3936, 3937]) {
      const sequence = 2 ** 36 + by;
      assert.equal(window.check(sequence), naive.check(sequence), String(by));
      if (!naive.check(sequence)) continue;
      window.update(sequence);
      naive.update(sequence);
    }
  });
});
