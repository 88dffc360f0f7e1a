import { idleRow } from './idle.ts';
import { residentMemory } from './process-usage.ts';
import type { Row } from './row.ts';

export const memory: Row = {
  id: 'B15',
  what: 'resident memory of the idle daemon with one tunnel',
  unit: 'MiB',
  better: 'less',
  aim: { of: 'value', limit: 90 },
  rounds: 5,
  prepare: () => idleRow(residentMemory),
};
