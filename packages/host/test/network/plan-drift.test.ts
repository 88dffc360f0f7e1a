import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { compilePlan, emptyPlan, printPlan, resolveProfile, type Plan, type PlanChange } from '@aovpn/policy';
import type { Profile } from '@aovpn/profile';
import { cleanUp } from '../../src/network/clean-up.ts';
import { openNetwork } from '../../src/network/network.ts';
import { inOwnNamespace, sh } from './namespace.ts';

const at = <T>(value: T): { readonly value: T; readonly at: { readonly line: number; readonly column: number } } => ({
  value,
  at: { line: 7, column: 1 },
});

/** An app and a user whose traffic all goes into the tunnel. */
function forcedPlan(): Plan {
  const profile: Profile = {
    appTriggers: [],
    domainNameInformation: [],
    routes: [{ at: { line: 9, column: 1 }, address: at('10.0.0.0'), prefixSize: at(8) }],
    unknown: [],
    nativeProfile: {
      at: { line: 5, column: 1 },
      routingPolicyType: at('SplitTunnel' as const),
      disableClassBasedDefaultRoute: at(true),
    },
    trafficFilters: [
      {
        at: { line: 20, column: 1 },
        app: at({ id: '/usr/bin/true', type: 'FilePath' as const }),
        routingPolicyType: at('ForceTunnel' as const),
      },
      {
        at: { line: 25, column: 1 },
        claims: at('D:(A;;CC;;;S-1-5-21-1-1-1-1001)'),
        routingPolicyType: at('ForceTunnel' as const),
      },
    ],
  };
  return compilePlan({
    tunnels: [
      {
        intent: resolveProfile('Corp', profile).intent,
        facts: {
          profile: 'Corp',
          device: 'aov0',
          mtu: 1400,
          addresses: [parsePrefix('10.9.0.2/32')!, parsePrefix('fd00:9::2/128')!],
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: parseAddress('203.0.113.7')!,
        },
      },
    ],
    identities: new Map([['S-1-5-21-1-1-1-1001', { users: [{ from: 1001, to: 1003 }], groups: [] }]]),
    host: { resolver: 'stub', physicalDns: [], mark: 0x616f },
  });
}

inOwnNamespace(import.meta.url, () => {
  const directory = mkdtempSync(join(tmpdir(), 'drift-'));
  const place = {
    resolvConf: join(directory, 'resolv.conf'),
    stateDirectory: join(directory, 'state'),
    runDirectory: join(directory, 'run'),
  };
  writeFileSync(place.resolvConf, 'nameserver 192.168.7.1\n');
  const network = openNetwork(place);
  sh('ip tuntap add dev aov0 mode tun');
  after(async () => {
    await network.close();
    rmSync(directory, { recursive: true });
  });

  suite('tables and rules of forced apps and users', () => {
    test('applied, read back, nothing more to do; what is printed is what the kernel has', async () => {
      const plan = forcedPlan();
      await network.applyPlan(plan);
      assert.deepEqual((await network.applyPlan(plan)).changes, []);
      const { mark, table } = plan.apps[0]!.force!;
      assert.ok(
        sh('ip rule').includes(`7212:\tfrom all fwmark 0x${mark.toString(16)}/0xf000000 lookup ${table} proto 96`),
        sh('ip rule'),
      );
      assert.match(sh('ip -6 rule'), /7214:\s+from all uidrange 1001-1003 lookup \d+ proto 96/);
      assert.match(sh(`ip route show table ${table}`), /default dev aov0 proto 96 scope link src 10\.9\.0\.2/);
      await network.applyPlan(emptyPlan);
      for (const line of printPlan(plan).split('\n')) if (line.startsWith('ip ')) sh(line.replace(/\s+#.*/, ''));
      assert.deepEqual((await network.applyPlan(plan)).changes, []);
      await network.applyPlan(emptyPlan);
      assert.equal(sh('ip route show table all proto 96'), '');
      assert.doesNotMatch(sh('ip rule'), /proto 96/);
    });

    test('a plan for other users replaces the rule', async () => {
      const plan = forcedPlan();
      await network.applyPlan(plan);
      const others = { ...plan, rules: plan.rules.map((rule) => (rule.users ? { ...rule, users: { from: 5, to: 6 } } : rule)) };
      await network.applyPlan(others);
      assert.match(sh('ip rule'), /uidrange 5-6/);
      assert.doesNotMatch(sh('ip rule'), /1001/);
      await network.applyPlan(emptyPlan);
    });
  });

  suite('watchPlan', () => {
    const foreign: Record<string, string> = {
      'ip rule del': 'ip rule delete priority 7212',
      'ip -6 rule del': 'ip -6 rule delete priority 7220',
      'a rule added in our place': 'ip rule add priority 7221 lookup main protocol 96',
      'ip route del': 'ip route delete 10.0.0.0/8 table 7296',
      'ip route flush of an app’s table': `ip route flush table ${forcedPlan().apps[0]!.force!.table}`,
      'an address taken away': 'ip address delete 10.9.0.2/32 dev aov0',
      'a device taken down': 'ip link set aov0 down',
    };
    for (const [what, command] of Object.entries(foreign)) {
      test(`${what}: told within a moment, and the same plan puts it right`, async () => {
        const plan = forcedPlan();
        await network.applyPlan(plan);
        const told: (readonly PlanChange[])[] = [];
        const drift = new Promise<void>((resolve) => {
          const watch = network.watchPlan((changes) => {
            told.push(changes);
            watch.close();
            resolve();
          });
        });
        sh(command);
        await drift;
        assert.ok(told[0]!.length > 0);
        await network.applyPlan(plan);
        assert.deepEqual((await network.applyPlan(plan)).changes, []);
      });
    }

    test('what we do ourselves, and what others do elsewhere, is not told', async () => {
      const told: (readonly PlanChange[])[] = [];
      const watch = network.watchPlan((changes) => told.push(changes));
      await network.applyPlan(forcedPlan());
      await network.applyPlan({ ...forcedPlan(), rules: [] });
      await network.applyPlan(forcedPlan());
      sh('ip rule add priority 100 lookup main');
      sh('ip route add 10.77.0.0/16 dev aov0');
      sh('ip route delete 10.77.0.0/16 dev aov0');
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.deepEqual(told, []);
      watch.close();
    });
  });

  test('cleanUp removes every table of ours', async () => {
    await network.applyPlan(forcedPlan());
    const report = await cleanUp(place);
    assert.deepEqual(report.problems, []);
    assert.equal(sh('ip route show table all proto 96'), '');
    assert.equal(sh('ip -6 route show table all proto 96'), '');
    assert.doesNotMatch(sh('ip rule') + sh('ip -6 rule'), /proto 96/);
  });
});
