import { comparePlanes } from './plane/compare-planes.ts';
import { tcp } from './plane/iperf.ts';
import type { Row } from './row.ts';

export const plainLink: Row = {
  id: 'B2',
  what: 'the same over a link without any offload',
  unit: 'Mbit/s',
  better: 'more',
  aim: { of: 'ratio', limit: 3.5 },
  rounds: 5,
  prepare: () => comparePlanes(async (client, target) => (await tcp(client, target, '-t', '3')).mbits, { offloads: false }),
};
