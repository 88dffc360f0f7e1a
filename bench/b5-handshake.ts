import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { firstIkeDatagram } from './first-datagram.ts';
import { charonHandshake, connect, ourHandshake } from './handshake-time.ts';
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
          const took = await ourHandshake(product, connection, capture);
          await rivals.oursDown();
          await sleep(restMs);
          return took;
        },
        async () => {
          const took = await charonHandshake(rivals.charon, capture);
          await rivals.charonDown();
          return took;
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
      const measure = async (up: () => Promise<unknown>, down: () => Promise<void>): Promise<number> => {
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, perSecond);
        await sleep(100);
        if ((await flow.look()).received > 0) throw new Error('answers come without a tunnel');
        const since = Date.now();
        try {
          await up();
          const first = await firstIkeDatagram(capture, since);
          for (let turn = 0; turn < 50 && (await flow.look()).received === 0; turn++) await sleep(100);
          const { firstAnswerAt } = await flow.look();
          if (firstAnswerAt === undefined) throw new Error('no answer came through the tunnel');
          return firstAnswerAt - first;
        } finally {
          await flow.stop(0);
          await down();
          await sleep(restMs);
        }
      };
      return rivals.sides(
        () =>
          measure(
            () => connect(product, connection),
            () => rivals.oursDown(),
          ),
        () =>
          measure(
            () => rivals.charonUp(),
            () => rivals.charonDown(),
          ),
      );
    }),
};
