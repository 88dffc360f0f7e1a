// For any profile: compiled, printed and applied, the kernel has what was printed; taken away again, not an octet differs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { compilePlan, emptyPlan, printGuard, printPlan, resolveProfile, type Plan, type TunnelFacts } from '@aovpn/policy';
import type { Profile } from '@aovpn/profile';
import fc from 'fast-check';
import { anyFilteredProfile, trafficCatalogue, trafficIdentities } from '../../../policy/testkit/traffic.ts';
import { arbitraryProfile } from '../../../profile/test/arbitrary-profile.ts';
import { openTunDevice } from '../../src/data-plane/tun-device.ts';
import { openFilters, type Filters } from '../../src/filter/filters.ts';
import { openNetwork, toHostFacts, type Network } from '../../src/network/network.ts';
import { closeDescriptor } from '../../src/sys/index.ts';
import { awaitCarrier, inOwnNamespace, run, sh } from './namespace.ts';

/** To look further: `AOVPN_SEED=1 AOVPN_PROFILES=1000`. */
const seed = Number(process.env['AOVPN_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
const profiles = Number(process.env['AOVPN_PROFILES'] ?? 12);
const mark = 0x616f;
const device = 'aov0';

/** Prefixes that nest and collide, with and without host bits, of every length. */
const anyRoute = fc
  .record({
    network: fc.oneof(
      fc.constantFrom(
        '10.0.0.0',
        '10.20.0.1',
        '192.168.7.0',
        '203.0.113.7',
        '0.0.0.0',
        '127.0.0.1',
        '169.254.1.0',
        '224.0.0.1',
        '255.255.255.255',
      ),
      fc.constantFrom('fd00::', 'fd00:9::2', '2001:db8:7::', '2000::', '::', '::1', 'fe80::1', 'ff02::1'),
      fc.ipV4(),
    ),
    length: fc.oneof(fc.constantFrom(0, 1, 8, 16, 24, 32, 64, 128), fc.nat(128)),
    metric: fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }),
    exclude: fc.boolean(),
  })
  .map(({ network, length, metric, exclude }): Profile['routes'][number] => ({
    at: { line: 9, column: 1 },
    address: { value: network, at: { line: 9, column: 2 } },
    prefixSize: { value: network.includes(':') ? length : Math.min(32, length), at: { line: 9, column: 3 } },
    ...(metric === undefined ? {} : { metric: { value: metric, at: { line: 9, column: 4 } } }),
    exclusionRoute: { value: exclude, at: { line: 9, column: 5 } },
  }));

const anyWish = fc.record({
  profile: fc
    .tuple(arbitraryProfile, fc.array(anyRoute, { maxLength: 12 }), fc.option(anyFilteredProfile, { nil: undefined }))
    .map(([profile, routes, filtered]): Profile => ({
      ...profile,
      routes: [...profile.routes, ...routes],
      ...(filtered && { trafficFilters: filtered.trafficFilters }),
    })),
  inner: fc.constantFrom(
    ['10.9.0.2/32'],
    ['fd00:9::2/128'],
    ['10.9.0.2/24', 'fd00:9::2/64'],
    ['10.9.0.2/32', '10.9.0.3/32', 'fd00:9::2/128'],
  ),
  gateway: fc.constantFrom('203.0.113.7', '192.168.7.9', '2001:db8:99::7'),
  selectors: fc.subarray(['10.20.0.0/16', '0.0.0.0/0', 'fd20::/64', '::/0']),
  dns: fc.subarray(['10.9.0.1', 'fd00:9::53', '192.168.7.53']),
  mtu: fc.integer({ min: 1280, max: 1500 }),
});

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line.trim() !== '');

inOwnNamespace(import.meta.url, () => {
  suite(`any profile (AOVPN_SEED=${seed})`, { concurrency: 1 }, () => {
    const place = mkdtempSync(join(tmpdir(), 'plan-property-'));
    const resolvConf = join(place, 'resolv.conf');
    const stateDirectory = join(place, 'state');
    const runDirectory = join(place, 'run');
    let network: Network;
    let filters: Filters;

    before(async () => {
      for (const directory of [stateDirectory, runDirectory]) mkdirSync(directory);
      writeFileSync(resolvConf, '# the machine’s own\nnameserver 192.168.7.1\nsearch home.example\n');
      // Nothing of the test's own links may still be under way.
      writeFileSync('/proc/sys/net/ipv6/conf/default/accept_dad', '0');
      for (const line of [
        'ip link add phys0 type veth peer name phys1',
        'ip link set phys0 up',
        'ip link set phys1 up',
        'ip address add 192.168.7.2/24 dev phys0',
        'ip address add 2001:db8:7::2/64 dev phys0 nodad',
        'ip route add default via 192.168.7.1 dev phys0',
        'ip -6 route add default via 2001:db8:7::1 dev phys0',
        // Foreign things beside ours, in our own table too.
        'ip route add 10.51.0.0/16 via 192.168.7.9 dev phys0 table 7296',
        'ip rule add priority 7250 from 192.0.2.1 lookup main',
        'nft add table inet foreign',
        // Where the printed commands are carried out by hand. Names of namespaces vanish with this mount namespace.
        'mkdir -p /run/netns',
        'mount -t tmpfs tmpfs /run/netns',
        'ip netns add hand',
        'ip -n hand link set lo up',
      ])
        sh(line);
      awaitCarrier('phys0', 'phys1');
      network = openNetwork({ resolvConf, stateDirectory, runDirectory });
      filters = await openFilters({
        onEvent: () => undefined,
        cgroupName: `aovpn-plan-${process.pid}`,
        pins: false,
        stallMs: 60_000,
        runDirectory,
      });
    });
    after(async () => {
      await filters?.cleanUp();
      await filters?.close();
      await network?.close();
      rmSync(place, { recursive: true, force: true });
    });

    /** All that we may change. */
    function everything(): string {
      const settings = run(
        'sh',
        '-c',
        'sysctl -a 2>/dev/null | grep -E "^net.(ipv4|ipv6).(conf|ip_forward)" | grep -v mc_forwarding',
      );
      return [
        ...[
          'ip -4 rule',
          'ip -6 rule',
          'ip -4 route show table all',
          'ip -6 route show table all',
          'ip -o link',
          'ip -o address',
          'nft list ruleset',
        ].map(sh),
        readFileSync(resolvConf, 'utf8'),
        readdirSync(place, { recursive: true, encoding: 'utf8' }).join('\n'),
        settings,
      ]
        .join('--\n')
        .replaceAll(/ (valid_lft|preferred_lft|expires) \S+/g, '');
    }

    /** Ours, as the kernel tells it; which namespace makes no difference. */
    function kernelHas(inside: readonly string[]): string {
      const ask = (...argv: string[]): string => run(inside[0] ?? argv[0]!, ...[...inside, ...argv].slice(1));
      const own = (text: string): readonly string[] =>
        lines(text)
          .filter((line) => line.includes('proto 96'))
          .map((line) => line.replace(' linkdown', '').trim())
          .sort();
      return [
        ...(['-4', '-6'] as const).flatMap((family) => [
          ...own(ask('ip', family, 'rule')),
          ...own(ask('ip', family, 'route', 'show', 'table', 'all')),
        ]),
        ...lines(ask('ip', '-o', 'address', 'show', 'dev', device))
          .filter((line) => line.includes('scope global'))
          .map((line) => /inet6? \S+/.exec(line)![0])
          .sort(),
        / mtu \d+/.exec(ask('ip', 'link', 'show', device))![0],
        // Counters are not compared.
        ask('nft', '-s', 'list', 'ruleset').replace('table inet foreign {\n}\n', ''),
      ].join('\n');
    }

    /** What an administrator would do with the printed plan. */
    function byHand(plan: Plan, ruleset: string): void {
      const commands = lines(printPlan(plan))
        .filter((line) => line.startsWith('ip '))
        .map((line) => line.replace(/\s+#.*/, ''));
      const familyOf = (line: string): string =>
        /^ip (-[46]) /.exec(line)?.[1] ?? (/^ip address add \S*:/.test(line) ? '-6' : '-4');
      const batch = (family: string): string =>
        commands
          .filter((line) => familyOf(line) === family)
          .map((line) => `${line.replace(/^ip (-[46] )?/, '')}\n`)
          .join('');
      sh(`ip -n hand tuntap add dev ${device} mode tun`);
      for (const family of ['-4', '-6'])
        execFileSync('ip', ['-n', 'hand', family, '-batch', '-'], { input: batch(family), stdio: ['pipe', 'pipe', 'inherit'] });
      execFileSync('nsenter', ['--net=/run/netns/hand', 'nft', '-f', '-'], {
        input: `${ruleset}\n${printGuard(plan.tunnels)}`,
      });
    }

    function forget(): void {
      sh(`ip -n hand link delete ${device}`);
      for (const family of ['-4', '-6']) {
        for (const table of new Set(
          lines(run('ip', '-n', 'hand', family, 'route', 'show', 'table', 'all')).flatMap(
            (line) => / table (\d+)/.exec(line)?.[1] ?? [],
          ),
        ))
          run('ip', '-n', 'hand', family, 'route', 'flush', 'table', table);
        for (const line of lines(run('ip', '-n', 'hand', family, 'rule')).filter((one) => one.includes('proto 96')))
          run('ip', '-n', 'hand', family, 'rule', 'delete', 'priority', line.split(':')[0]!, 'protocol', '96');
      }
      execFileSync('nsenter', ['--net=/run/netns/hand', 'nft', 'flush', 'ruleset']);
    }

    test(`${profiles} of them`, async () => {
      await fc.assert(
        fc.asyncProperty(anyWish, async ({ profile, inner, gateway, selectors, dns, mtu }) => {
          const untouched = everything();
          const facts: TunnelFacts = {
            profile: 'Any',
            device,
            mtu,
            addresses: inner.map((text) => parsePrefix(text)!),
            dns: dns.map((text) => parseAddress(text)!),
            dnsDomains: [],
            subnets: [],
            remoteSelectors: selectors.map((text) => parsePrefix(text)!),
            gateway: parseAddress(gateway)!,
          };
          const { intent } = resolveProfile('Any', profile);
          const host = toHostFacts(await network.networkFacts(), mark);
          const plan = compilePlan({ tunnels: [{ intent, facts }], apps: trafficCatalogue, identities: trafficIdentities, host });
          const tun = openTunDevice(device, mtu, false);
          try {
            const routes = {
              apply: async () => void (await network.applyPlan(plan)),
              undo: async () => void (await network.applyPlan(emptyPlan)),
            };
            const { ruleset } = await filters.apply(plan, routes);
            assert.deepEqual((await network.applyPlan(plan)).changes, [], 'applied again there is nothing to do');
            byHand(plan, ruleset);
            try {
              assert.equal(kernelHas([]), kernelHas(['nsenter', '--net=/run/netns/hand', '--']), printPlan(plan));
            } finally {
              forget();
            }
            await filters.apply(emptyPlan, {
              apply: async () => void (await network.applyPlan(emptyPlan)),
              undo: () => Promise.resolve(),
            });
            await filters.cleanUp();
          } finally {
            closeDescriptor(tun.fd);
          }
          assert.deepEqual(everything().split('\n'), untouched.split('\n'));
        }),
        { numRuns: profiles, seed, endOnFailure: true },
      );
    });
  });
});
