import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { watchClock, type ClockJump } from '../../src/clock/watch-clock.ts';

/** What is told after this, which must come by itself: nothing here polls. */
async function jumpAfter(what: () => void): Promise<ClockJump> {
  const told = Promise.withResolvers<ClockJump>();
  const watch = watchClock(told.resolve);
  try {
    what();
    const patience = AbortSignal.timeout(60_000);
    await Promise.race([told.promise, once(patience, 'abort')]);
    assert.ok(!patience.aborted, 'nothing was told');
    return await told.promise;
  } finally {
    watch.close();
  }
}

// In a machine of its own, whose clock and sleep are nobody else's.
suite('the clocks of a machine that is really set and really sleeps', { concurrency: 1 }, () => {
  test('set forward by an hour', async () => {
    const { slept, set } = await jumpAfter(() => execFileSync('date', ['-s', `@${Math.floor(Date.now() / 1000) + 3_600}`]));
    assert.equal(slept, 0);
    assert.ok(Math.abs(set - 3_600_000) < 5_000, `${set} ms`);
  });

  test('asleep until its clock wakes it', async () => {
    const { slept } = await jumpAfter(() => {
      writeFileSync('/sys/class/rtc/rtc0/wakealarm', '0');
      writeFileSync('/sys/class/rtc/rtc0/wakealarm', '+5');
      writeFileSync('/sys/power/state', 'mem');
    });
    assert.ok(slept >= 1_000, `${slept} ms`);
  });
});
