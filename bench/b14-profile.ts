import { parseAndCompile, profileOfSize } from './profile-work.ts';
import type { Row } from './row.ts';
import { median } from './statistic.ts';

export const smallProfile: Row = {
  id: 'B14',
  what: 'ProfileXML of 10 kB: parse, resolve, compile to a plan',
  unit: 'ms',
  better: 'less',
  aim: { of: 'value', limit: 5 },
  rounds: 5,
  prepare: () => {
    const file = profileOfSize(10_000);
    const measure = (): Promise<number> => Promise.resolve(median(Array.from({ length: 20 }, () => parseAndCompile(file))));
    return Promise.resolve({ sides: [{ name: 'ours', kind: 'ours', measure }], [Symbol.asyncDispose]: () => Promise.resolve() });
  },
};
