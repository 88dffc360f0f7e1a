import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from '../lab/running.ts';
import { firstIkeDatagram } from './first-datagram.ts';
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

/** When our daemon wrote that the tunnel is up, routes and names included. */
async function nextConnected(daemon: Running, since: number): Promise<number> {
  for (let turn = 0; turn < 2000; turn++) {
    const at = daemon
      .output()
      .match(/^\S+Z(?= info .* connected to )/gm)
      ?.map((text) => Date.parse(text))
      .at(-1);
    if (at !== undefined && at >= since) return at;
    await sleep(5);
  }
  throw new Error(`the daemon does not connect:\n${daemon.output().slice(-2000)}`);
}

/** When charon last wrote that a CHILD_SA is installed. It writes the time of day only. */
function lastInstallation(log: string, since: number): number {
  const found = [...log.matchAll(/^(\d\d):(\d\d):(\d\d)\.(\d{3}) .*CHILD_SA net\{\d+\} established/gm)].at(-1);
  if (!found) throw new Error(`charon's log has no CHILD_SA:\n${log.slice(-2000)}`);
  const [hour, minute, second, milli] = found.slice(1).map(Number);
  const at = new Date(since).setHours(hour!, minute, second, milli);
  return at < since - 1000 ? at + 24 * 3600 * 1000 : at;
}
