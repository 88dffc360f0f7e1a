import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

const perSecond = 500;

export const roaming: Row = {
  id: 'B7',
  what: `silence when the address goes under ${perSecond} echoes a second, another one is there (MOBIKE)`,
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 0.4 },
  rounds: 7,
  prepare: () =>
    rivalRow((rivals) => {
      const { world } = rivals.stage;
      const outage = async (): Promise<number> => {
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, perSecond);
        await sleep(1000);
        await world.moveClient('away');
        await sleep(2000);
        const { longestGapMs, longestGapAtMs } = await flow.stop();
        await world.moveClient('home');
        await sleep(1500);
        if (longestGapAtMs < 900) throw new Error('the longest silence was before the move');
        return longestGapMs;
      };
      return rivals.sides(
        async () => {
          await rivals.oursUp();
          const gap = await outage();
          await rivals.oursDown();
          return gap;
        },
        async () => {
          await rivals.charonUp();
          const gap = await outage();
          await rivals.charonDown();
          return gap;
        },
      );
    }),
};
