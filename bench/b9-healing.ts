import { setTimeout as sleep } from 'node:timers/promises';
import { page, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

const dpdSeconds = 5;

export const healing: Row = {
  id: 'B9',
  what: `gateway killed, back after 1 s → page again; DPD after ${dpdSeconds} s, charon with retransmissions for 12 s only`,
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 0.5 },
  rounds: 5,
  prepare: () =>
    rivalRow(
      (rivals) => {
        const { world } = rivals.stage;
        const outage = async (): Promise<number> => {
          await world.application.fetchUntil(page);
          await world.gateway.kill();
          const again = world.application.fetchUntil(page, { timeoutMs: 90_000 });
          again.catch(() => undefined);
          await sleep(1000);
          await world.gateway.start();
          const back = performance.now();
          await again;
          return performance.now() - back;
        };
        return rivals.sides(
          async () => {
            await rivals.oursUp();
            const took = await outage();
            await rivals.oursDown();
            return took;
          },
          async () => {
            await rivals.charonUp();
            const took = await outage();
            await rivals.charonDown();
            return took;
          },
        );
      },
      { dpdSeconds },
    ),
};
