import { firstIkeDatagram } from './first-datagram.ts';
import { connection, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

export const coldStart: Row = {
  id: 'B16',
  what: 'cold start of the daemon with one profile → first IKE datagram (charon: started, loaded, initiated)',
  unit: 'ms',
  better: 'less',
  aim: { of: 'value', limit: 400 },
  rounds: 7,
  prepare: () =>
    rivalRow(
      async (rivals) => {
        const { world, product } = rivals.stage;
        const capture = await world.capture();
        await product.up(connection);
        await product.waitForState(connection, 'up');
        await product.stop();
        await world.gateway.quiet();
        return rivals.sides(
          async () => {
            const since = Date.now();
            product.launch();
            const first = await firstIkeDatagram(capture, since);
            await product.ready();
            await product.waitForState(connection, 'up');
            await product.stop();
            await world.gateway.quiet();
            return first - since;
          },
          async () => {
            const since = Date.now();
            await rivals.charon.start();
            await rivals.charonUp();
            const first = await firstIkeDatagram(capture, since);
            await rivals.charonDown();
            await rivals.charon.stop();
            return first - since;
          },
        );
      },
      { charonLater: true },
    ),
};
