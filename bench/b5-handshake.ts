import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { firstIkeDatagram } from './first-datagram.ts';
import { lastInstallation, nextConnected, nextInstalled } from './handshake-end.ts';
import { connection, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

/** The daemon writes so many lines of one kind in ten seconds and no more. */
const restMs = 400;
const perSecond = 1000;

export const handshake: Row = {
  id: 'B5',
  what: 'handshake, first datagram → CHILD_SA installed; ECDSA P-256, X25519, AES-128-GCM',
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1 },
  p95: { of: 'ratio', limit: 1 },
  rounds: 20,
  prepare: () =>
    rivalRow(async (rivals) => {
      const { world, product } = rivals.stage;
      const capture = await world.capture();
      return rivals.sides(
        async () => {
          const since = Date.now();
          await product.up(connection);
          // Asking for the status every few milliseconds would be work for the daemon in the middle of its handshake.
          const installed = await nextInstalled(product.daemon, since);
          await nextConnected(product.daemon, since);
          const first = await firstIkeDatagram(capture, since);
          await rivals.oursDown();
          await sleep(restMs);
          return installed - first;
        },
        async () => {
          const since = Date.now();
          await rivals.charonUp();
          const first = await firstIkeDatagram(capture, since);
          const installed = lastInstallation(rivals.charon.log(), since);
          await rivals.charonDown();
          return installed - first;
        },
      );
    }),
};

/** The same for whoever uses the tunnel: addresses and routes are in force on both sides of it, or nothing comes back. */
export const usable: Row = {
  id: 'B5-usable',
  what: `the same, first datagram → first answer through the tunnel to a program that sends ${perSecond} datagrams a second`,
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1 },
  p95: { of: 'ratio', limit: 1 },
  rounds: 20,
  prepare: () =>
    rivalRow(async (rivals) => {
      const { world, product } = rivals.stage;
      const capture = await world.capture();
      const measure = async (connect: () => Promise<unknown>, disconnect: () => Promise<void>): Promise<number> => {
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, perSecond);
        await sleep(100);
        if ((await flow.look()).received > 0) throw new Error('answers come without a tunnel');
        const since = Date.now();
        try {
          await connect();
          const first = await firstIkeDatagram(capture, since);
          for (let turn = 0; turn < 50 && (await flow.look()).received === 0; turn++) await sleep(100);
          const { firstAnswerAt } = await flow.look();
          if (firstAnswerAt === undefined) throw new Error('no answer came through the tunnel');
          return firstAnswerAt - first;
        } finally {
          await flow.stop(0);
          await disconnect();
          await sleep(restMs);
        }
      };
      const up = async (): Promise<void> => {
        const since = Date.now();
        await product.up(connection);
        await nextConnected(product.daemon, since);
      };
      return rivals.sides(
        () => measure(up, () => rivals.oursDown()),
        () =>
          measure(
            () => rivals.charonUp(),
            () => rivals.charonDown(),
          ),
      );
    }),
};
