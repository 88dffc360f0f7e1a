import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Plan } from '@aovpn/policy';
import { openFilters, type Filters } from '../../src/filter/filters.ts';
import { makeAppFixture, type AppFixture } from '../apps/app-fixture.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import {
  appFilter,
  buildWorld,
  clearRoutes,
  everyExchange,
  everyRpFilter,
  planOf,
  removeWorld,
  routesOf,
  setRpFilter,
  silence,
  tell,
  world,
} from './filter-world.ts';

inOwnNamespace(import.meta.url, () => {
  suite('per-app routing', { concurrency: 1 }, () => {
    let fixture: AppFixture;
    let filters: Filters;
    let forced: string;
    let split: string;
    let nobody: string;
    let plan: Plan;
    before(async () => {
      await buildWorld();
      fixture = makeAppFixture();
      forced = fixture.program('forced');
      split = fixture.program('split');
      nobody = fixture.program('nobody');
      filters = await openFilters({
        onEvent: () => undefined,
        cgroupName: fixture.cgroups.path.split('/').at(-1)!,
        pins: false,
        stallMs: 60_000,
        runDirectory: fixture.directory,
      });
      plan = planOf([appFilter(forced, { routing: 'ForceTunnel' }), appFilter(split)]);
    });
    after(async () => {
      await filters?.cleanUp();
      await filters?.close();
      fixture?.remove();
      removeWorld();
    });

    /** Who is told what by whom, for both families and every kind of exchange. */
    const table = async (): Promise<Record<string, string>> => {
      const jobs = [];
      for (const [name, program] of Object.entries({ forced, split, nobody }))
        for (const [place, site] of Object.entries({ inside: world.inside, outside: world.outside }))
          for (const family of [4, 6] as const)
            for (const exchange of everyExchange)
              jobs.push(async () => {
                const row = `${name} ${place} v${family} ${exchange}`;
                return [row, await tell(program, site, family, exchange, expected()[row] === '' ? silence : undefined)] as const;
              });
      const rows: (readonly [string, string])[] = [];
      for (let at = 0; at < jobs.length; at += 6) rows.push(...(await Promise.all(jobs.slice(at, at + 6).map((job) => job()))));
      return Object.fromEntries(rows);
    };
    /** What the table must be: from the tunnel's own address through the tunnel, without any translation; '' for no answer. */
    const expected = (): Record<string, string> =>
      Object.fromEntries(
        ['forced', 'split', 'nobody'].flatMap((name) =>
          ['inside', 'outside'].flatMap((place) =>
            ([4, 6] as const).flatMap((family) =>
              everyExchange.map((exchange) => {
                const through = name === 'forced' || (name === 'split' && place === 'inside');
                const refused = name === 'nobody' && place === 'inside';
                return [
                  `${name} ${place} v${family} ${exchange}`,
                  refused ? '' : through ? world.tunnel[family] : world.phys[family],
                ];
              }),
            ),
          ),
        ),
      );

    for (const rpFilter of everyRpFilter) {
      test(`TCP and UDP, connected or not, v4 and v6, from the right address, rp_filter ${rpFilter}`, async () => {
        setRpFilter(rpFilter);
        await filters.apply(plan, routesOf(plan));
        assert.deepEqual(await table(), expected());
      });
    }

    test('beside another VPN’s rules and Docker’s translation', async () => {
      setRpFilter(1);
      // As wg-quick makes them: everything into its table, but what carries its mark.
      sh('ip route add default via 192.0.2.1 dev phys0 table 51820');
      sh('ip rule add priority 32764 not fwmark 0xca6c table 51820');
      sh('ip rule add priority 32763 table main suppress_prefixlength 0');
      // As Docker makes them: its containers' addresses are translated, and it marks and restores bits of its own.
      run('nft', 'add table ip nat');
      run('nft', 'add chain ip nat POSTROUTING { type nat hook postrouting priority srcnat ; }');
      run('nft', 'add rule ip nat POSTROUTING ip saddr 172.17.0.0/16 oifname != "docker0" masquerade');
      run('nft', 'add table inet other');
      run('nft', 'add chain inet other out { type filter hook output priority mangle - 10 ; }');
      run('nft', 'add rule inet other out ct mark set ct mark | 0x4000');
      await filters.apply(plan, routesOf(plan));
      assert.deepEqual(await table(), expected());
      const rules = sh('ip rule');
      assert.match(rules, /not from all fwmark 0xca6c lookup 51820/);
      assert.match(run('nft', 'list', 'table', 'ip', 'nat'), /masquerade/);
      await filters.apply({ ...plan, filters: [], apps: [], routes: [], rules: [] });
      assert.match(run('nft', 'list', 'table', 'inet', 'other'), /0x00004000/);
      assert.doesNotMatch(run('nft', 'list', 'tables'), /aovpn/);
    });

    test('a tunnel that is down: the forced app reaches nothing, the others what they reached', async () => {
      await filters.apply(plan, routesOf(plan));
      sh('ip link set aov0 down');
      try {
        for (const family of [4, 6] as const)
          assert.equal(await tell(forced, world.outside, family, 'udp unconnected', silence), '');
        assert.equal(await tell(nobody, world.outside, 4, 'tcp'), world.phys[4]);
      } finally {
        sh('ip link set aov0 up');
        sh(`ip address add ${world.tunnel[6]}/128 dev aov0 nodad`);
      }
    });

    test('an app that loses its mark reaches nothing rather than the wrong way', async () => {
      await filters.apply(plan, routesOf(plan));
      clearRoutes();
      assert.equal(await tell(forced, world.outside, 4, 'udp unconnected', silence), '');
      assert.equal(await tell(nobody, world.outside, 4, 'udp unconnected'), world.phys[4]);
    });
  });
});
