import { comparePlanes } from './plane/compare-planes.ts';
import { tcp } from './plane/iperf.ts';
import type { Row } from './row.ts';

export const userspaceEsp: Row = {
  id: 'B1',
  what: 'userspace data plane, both ends, one TCP stream, AES-128-GCM',
  unit: 'Mbit/s',
  better: 'more',
  aim: { of: 'ratio', limit: 6 },
  rounds: 5,
  prepare: () => comparePlanes(async (client, target) => (await tcp(client, target, '-t', '3')).mbits),
};
