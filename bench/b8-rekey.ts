import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

const rekeys = 20;
const perSecond = 2000;

export const rekey: Row = {
  id: 'B8',
  what: `worst round of datagrams lost in ${rekeys} rekeys (CHILD and IKE SA in turn) under ${perSecond} echoes a second`,
  unit: 'lost',
  better: 'less',
  aim: { of: 'value', limit: 0 },
  figure: 'worst',
  rounds: 5,
  prepare: () =>
    rivalRow((rivals) => {
      const { world } = rivals.stage;
      const lost = async (): Promise<number> => {
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, perSecond, 200);
        for (let turn = 0; turn < rekeys; turn++) {
          const before = await spis();
          await world.gateway.rekey(turn % 2 === 0 ? 'child' : 'ike');
          for (let wait = 0; (await spis()) === before; wait++) {
            if (wait === 100) throw new Error('the rekey did not happen');
            await sleep(20);
          }
          await sleep(100);
        }
        return (await flow.stop(1000)).lost;
      };
      /** All SPIs of both SAs, as the gateway lists them. */
      const spis = async (): Promise<string> =>
        [...(await world.gateway.sas()).matchAll(/[0-9a-f]{16}_[ir]|\b[0-9a-f]{8}\b/g)].join();
      return rivals.sides(
        async () => {
          await rivals.oursUp();
          const count = await lost();
          await rivals.oursDown();
          return count;
        },
        async () => {
          await rivals.charonUp();
          const count = await lost();
          await rivals.charonDown();
          return count;
        },
      );
    }),
};
