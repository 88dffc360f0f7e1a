import { comparePlanes } from './plane/compare-planes.ts';
import { udp } from './plane/iperf.ts';
import type { Row } from './row.ts';

export const smallPackets: Row = {
  id: 'B4',
  what: 'datagrams of 128 octets that arrive, as many as the sender can send',
  unit: '1/s',
  better: 'more',
  aim: { of: 'ratio', limit: 3 },
  rounds: 5,
  prepare: () => comparePlanes(async (client, target) => (await udp(client, target, 128, 0, 2)).perSecond),
};
