import { setTimeout as sleep } from 'node:timers/promises';
import { firstIkeDatagram } from './first-datagram.ts';
import { lastInstallation, nextConnected } from './handshake-end.ts';
import { connection, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

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
          const up = await nextConnected(product.daemon, since);
          const first = await firstIkeDatagram(capture, since);
          await rivals.oursDown();
          // The daemon writes so many lines of one kind in ten seconds and no more.
          await sleep(400);
          return up - first;
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
