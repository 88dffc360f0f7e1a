import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Log } from '../src/log.ts';
import { WakeWatch } from '../src/wake-watch.ts';

interface Told {
  sleep(asleep: boolean): void;
  jump(slept: number, set: number): void;
  now: number;
  readonly log: string[];
  wakes: number;
}

function watched(clockFails = false): Told {
  const log: string[] = [];
  const told: Told = { sleep: () => undefined, jump: () => undefined, now: 0, log, wakes: 0 };
  const watch = new WakeWatch({
    platform: {
      watchClock: (onJump) => {
        if (clockFails) throw new Error('no timers here');
        told.jump = (slept, set) => onJump({ slept, set });
        return { close: () => undefined };
      },
      watchSleep: ({ onSleep }) => {
        told.sleep = onSleep;
        return { close: () => undefined };
      },
    },
    log: new Log({ level: 'info', format: 'text', journal: false, write: (line) => void log.push(line), clock: () => 0 }),
    onWake: () => told.wakes++,
    clock: () => told.now,
  });
  watch.watch();
  return told;
}

suite('waking up', () => {
  test('is told once, whether logind or the clock says so first', () => {
    for (const first of ['logind', 'clock'] as const) {
      const told = watched();
      told.sleep(true);
      assert.equal(told.wakes, 0);
      told.now = 1_000;
      if (first === 'logind') told.sleep(false);
      told.jump(7_200_000, 0);
      if (first === 'clock') told.sleep(false);
      assert.equal(told.wakes, 1, first);
      told.now = 2_000;
      told.sleep(true);
      told.sleep(false);
      assert.equal(told.wakes, 2, first);
    }
  });

  test('a clock that is set soon after is told as well', () => {
    const told = watched();
    told.sleep(false);
    told.jump(0, -3_600_000);
    assert.equal(told.wakes, 2);
    assert.match(told.log.join('\n'), /the clock was set back by 3600 s/);
  });

  test('without the clock logind is enough', () => {
    const told = watched(true);
    told.sleep(false);
    assert.equal(told.wakes, 1);
    assert.match(told.log.join('\n'), /no timers here/);
  });
});
