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
          const { connectedAt } = await product.waitForState(connection, 'up');
          const first = await firstIkeDatagram(capture, since);
          await rivals.oursDown();
          return Date.parse(connectedAt!) - first;
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

/** When charon last wrote that a CHILD_SA is installed. It writes the time of day only. */
function lastInstallation(log: string, since: number): number {
  const found = [...log.matchAll(/^(\d\d):(\d\d):(\d\d)\.(\d{3}) .*CHILD_SA net\{\d+\} established/gm)].at(-1);
  if (!found) throw new Error(`charon's log has no CHILD_SA:\n${log.slice(-2000)}`);
  const [hour, minute, second, milli] = found.slice(1).map(Number);
  const at = new Date(since).setHours(hour!, minute, second, milli);
  return at < since - 1000 ? at + 24 * 3600 * 1000 : at;
}
