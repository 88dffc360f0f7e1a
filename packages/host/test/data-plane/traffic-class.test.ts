import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '@aovpn/bytes';
import { openUserspaceDataPlane } from '../../src/data-plane/open-userspace.ts';
import { until } from './inbox.ts';
import { inner, makeNetWorld, run, type NetWorld } from './net-world.ts';
import { aesGcm128, bringUp, join, makeChild, openStation, type Station } from './plane-fixture.ts';

// What nftables calls the values, and what ping calls the octet.
const notEct = { name: 'not-ect', octet: 0 };
const ect0 = { name: 'ect0', octet: 2 };
const ect1 = { name: 'ect1', octet: 1 };
const expedited = 46 << 2;

for (const copyDscp of [false, true]) {
  for (const family of [4, 6] as const) {
    suite(
      `the Traffic Class inside and outside, IPv${family}, DSCP ${copyDscp ? 'copied' : 'hidden'}`,
      { concurrency: 1 },
      () => {
        let world: NetWorld;
        let a: Station;
        let b: Station;
        before(async () => {
          world = makeNetWorld();
          a = await openStation(openUserspaceDataPlane, world.a, { copyDscp });
          b = await openStation(openUserspaceDataPlane, world.b);
          await join({ a, b }, family);
          await bringUp(a, world.a, 'a');
          await bringUp(b, world.b, 'b');
          const child = makeChild(aesGcm128);
          await b.plane.installChild(child.b);
          await a.plane.installChild(child.a);
        });
        after(async () => {
          await a?.plane.close();
          await b?.plane.close();
          world?.remove();
        });

        for (const { name, octet } of [notEct, ect0, ect1]) {
          test(`${name} is ${name} outside too`, async () => {
            watch();
            ping(octet);
            await arrived({ [`outer_${name}`]: 'seen', [`inner_${name}`]: 3 });
          });
        }

        test('congestion that the outer packet met reaches the inner one', async () => {
          watch('ecn set ce');
          ping(ect0.octet);
          await arrived({ outer_ce: 'seen', inner_ce: 3 });
        });

        test('congestion that the sender could not be told of is a loss (RFC 6040 §4.2)', async () => {
          watch('ecn set ce');
          const before = (await b.plane.stats()).dropped.policy;
          ping(notEct.octet);
          await until('three drops', async () => (await b.plane.stats()).dropped.policy >= before + 3);
          await arrived({ outer_ce: 'seen', inner_ce: 0 });
        });

        test(`a DSCP is seen inside, and outside ${copyDscp ? 'too' : 'not'}`, async () => {
          watch();
          ping(expedited | ect0.octet);
          await arrived({ inner_ef: 3, outer_ef: copyDscp ? 'seen' : 0, outer_ect0: 'seen' });
        });

        /** Counts what comes in at b, before and behind the plane; perhaps changes it before. */
        function watch(change?: string): void {
          const protocol = family === 4 ? 'ip' : 'ip6';
          const counters = ['inner', 'outer'].flatMap((where) =>
            ['not-ect', 'ect0', 'ect1', 'ce', 'ef'].map((value) => {
              const what = value === 'ef' ? 'dscp ef' : `ecn ${value}`;
              const packet =
                where === 'inner'
                  ? 'iifname "tun0" meta l4proto { icmp, ipv6-icmp }'
                  : `iifname "${world.wireB}" udp length > 90`;
              return `${packet} ${protocol} ${what} counter name "${where}_${value}"`;
            }),
          );
          const names = ['inner', 'outer'].flatMap((where) =>
            ['not-ect', 'ect0', 'ect1', 'ce', 'ef'].map((value) => `${where}_${value}`),
          );
          const ruleset = `
          table inet watch
          delete table inet watch
          table inet watch {
            ${names.map((name) => `counter ${name} {}`).join('\n')}
            chain before {
              type filter hook prerouting priority -400
              ${change ? `iifname "${world.wireB}" udp length > 90 ${protocol} ${change}` : ''}
            }
            chain count {
              type filter hook prerouting priority -300
              ${counters.join('\n')}
            }
          }`;
          execFileSync('ip', ['netns', 'exec', world.b, 'nft', '-f', '-'], { input: ruleset });
        }

        function ping(octet: number): void {
          const options = ['-c', '3', '-i', '0.01', '-W', '1', '-q', '-Q', String(octet)];
          try {
            run(world.a, 'ping', ...options, formatAddress(inner.b[family]));
          } catch {
            // Without answers it ends with 1: what arrived is counted.
          }
        }

        /** `seen`: at least once, since packets outside may travel joined (UDP_SEGMENT). */
        async function arrived(expected: Readonly<Record<string, number | 'seen'>>): Promise<void> {
          let counted: Record<string, number> = {};
          const look = (): unknown => {
            const list = run(world.b, 'nft', 'list', 'counters', 'table', 'inet', 'watch');
            const all = [...list.matchAll(/counter (\S+) \{\s+packets (\d+)/g)];
            counted = Object.fromEntries(all.map(([, name, n]) => [name, Number(n)]));
            const told = Object.entries(expected).map(([name, count]) => {
              const here = counted[name] ?? 0;
              return [name, count === 'seen' && here > 0 ? 'seen' : here];
            });
            return Object.fromEntries(told);
          };
          await until('what was expected', () => isDeepStrictEqual(look(), expected)).catch(() => undefined);
          assert.deepEqual(look(), expected, JSON.stringify(counted));
        }
      },
    );
  }
}
