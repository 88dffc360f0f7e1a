import { readClock, watchClockSet } from '../sys/index.ts';

/** Why the clock on the wall is not where it was expected. Milliseconds; either may be 0, not both. */
export interface ClockJump {
  /** For so long the machine slept. */
  readonly slept: number;
  /** By so much the clock was set, forwards or backwards (negative). */
  readonly set: number;
}

/** The kernel's clocks, milliseconds. */
export interface Clocks {
  readonly realtime: number;
  /** Stands still while the machine sleeps. */
  readonly monotonic: number;
  /** The same clock, and does not. */
  readonly boottime: number;
}

/** What the clocks say between two looks; undefined: nothing but time went by. Corrections of less than 5 s, and naps of less than one, are nothing. */
export function judgeClocks(before: Clocks, now: Clocks): ClockJump | undefined {
  const slept = now.boottime - now.monotonic - (before.boottime - before.monotonic);
  const set = now.realtime - now.boottime - (before.realtime - before.boottime);
  const jump = { slept: slept < 1_000 ? 0 : Math.round(slept), set: Math.abs(set) < 5_000 ? 0 : Math.round(set) };
  return jump.slept === 0 && jump.set === 0 ? undefined : jump;
}

/** Tells when the machine slept or its clock was set. The kernel wakes us for either: no timer runs. @throws {SysError} */
export function watchClock(onJump: (jump: ClockJump) => void): { close(): void } {
  let before = readClocks();
  return watchClockSet(() => {
    const now = readClocks();
    const jump = judgeClocks(before, now);
    before = now;
    if (jump) onJump(jump);
  });
}

function readClocks(): Clocks {
  return { realtime: readClock('realtime'), monotonic: readClock('monotonic'), boottime: readClock('boottime') };
}
