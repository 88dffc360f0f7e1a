import { comparePlanes } from './plane/compare-planes.ts';
import { udp } from './plane/iperf.ts';
import type { Row } from './row.ts';

/** A rate that every peer can carry. */
const perSecond = 10_000;
const size = 128;

export const loss: Row = {
  id: 'B4-loss',
  what: `datagrams of ${size} octets that are lost at ${perSecond} a second`,
  unit: '%',
  better: 'less',
  aim: { of: 'value', limit: 0 },
  rounds: 5,
  prepare: () => comparePlanes(async (client, target) => (await udp(client, target, size, (perSecond * size * 8) / 1e6, 2)).lost),
};
