import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatPrefix, parseAddress, parsePrefix, type IpAddress } from '@aovpn/bytes';
import { compilePlan, emptyPlan, explain, printPlan, resolveProfile, type Plan, type TunnelFacts } from '@aovpn/policy';
import type { Profile, Route } from '@aovpn/profile';
import { openSysctls } from '../../src/filter/sysctl.ts';
import { HostError } from '../../src/host-error.ts';
import { cleanUp } from '../../src/network/clean-up.ts';
import { openNetwork, toHostFacts } from '../../src/network/network.ts';
import { watchNetwork, type NetworkChange } from '../../src/network/watch-network.ts';
import { giveBack, takeOver } from '../../src/resolver/resolv-conf-journal.ts';
import { until } from '../apps/app-fixture.ts';
import { awaitCarrier, inOwnNamespace, sh } from './namespace.ts';

const mark = 0x616f;

function address(text: string): IpAddress {
  return parseAddress(text)!;
}

function at<T>(value: T): { value: T; at: { line: number; column: number } } {
  return { value, at: { line: 7, column: 1 } };
}

function route(text: string, exclude = false): Route {
  const [network, length] = text.split('/');
  return { at: { line: 9, column: 1 }, address: at(network!), prefixSize: at(Number(length)), exclusionRoute: at(exclude) };
}

function planOf(
  kind: 'SplitTunnel' | 'ForceTunnel',
  routes: readonly Route[],
  facts: Partial<TunnelFacts> = {},
  dns: readonly string[] = [],
): Plan {
  const profile: Profile = {
    appTriggers: [],
    domainNameInformation:
      dns.length > 0 ? [{ at: { line: 3, column: 1 }, domainName: at('.corp.example'), dnsServers: at(dns) }] : [],
    trafficFilters: [],
    routes,
    unknown: [],
    nativeProfile: { at: { line: 5, column: 1 }, routingPolicyType: at(kind), disableClassBasedDefaultRoute: at(true) },
  };
  return compilePlan({
    tunnels: [
      {
        intent: resolveProfile('Corp', profile).intent,
        facts: {
          profile: 'Corp',
          device: 'aov0',
          mtu: 1380,
          addresses: [parsePrefix('10.9.0.2/24')!, parsePrefix('fd00:9::2/64')!],
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: address('203.0.113.7'),
          ...facts,
        },
      },
    ],
    host: { resolver: 'stub', physicalDns: [address('192.168.7.1')], mark, localSubnets: [parsePrefix('192.168.7.0/24')!] },
  });
}

/** Everything of routing that a person would look at, our own and everybody else's; link-local addresses come and go by themselves. */
function everything(): string {
  const text = ['ip -4 rule', 'ip -6 rule', 'ip -4 route show table all', 'ip -6 route show table all'].map(sh).join('--\n');
  return text
    .split('\n')
    .filter((line) => !/ fe80::\S* dev/.test(` ${line}`))
    .join('\n');
}

const [, , job, directory] = process.argv;
if (job === 'apply-and-wait') {
  const network = openNetwork({
    resolvConf: join(directory!, 'resolv.conf'),
    stateDirectory: join(directory!, 'state'),
    runDirectory: join(directory!, 'run'),
  });
  await network.applyPlan(planOf('ForceTunnel', [route('198.51.100.0/24', true)], {}, ['10.0.0.53']));
  process.stdout.write('applied\n');
  setInterval(() => undefined, 1000);
} else {
  inOwnNamespace(import.meta.url, () => {
    const place = mkdtempSync(join(tmpdir(), 'pol-network-'));
    const resolvConf = join(place, 'resolv.conf');
    const stateDirectory = join(place, 'state');
    const runDirectory = join(place, 'run');
    const original = '# the machine’s own\nnameserver 192.168.7.1\nsearch home.example\noptions timeout:2\n';
    writeFileSync(resolvConf, original);
    const network = openNetwork({ resolvConf, stateDirectory, runDirectory });
    sh('ip link add phys0 type veth peer name phys1');
    sh('ip link set phys0 up');
    sh('ip link set phys1 up');
    sh('ip address add 192.168.7.2/24 dev phys0');
    sh('ip address add 2001:db8:7::2/64 dev phys0 nodad');
    sh('ip route add default via 192.168.7.1 dev phys0');
    sh('ip -6 route add default via 2001:db8:7::1 dev phys0');
    sh('ip tuntap add dev aov0 mode tun');
    // Foreign things next to ours, that nothing here may touch.
    sh('ip route add 10.50.0.0/16 via 192.168.7.9 dev phys0');
    sh('ip route add 10.51.0.0/16 via 192.168.7.9 dev phys0 table 7296');
    sh('ip rule add priority 7250 from 192.0.2.1 lookup main');
    sh('ip -6 rule add priority 7251 from 2001:db8::1 lookup main');
    awaitCarrier('phys0', 'phys1');
    const untouched = everything();
    after(async () => {
      await network.close();
      rmSync(place, { recursive: true });
    });

    const split = planOf('SplitTunnel', [
      route('10.0.0.0/8'),
      route('10.99.0.0/16', true),
      route('192.168.0.0/16'),
      route('2001:db8:99::/48'),
    ]);
    const force = planOf('ForceTunnel', [route('198.51.100.0/24', true)]);
    const names = planOf('SplitTunnel', [route('10.0.0.0/8')], {}, ['10.0.0.53']);

    suite('applyPlan', () => {
      beforeEach(async () => void (await network.applyPlan(emptyPlan)));

      test('a plan, then the same plan: nothing more to do', async () => {
        const { changes } = await network.applyPlan(split);
        assert.ok(changes.length > 8);
        assert.match(
          sh('ip -4 rule'),
          /7210:\s+from all fwmark 0x616f goto 7290 proto 96\n7220:\s+from all lookup 7296 proto 96/,
        );
        assert.match(sh('ip -4 route show table 7296'), /10\.0\.0\.0\/8 dev aov0 proto 96 scope link src 10\.9\.0\.2 metric 26/);
        assert.match(sh('ip -4 route show table 7296'), /throw 10\.99\.0\.0\/16 proto 96 metric 1/);
        assert.match(sh('ip link show aov0'), /mtu 1380/);
        const before = everything();
        assert.deepEqual((await network.applyPlan(split)).changes, []);
        assert.equal(everything(), before);
      });

      test('from plan to plan and back to nothing; what is not ours stays', async () => {
        for (const plan of [split, force, names, force, split]) {
          await network.applyPlan(plan);
          assert.deepEqual((await network.applyPlan(plan)).changes, []);
        }
        await network.applyPlan(emptyPlan);
        // The device is the data plane's, and so are the addresses that the kernel itself gives it.
        const withoutDevice = (text: string): string =>
          text
            .split('\n')
            .filter((line) => !line.includes('aov0'))
            .join('\n');
        assert.equal(withoutDevice(everything()), withoutDevice(untouched));
        assert.doesNotMatch(sh('ip address show aov0'), /10\.9\.0\.2|fd00/);
      });

      test('the printed plan is what the kernel has: its commands, then apply finds nothing to do', async () => {
        for (const plan of [split, force]) {
          await network.applyPlan(emptyPlan);
          for (const line of printPlan(plan).split('\n')) if (line.startsWith('ip ')) sh(line.replace(/\s+#.*/, ''));
          assert.deepEqual((await network.applyPlan(plan)).changes, []);
        }
      });

      test('explain says what the kernel does', async () => {
        const probes = [
          '10.1.2.3',
          '10.99.1.1',
          '10.51.0.9',
          '192.168.7.77',
          '192.168.8.1',
          '198.51.100.4',
          '203.0.113.7',
          '203.0.113.8',
          '8.8.8.8',
          '169.254.3.4',
          '2001:db8:99::5',
          '2001:db8:98::5',
          '2001:db8:7::9',
        ];
        for (const plan of [split, force]) {
          await network.applyPlan(plan);
          for (const probe of probes) {
            // 10.51/16 lies in our table, made by somebody else: the plan cannot know of it.
            if (probe === '10.51.0.9') continue;
            const said = explain(plan, probe).addresses[0]!;
            const done = network.routeTo(address(probe));
            assert.equal(
              done?.device ?? 'nowhere',
              said.path === 'tunnel' ? said.device : said.path === 'physical' ? 'phys0' : 'nowhere',
              probe,
            );
            assert.equal(network.routeTo(address(probe), mark)?.device, 'phys0', `${probe} marked`);
          }
        }
      });

      test('force tunnel fails closed when its device goes away', async () => {
        await network.applyPlan(planOf('ForceTunnel', [], { addresses: [parsePrefix('10.9.0.2/32')!] }));
        assert.equal(network.routeTo(address('2001:db8:98::5')), undefined, 'IPv6 has no address in the tunnel');
        assert.equal(network.routeTo(address('8.8.8.8'))?.device, 'aov0');
        sh('ip link delete aov0');
        assert.equal(network.routeTo(address('8.8.8.8')), undefined);
        assert.equal(network.routeTo(address('203.0.113.7')), undefined, 'nor to the gateway, but for ourselves');
        assert.equal(network.routeTo(address('203.0.113.7'), mark)?.device, 'phys0');
        assert.equal(network.routeTo(address('8.8.8.8'), mark)?.device, 'phys0');
        sh('ip tuntap add dev aov0 mode tun');
      });

      test('a refused part puts everything back', async () => {
        await network.applyPlan(split);
        const before = everything();
        const broken: Plan = {
          ...force,
          routes: [...force.routes, { ...force.routes[0]!, prefix: parsePrefix('10.3.0.0/16')!, source: address('10.77.77.77') }],
        };
        await assert.rejects(
          network.applyPlan(broken),
          (error) => error instanceof HostError && error.code === 'AOV-HOST-302' && /10\.3\.0\.0\/16.*EINVAL/.test(error.what),
        );
        assert.equal(everything(), before);
      });

      test('a plan for a device that is not there changes nothing', async () => {
        await network.applyPlan(split);
        const before = everything();
        const elsewhere = planOf('SplitTunnel', [route('10.0.0.0/8')], { device: 'aov7' });
        await assert.rejects(
          network.applyPlan(elsewhere),
          (error) => error instanceof HostError && error.code === 'AOV-HOST-301',
        );
        assert.equal(everything(), before);
      });

      test('what somebody took away comes back; what somebody put in our name goes', async () => {
        await network.applyPlan(split);
        const before = everything();
        sh('ip route delete 10.0.0.0/8 table 7296');
        sh('ip -6 rule delete priority 7220');
        sh('ip route add 10.200.0.0/16 via 192.168.7.9 dev phys0 table 7296 proto 96');
        sh('ip rule add priority 7299 fwmark 9 lookup 7296 protocol 96');
        await network.applyPlan(split);
        assert.equal(everything(), before);
      });

      test('two at once follow each other', async () => {
        await Promise.all([network.applyPlan(split), network.applyPlan(force), network.applyPlan(names)]);
        assert.deepEqual((await network.applyPlan(names)).changes, []);
      });

      test('many routes', async () => {
        const many = planOf(
          'SplitTunnel',
          Array.from({ length: 500 }, (_, i) => route(`10.${i >> 8}.${i & 255}.0/24`)),
        );
        await network.applyPlan(many);
        assert.equal(
          sh('ip -4 route show table 7296 proto 96').trim().split('\n').length,
          many.routes.filter(({ prefix }) => prefix.address.family === 4).length,
        );
        assert.deepEqual((await network.applyPlan(many)).changes, []);
      });
    });

    suite('guards', () => {
      const tables = (): string => ['inet', 'arp'].map((family) => sh(`nft list tables ${family}`)).join('');
      const sourceMark = (): string => readFileSync('/proc/sys/net/ipv4/conf/all/src_valid_mark', 'utf8').trim();

      test('stand while there is a tunnel, and not longer', async () => {
        await network.applyPlan(emptyPlan);
        assert.equal(tables(), '');
        assert.equal(sourceMark(), '0');
        await network.applyPlan(force);
        assert.match(sh('nft list table inet aovpn_guard'), /elements = \{ 10\.9\.0\.2 \}/);
        assert.match(sh('nft list table inet aovpn_guard'), /ip daddr @own4 counter packets 0 bytes 0 drop/);
        assert.match(sh('nft list table arp aovpn_guard'), /elements = \{ 10\.9\.0\.2 \}/);
        assert.equal(sourceMark(), '1');
        await network.applyPlan(emptyPlan);
        assert.equal(tables(), '');
        assert.equal(sourceMark(), '0');
      });

      test('made before anybody waits, and then filled: the same; other addresses take their places', async () => {
        await network.applyPlan(emptyPlan);
        await network.applyPlan(split);
        const atOnce = sh('nft -s list ruleset');
        await network.applyPlan(emptyPlan);
        network.expectPlan(mark);
        await network.applyPlan(split);
        assert.equal(sh('nft -s list ruleset'), atOnce);
        const other = planOf('SplitTunnel', [route('10.0.0.0/8')], {
          addresses: [parsePrefix('10.9.0.3/32')!, parsePrefix('fd00:9::3/128')!],
        });
        await network.applyPlan(other);
        const moved = sh('nft -s list ruleset');
        assert.ok(moved.includes('10.9.0.3') && moved.includes('fd00:9::3'));
        assert.ok(!moved.includes('10.9.0.2') && !moved.includes('fd00:9::2'));
        await network.applyPlan(emptyPlan);
        assert.equal(tables(), '');
        network.expectPlan(mark);
        await network.applyPlan(force);
        assert.match(sh('nft list table inet aovpn_guard'), /chain past/, 'a force tunnel needs more than that');
        await network.applyPlan(emptyPlan);
      });

      test('what somebody else does to them is told, and put back by the next apply', async () => {
        await network.applyPlan(force);
        const before = sh('nft list ruleset');
        const told: string[] = [];
        const { promise, resolve } = Promise.withResolvers<void>();
        const watch = network.watchPlan((changes) => {
          for (const change of changes) if (change.kind === 'guard') told.push(change.what);
          if (told.length > 0) resolve();
        });
        try {
          sh('nft flush chain inet aovpn_guard arriving');
          await promise;
          assert.match(told[0]!, /delete rule.* by nft/);
          await network.applyPlan(force);
          assert.equal(sh('nft list ruleset'), before);
        } finally {
          watch.close();
          await network.applyPlan(emptyPlan);
        }
      });

      test('a setting that filters need as well is given back with the second', async () => {
        const filters = openSysctls(runDirectory, 'filters');
        await network.applyPlan(force);
        filters.set('net.ipv4.conf.all.src_valid_mark', '1');
        assert.deepEqual(filters.restore(), []);
        assert.equal(sourceMark(), '1');
        filters.set('net.ipv4.conf.all.src_valid_mark', '1');
        await network.applyPlan(emptyPlan);
        assert.equal(sourceMark(), '1');
        assert.deepEqual(filters.restore(), []);
        assert.equal(sourceMark(), '0');
      });
    });

    suite('facts', () => {
      test('the machine without us', async () => {
        await network.applyPlan(names);
        const facts = await network.networkFacts();
        assert.deepEqual(
          facts.defaultRoutes.map(({ family, device }) => [family, device]),
          [
            [4, 'phys0'],
            [6, 'phys0'],
          ],
        );
        assert.deepEqual(facts.sources, { v4: address('192.168.7.2'), v6: address('2001:db8:7::2') });
        assert.equal(facts.resolver.owner, 'stub');
        assert.deepEqual(facts.resolver.servers, [address('192.168.7.1')]);
        const host = toHostFacts(facts, mark);
        assert.deepEqual(host.localSubnets, [parsePrefix('192.168.7.0/24'), parsePrefix('2001:db8:7::/64')]);
        assert.deepEqual(host.physicalSearch, ['home.example']);
        await network.applyPlan(emptyPlan);
      });

      test('a bridge without a port that leads out is this machine’s own', async () => {
        const subnets = async (): Promise<readonly string[]> => {
          const { localSubnets, ownSubnets } = await network.networkFacts();
          return [localSubnets, ownSubnets].map((list) =>
            list
              .map(formatPrefix)
              .filter((one) => one.startsWith('172.'))
              .join(),
          );
        };
        sh('ip link add br0 type bridge');
        sh('ip address add 172.17.0.1/16 dev br0');
        sh('ip link set br0 up');
        assert.deepEqual(await subnets(), ['', '172.17.0.0/16']);
        sh('ip link add port0 type veth peer name port1');
        sh('ip link set port0 master br0 up');
        assert.deepEqual(await subnets(), ['', '172.17.0.0/16']);
        // What it is made of leads who knows where.
        sh('ip link add out0 link phys1 type macvlan mode bridge');
        sh('ip link set out0 master br0 up');
        assert.deepEqual(await subnets(), ['172.17.0.0/16', '']);
        for (const name of ['out0', 'port0', 'br0']) sh(`ip link delete ${name}`);
      });
    });

    suite('watchNetwork', () => {
      test('tells links, addresses and routes; not what we do ourselves', async () => {
        const seen: NetworkChange[] = [];
        const all: NetworkChange[] = [];
        let wake: () => void = () => undefined;
        const watch = network.watchNetwork((change) => {
          seen.push(change);
          all.push(change);
          wake();
        });
        const next = async (wanted: string, act: () => void): Promise<void> => {
          while (!seen.some(({ kinds }) => (kinds as readonly string[]).includes(wanted))) {
            const woken = new Promise<void>((resolve) => (wake = resolve));
            act();
            act = () => undefined;
            await woken;
          }
          seen.length = 0;
        };
        await next('address', () => void sh('ip address add 192.168.8.2/24 dev phys0'));
        await next('route', () => void sh('ip route replace default via 192.168.8.1 dev phys0'));
        await next('link', () => void sh('ip link set phys1 down'));
        await next('link', () => void sh('ip link set phys1 up'));
        await next('resolver', () => writeFileSync(resolvConf, `${original}# changed\n`));
        await next('resolver', () => writeFileSync(resolvConf, original));
        // The other end of the wire follows in its own time, and so do link-local addresses.
        awaitCarrier('phys0', 'phys1');
        await until('no address is in doubt', () => !/tentative/.test(sh('ip address')));
        // What is looked at is how things are now: with this all that was before is known.
        await next('address', () => void sh('ip address add 192.168.9.2/24 dev phys0'));
        all.length = 0;
        await network.applyPlan(split);
        await network.applyPlan(names);
        await next('address', () => void sh('ip address delete 192.168.9.2/24 dev phys0'));
        assert.deepEqual(
          all.map(({ kinds }) => kinds),
          [['address']],
        );
        // Somebody takes resolv.conf back while our rules are in force, before anything has told of our taking it.
        await next('resolver', () => writeFileSync(resolvConf, original));
        await network.applyPlan(names);
        assert.match(readFileSync(resolvConf, 'utf8'), /127\.0\.0\.96/);
        watch.close();
        await network.applyPlan(emptyPlan);
        assert.equal(readFileSync(resolvConf, 'utf8'), original);
        seen.length = 0;
        sh('ip address delete 192.168.8.2/24 dev phys0');
        sh('ip route replace default via 192.168.7.1 dev phys0');
        sh('ip -6 address replace 2001:db8:7::2/64 dev phys0 nodad');
        sh('ip -6 route replace default via 2001:db8:7::1 dev phys0');
        assert.deepEqual(seen, []);
      });
    });

    suite('watchNetwork and a quick hand', () => {
      test('what is taken back before anybody has heard of our taking it is told', async () => {
        const own = { resolvConf: join(place, 'own.conf'), stateDirectory: join(place, 'own-state') };
        writeFileSync(own.resolvConf, original);
        const told = Promise.withResolvers<void>();
        let isHeld = false;
        const watch = watchNetwork(({ kinds }) => void (kinds.includes('resolver') && told.resolve()), {
          ...own,
          isHeld: () => isHeld,
        });
        takeOver(own, { nameservers: [address('127.0.0.96')], search: [], options: [] });
        isHeld = true;
        writeFileSync(own.resolvConf, original);
        await told.promise;
        watch.close();
        giveBack(own);
      });
    });

    suite('cleanUp', () => {
      test('after kill -9 nothing is left', async () => {
        await network.applyPlan(emptyPlan);
        // Named like ours, but no tunnel: a person's own.
        sh('ip link add aovpeople0 type veth peer name aovpeople1');
        const before = everything();
        const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'apply-and-wait', place], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await new Promise((resolve) => child.stdout.once('data', resolve));
        assert.notEqual(everything(), before);
        assert.match(readFileSync(resolvConf, 'utf8'), /nameserver 127\.0\.0\.96/);
        child.kill('SIGKILL');
        await new Promise((resolve) => child.once('close', resolve));
        const report = await cleanUp({ resolvConf, stateDirectory, runDirectory });
        assert.deepEqual(report.problems, []);
        assert.deepEqual(report.devices, ['aov0']);
        assert.equal(report.resolver, 'restored');
        assert.match(sh('ip link'), /aovpeople0/);
        assert.equal(report.rules, 6);
        assert.ok(report.routes >= 4);
        assert.equal(readFileSync(resolvConf, 'utf8'), original);
        const withoutDevice = (text: string): string =>
          text
            .split('\n')
            .filter((line) => !line.includes('aov0'))
            .join('\n');
        assert.equal(everything(), withoutDevice(before));
        assert.deepEqual(await cleanUp({ resolvConf, stateDirectory, runDirectory }), {
          rules: 0,
          routes: 0,
          devices: [],
          ipsec: 0,
          resolver: 'nothing',
          problems: [],
        });
      });
    });
  });
}
