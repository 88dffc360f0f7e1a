import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { Profile } from '@aovpn/profile';
import { compilePlan, printPlan, resolveProfile, type HostFacts, type TunnelFacts } from '../src/index.ts';
import { address, at, facts, host, nameRule, prefix, profile, route } from './sample.ts';

interface Story {
  readonly profiles: readonly {
    readonly name: string;
    readonly profile: Profile;
    readonly facts?: Partial<TunnelFacts>;
    readonly down?: true;
  }[];
  readonly host?: Partial<HostFacts>;
}

const split = at('SplitTunnel' as const, 12);
const force = at('ForceTunnel' as const, 12);
const native = { at: { line: 10, column: 3 } };

const stories: Record<string, Story> = {
  'split-with-routes-and-names': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          dnsSuffix: at(['corp.example', 'lab.example'], 4),
          nativeProfile: { ...native, routingPolicyType: split, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [
            route('10.0.0.0/8', 20),
            route('172.16.0.0/12', 25, { metric: 5 }),
            route('10.99.0.0/16', 30, { exclude: true }),
          ],
          domainNameInformation: [
            nameRule('.corp.example', 40, ['10.0.0.53', '10.0.1.53']),
            nameRule('vpn.corp.example', 50),
            nameRule('host.other.example', 60, ['10.0.0.53']),
          ],
        }),
        facts: { dns: [address('10.0.0.53')] },
      },
    ],
  },
  'force-v4-only': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({ nativeProfile: { ...native, routingPolicyType: force }, routes: [route('10.0.0.0/8', 20)] }),
        facts: { dns: [address('10.9.0.1')], dnsDomains: ['corp.example'] },
      },
    ],
  },
  'force-both-families-by-pass-for-local': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          byPassForLocal: at(true, 5),
          nativeProfile: { ...native, routingPolicyType: force },
          routes: [route('198.51.100.0/24', 20, { exclude: true })],
        }),
        facts: { addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/64')], dns: [address('fd00:9::53')] },
      },
    ],
    host: { localSubnets: [prefix('192.168.1.0/24'), prefix('93.184.216.0/24'), prefix('fd12::/64')] },
  },
  'routing-policy-absent-no-routes': { profiles: [{ name: 'Bare', profile: profile({ nativeProfile: native }) }] },
  'routing-policy-absent-with-routes': {
    profiles: [{ name: 'Bare', profile: profile({ nativeProfile: native, routes: [route('192.0.2.0/24', 7)] }) }],
  },
  'class-based-default-route': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({ nativeProfile: { ...native, routingPolicyType: split } }),
        facts: { addresses: [prefix('172.20.3.4/32'), prefix('fd00:9::2/128')], dns: [address('172.20.0.53')] },
      },
    ],
  },
  'host-bits-and-metrics': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          ipv4InterfaceMetric: at(3, 6),
          ipv6InterfaceMetric: at(15, 7),
          nativeProfile: { ...native, routingPolicyType: split, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [route('10.1.2.3/16', 20, { metric: 60000 }), route('2001:db8:1::5/48', 30)],
        }),
        facts: { addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/128')] },
      },
    ],
  },
  'local-network-inside-tunnel-route': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          nativeProfile: { ...native, routingPolicyType: split, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [route('192.168.0.0/16', 20)],
          domainNameInformation: [nameRule('.', 40, ['192.168.1.53'])],
        }),
      },
    ],
  },
  'device-and-user-tunnel': {
    profiles: [
      {
        name: 'Device',
        profile: profile({
          deviceTunnel: at(true, 3),
          nativeProfile: { ...native, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [route('10.0.0.10/32', 20), route('10.0.0.0/8', 25)],
          domainNameInformation: [nameRule('.corp.example', 40, ['10.0.0.10'])],
        }),
        facts: { device: 'aov0', addresses: [prefix('10.9.0.2/32')] },
      },
      {
        name: 'User',
        profile: profile({
          nativeProfile: { ...native, routingPolicyType: split, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [route('10.0.0.0/8', 21)],
          domainNameInformation: [nameRule('.corp.example', 41, ['10.0.0.53'])],
        }),
        facts: { device: 'aov1', addresses: [prefix('10.8.0.2/32')] },
      },
    ],
  },
  'force-user-over-split-device': {
    profiles: [
      {
        name: 'Device',
        profile: profile({ deviceTunnel: at(true, 3), nativeProfile: native, routes: [route('10.0.0.0/24', 20)] }),
        facts: { device: 'aov0', addresses: [prefix('10.9.0.2/32')] },
      },
      {
        name: 'User',
        profile: profile({ nativeProfile: { ...native, routingPolicyType: force } }),
        facts: {
          device: 'aov1',
          addresses: [prefix('10.8.0.2/32'), prefix('fd00:8::2/128')],
          gateway: address('2001:db8::7'),
          dns: [address('10.8.0.1')],
        },
      },
    ],
  },
  'selectors-as-routes': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          nativeProfile: {
            ...native,
            routingPolicyType: split,
            plumbIkev2TsAsRoutes: at(true, 15),
            disableClassBasedDefaultRoute: at(true, 14),
          },
        }),
        facts: {
          remoteSelectors: [prefix('10.0.0.0/16'), prefix('10.4.0.0/16')],
          subnets: [prefix('10.6.0.0/24')],
          dns: [address('10.0.0.53'), address('10.77.0.53')],
          dnsDomains: ['corp.example', 'not a name'],
        },
      },
    ],
  },
  'persistent-rules-of-a-tunnel-that-is-down': {
    profiles: [
      {
        name: 'Corp',
        down: true,
        profile: profile({
          nativeProfile: { ...native, routingPolicyType: split },
          domainNameInformation: [
            nameRule('.corp.example', 40, ['10.0.0.53'], { persistent: true }),
            nameRule('.lab.example', 50, ['10.0.0.53']),
          ],
        }),
      },
    ],
    host: { resolver: 'systemd-resolved' },
  },
  'route-of-a-family-without-address': {
    profiles: [
      {
        name: 'Corp',
        profile: profile({
          nativeProfile: { ...native, routingPolicyType: split, disableClassBasedDefaultRoute: at(true, 14) },
          routes: [route('10.0.0.0/8', 20), route('2001:db8:1::/48', 30)],
        }),
      },
    ],
  },
  'no-tunnel': { profiles: [] },
  'force-without-dns-server': {
    profiles: [{ name: 'Corp', profile: profile({ nativeProfile: { ...native, routingPolicyType: force } }) }],
    host: { mark: 0 },
  },
};

suite('plans as text', () => {
  for (const [name, story] of Object.entries(stories)) {
    test(name, () => {
      const resolved = story.profiles.map((one) => ({ ...one, ...resolveProfile(one.name, one.profile) }));
      const plan = compilePlan({
        tunnels: resolved
          .filter(({ down }) => !down)
          .map((one) => ({ intent: one.intent, facts: facts({ profile: one.name, ...one.facts }) })),
        idle: resolved.filter(({ down }) => down).map(({ intent }) => intent),
        host: host(story.host),
      });
      const notes = resolved.flatMap((one) =>
        one.notes.map(({ id, at: place, text }) => `note ${one.name}${place ? ` line ${place.line}` : ''} ${id}: ${text}\n`),
      );
      const text = `${printPlan(plan)}${notes.length > 0 ? '\n' : ''}${notes.join('')}`;
      const file = new URL(`golden/${name}.txt`, import.meta.url);
      if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, text);
      assert.ok(existsSync(file), `no golden ${name}.txt: run with UPDATE_GOLDENS=1 and review it`);
      assert.equal(text, readFileSync(file, 'utf8'));
    });
  }
});
