import { network } from '../lab/network.ts';
import { startIperfServer, tcp } from './plane/iperf.ts';
import { cpuSeconds } from './process-usage.ts';
import { rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

const octets = 100_000_000;

export const cost: Row = {
  id: 'B3',
  what: 'CPU of the client process per gigabyte, half down and half up, AES-128-GCM, against a strongSwan gateway',
  unit: 's/GB',
  better: 'less',
  aim: { of: 'ratio', limit: 0.25 },
  rounds: 5,
  prepare: () =>
    rivalRow(async (rivals) => {
      const { world, product } = rivals.stage;
      await startIperfServer(world.corp);
      const perGigabyte = async (pid: number): Promise<number> => {
        const before = cpuSeconds(pid);
        const down = await tcp(world.client, network.corp.web4, '-n', String(octets), '-R');
        const up = await tcp(world.client, network.corp.web4, '-n', String(octets));
        return (cpuSeconds(pid) - before) / ((down.octets + up.octets) / 1e9);
      };
      return rivals.sides(
        async () => {
          await rivals.oursUp();
          const seconds = await perGigabyte((await product.daemon.pid())!);
          await rivals.oursDown();
          return seconds;
        },
        async () => {
          await rivals.charonUp();
          const seconds = await perGigabyte((await rivals.charon.pid())!);
          await rivals.charonDown();
          return seconds;
        },
      );
    }),
};
