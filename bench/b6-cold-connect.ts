import { CommandFailed } from '../lab/host.ts';
import { connection, page, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

export const coldConnect: Row = {
  id: 'B6',
  what: 'command typed (aovpn up, swanctl --initiate) → first octet of a page behind the gateway',
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1.2 },
  rounds: 10,
  prepare: () =>
    rivalRow((rivals) => {
      const { world, product } = rivals.stage;
      const firstOctet = async (): Promise<void> => {
        await world.application.fetchUntil(page, { timeoutMs: 10_000, everyMs: 1 });
      };
      return rivals.sides(
        async () => {
          const started = performance.now();
          const result = await product.aovpn(['up', connection]);
          if (result.status !== 0) throw new CommandFailed('client', ['aovpn', 'up'], result);
          await firstOctet();
          const took = performance.now() - started;
          await rivals.oursDown();
          return took;
        },
        async () => {
          const started = performance.now();
          await rivals.charonUp();
          await firstOctet();
          const took = performance.now() - started;
          await rivals.charonDown();
          return took;
        },
      );
    }),
};
