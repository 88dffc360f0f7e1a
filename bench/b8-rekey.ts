import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { startIperfServers, udpBothWays } from './plane/iperf.ts';
import { queueDrops } from './queue-drops.ts';
import { connection, rivalRow } from './rivals.ts';
import type { Row } from './row.ts';

const rekeys = 100;
const size = 200;
/** Datagrams a second and direction: where the search for the highest rate without loss begins, how it goes down, and where it gives up. */
const [most, step, least] = [24_000, 0.7, 2000];

export const rekey: Row = {
  id: 'B8',
  what: `worst round of datagrams lost in ${rekeys} rekeys (CHILD and IKE SA, by either side), both directions at full rate, full queues aside`,
  unit: 'lost',
  better: 'less',
  aim: { of: 'value', limit: 0 },
  figure: 'worst',
  rounds: 3,
  prepare: () =>
    rivalRow(async (rivals) => {
      const { world, product } = rivals.stage;
      await startIperfServers(world.corp, network.corp.web4);
      const load = (perSecond: number, seconds: number) =>
        udpBothWays(world.client, network.corp.web4, size, (perSecond * size * 8) / 1e6, seconds);
      const hosts = [world.client, world.router, world.gatewayHost, world.corp];
      /** Two thirds of the rate that passed, so that another process of this machine is not taken for a rekey. */
      const fullRate = async (): Promise<number> => {
        for (let rate = most; rate >= least; rate *= step) if ((await load(rate, 3)).lost === 0) return rate / 1.5;
        throw new Error(`even ${least} datagrams a second are lost without any rekey`);
      };
      /** The SPIs of the IKE SA and of the CHILD_SA, as the gateway lists them. */
      const spis = async (): Promise<{ readonly ike: string; readonly child: string }> => {
        const list = await world.gateway.sas();
        const join = (pattern: RegExp): string => [...list.matchAll(pattern)].join();
        return { ike: join(/[0-9a-f]{16}_[ir]/g), child: join(/\b[0-9a-f]{8}\b/g) };
      };
      const changed = async (rekey: () => Promise<unknown>, what: 'child' | 'ike' | 'both'): Promise<void> => {
        const before = await spis();
        await rekey();
        for (let wait = 0; wait < 200; wait++) {
          const now = await spis();
          if ((what === 'child' || now.ike !== before.ike) && (what === 'ike' || now.child !== before.child)) return sleep(50);
          await sleep(20);
        }
        throw new Error(`a rekey (${what}) did not happen`);
      };
      const lost = async (byClient: () => Promise<unknown>): Promise<number> => {
        const rate = await fullRate();
        let done = 0;
        let failure: unknown;
        const rekeying = (async (): Promise<void> => {
          for (; done < rekeys; done += 4) {
            await changed(() => world.gateway.rekey('child'), 'child');
            await changed(() => world.gateway.rekey('ike'), 'ike');
            await changed(byClient, 'both');
          }
        })().catch((error: unknown) => (failure = error));
        const dropsBefore = await queueDrops(hosts);
        let count = 0;
        let all = 0;
        do {
          const stream = await load(rate, 5);
          count += stream.lost;
          all += stream.packets;
        } while (done < rekeys && failure === undefined);
        await rekeying;
        if (failure !== undefined) throw failure;
        const drops = (await queueDrops(hosts)) - dropsBefore;
        process.stderr.write(`  ${count} of ${all} lost at ${Math.round(rate)} a second each way, ${drops} by full queues\n`);
        return Math.max(0, count - drops);
      };
      return rivals.sides(
        async () => {
          await rivals.oursUp();
          const count = await lost(() => product.ask('POST', `/v1/connections/${connection}/rekey`));
          await rivals.oursDown();
          return count;
        },
        async () => {
          await rivals.charonUp();
          const count = await lost(async () => {
            await rivals.charon.swanctl(['--rekey', '--child', 'net']);
            await rivals.charon.swanctl(['--rekey', '--ike', 'vpn']);
          });
          await rivals.charonDown();
          return count;
        },
      );
    }),
};
