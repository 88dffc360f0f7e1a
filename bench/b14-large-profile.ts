import { parseAndCompile, profileOfSize } from './profile-work.ts';
import type { Row } from './row.ts';
import { median } from './statistic.ts';

export const largeProfile: Row = {
  id: 'B14-large',
  what: 'ProfileXML of 5 MB: the same, beside that of 100 kB times its size (linear: 1×)',
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1.5 },
  rounds: 5,
  prepare: () => {
    const [small, large] = [profileOfSize(100_000), profileOfSize(5_000_000)];
    const scale = large.length / small.length;
    const medianOf = (file: Uint8Array, times: number): number =>
      median(Array.from({ length: times }, () => parseAndCompile(file)));
    return Promise.resolve({
      sides: [
        { name: 'ours, 5 MB', kind: 'ours', measure: () => Promise.resolve(parseAndCompile(large)) },
        { name: 'ours, 100 kB times its size', kind: 'peer', measure: () => Promise.resolve(scale * medianOf(small, 10)) },
      ],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};
