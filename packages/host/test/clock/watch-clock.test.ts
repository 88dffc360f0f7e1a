import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { judgeClocks, watchClock, type Clocks } from '../../src/clock/watch-clock.ts';
import { readClock } from '../../src/sys/index.ts';

const before: Clocks = { realtime: 1_800_000_000_000, monotonic: 50_000, boottime: 80_000 };

/** The clocks later: awake for `ran`, asleep for `slept`, the wall clock set by `set`. */
function later(ran: number, slept = 0, set = 0): Clocks {
  return {
    realtime: before.realtime + ran + slept + set,
    monotonic: before.monotonic + ran,
    boottime: before.boottime + ran + slept,
  };
}

suite('clocks', () => {
  test('time that only passes is no jump, however much of it', () =>
    assert.equal(judgeClocks(before, later(86_400_000)), undefined));

  test('sleep is told from a clock that was set, also when both happened', () => {
    assert.deepEqual(judgeClocks(before, later(3_000, 7_200_000)), { slept: 7_200_000, set: 0 });
    assert.deepEqual(judgeClocks(before, later(3_000, 0, -3_600_000)), { slept: 0, set: -3_600_000 });
    assert.deepEqual(judgeClocks(before, later(3_000, 60_000, 90_000)), { slept: 60_000, set: 90_000 });
  });

  test('corrections of the clock and naps are nothing', () => {
    assert.equal(judgeClocks(before, later(3_000, 900)), undefined);
    assert.equal(judgeClocks(before, later(3_000, 0, 4_000)), undefined);
  });

  test('the clocks of this machine are what Node says of them', () => {
    assert.ok(Math.abs(readClock('realtime') - Date.now()) < 5_000);
    const ran = readClock('monotonic');
    assert.ok(readClock('boottime') >= ran);
    assert.ok(Math.abs(Number(process.hrtime.bigint()) / 1e6 - ran) < 5_000);
  });

  test('the kernel lets us watch for it', () => watchClock(() => undefined).close());
});
