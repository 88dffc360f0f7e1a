import { setTimeout as sleep } from 'node:timers/promises';
import { idleRow } from './idle.ts';
import { wakeUps } from './process-usage.ts';
import type { Row } from './row.ts';

const seconds = 10;
/** V8 compiles and tidies up for a while after a connection. */
const afterSeconds = 20;

export const wakeUpsRow: Row = {
  id: 'B15-wake-ups',
  what: 'wake-ups of the idle daemon with one tunnel, all threads; 20 s after it is up; keepalive after 20 s, DPD after 10 s (charon: none)',
  unit: '1/s',
  better: 'less',
  aim: { of: 'value', limit: 1 },
  rounds: 5,
  prepare: () =>
    idleRow(async (pid) => {
      const before = wakeUps(pid);
      await sleep(seconds * 1000);
      return (wakeUps(pid) - before) / seconds;
    }, afterSeconds),
};
