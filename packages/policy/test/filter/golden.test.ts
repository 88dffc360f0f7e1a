import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import {
  compilePlan,
  printPlan,
  printRuleset,
  readAppCatalogue,
  resolveProfile,
  type IdentityFacts,
  type PlanInput,
  type TunnelFacts,
} from '../../src/index.ts';
import { address, facts, host, prefix } from '../sample.ts';
import { filter, profileWith } from './profile-text.ts';

interface Story {
  readonly profiles: readonly {
    readonly name: string;
    readonly elements: readonly string[];
    readonly native?: string;
    readonly down?: true;
    readonly facts?: Partial<TunnelFacts>;
  }[];
  readonly more?: Partial<PlanInput>;
}

const { catalogue } = readAppCatalogue([
  {
    source: 'golden',
    content: {
      app: [
        { key: 'firefox', windows: ['%ProgramFiles%\\Mozilla Firefox\\firefox.exe'], executables: ['/usr/lib/firefox/firefox'] },
        {
          key: 'remmina',
          windows: ['%SystemRoot%\\System32\\mstsc.exe'],
          executables: ['/usr/bin/remmina'],
          flatpak: ['org.remmina.Remmina'],
        },
        { key: 'outlook', packages: ['Microsoft.OutlookForWindows_8wekyb3d8bbwe'], executables: ['/usr/bin/thunderbird'] },
      ],
    },
  },
]);
const identities: IdentityFacts = new Map([
  ['S-1-5-21-1-2-3-1105', { users: [{ from: 1105, to: 1105 }], groups: [] }],
  ['S-1-5-21-1-2-3-513', { users: [{ from: 1000, to: 1999 }], groups: [{ from: 100, to: 100 }] }],
]);

const firefox = '<App><Id>C:\\Program Files (x86)\\Mozilla Firefox\\firefox.exe</Id></App>';
const route = '<Route><Address>10.0.0.0</Address><PrefixSize>8</PrefixSize></Route>';

const stories: Record<string, Story> = {
  // After the six filters of a widely used sample: an inbound-style rule, a desktop program, a store app, UDP ports, SYSTEM, a list of hosts.
  'every-field': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          route,
          filter(
            '<Protocol>6</Protocol><LocalPortRanges>3389</LocalPortRanges><Direction>Inbound</Direction>',
            '<RemoteAddressRanges>10.0.0.0/24</RemoteAddressRanges>',
          ),
          filter(
            '<App><Id>%windir%\\system32\\mstsc.exe</Id></App>',
            '<Protocol>6</Protocol><RemotePortRanges>3389</RemotePortRanges>',
          ),
          filter('<App><Id>Microsoft.OutlookForWindows_8wekyb3d8bbwe</Id></App>'),
          filter('<Protocol>17</Protocol><RemotePortRanges>52000-52112</RemotePortRanges>'),
          filter('<App><Id>SYSTEM</Id></App><Protocol>6</Protocol><RemotePortRanges>445</RemotePortRanges>'),
          filter('<RemoteAddressRanges>10.33.0.1,10.33.0.4-10.33.0.9,2001:db8:33::/48</RemoteAddressRanges>'),
          filter('<Protocol>1</Protocol>'),
          filter(
            '<Claims>O:SYG:SYD:(D;;CC;;;S-1-5-21-1-2-3-1105)(A;;CC;;;S-1-5-21-1-2-3-513)</Claims>',
            '<Protocol>6</Protocol>',
          ),
          filter('<LocalAddressRanges>10.9.0.2</LocalAddressRanges>', '<RemoteAddressRanges>10.44.0.0/16</RemoteAddressRanges>'),
        ],
      },
    ],
  },
  'per-app-vpn': {
    profiles: [
      {
        name: 'Corp',
        elements: [`<AppTrigger>${firefox}</AppTrigger>`, route, filter(firefox)],
        facts: { addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/128')] },
      },
    ],
  },
  'force-one-app-split-another': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          route,
          filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>'),
          filter('<App><Id>%windir%\\system32\\mstsc.exe</Id></App>', '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>'),
        ],
        facts: {
          dns: [address('10.0.0.53'), address('fd00:9::53')],
          addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/128')],
        },
      },
    ],
    more: { host: host({ resolver: 'systemd-resolved', resolverUsers: [{ from: 992, to: 992 }] }) },
  },
  'forced-app-of-a-tunnel-in-the-kernel': {
    profiles: [
      {
        name: 'Corp',
        elements: [route, filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>')],
        facts: { kernelEsp: true },
      },
    ],
  },
  'forced-app-of-a-tunnel-that-is-down': {
    profiles: [
      { name: 'Corp', down: true, elements: [route, filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>')] },
    ],
  },
  'forced-users-and-a-forced-app-of-some-users': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          route,
          filter('<Claims>D:(A;;CC;;;S-1-5-21-1-2-3-1105)</Claims>', '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>'),
          filter(
            firefox,
            '<Claims>D:(A;;CC;;;S-1-5-21-1-2-3-513)</Claims>',
            '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>',
          ),
        ],
      },
    ],
  },
  'what-is-wrong': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          route,
          '<AppTrigger><App><Id>C:\\Nowhere\\unknown.exe</Id></App></AppTrigger>',
          filter('<App><Id>C:\\Nowhere\\unknown.exe</Id></App>'),
          filter('<App><Id>relative\\path.exe</Id></App>'),
          filter('<Claims>D:(A;;CC;;;S-1-5-21-9-9-9-9)</Claims>'),
          filter('<Claims>nonsense</Claims>'),
          filter('<Claims>D:(D;;CC;;;S-1-5-21-9-9-9-9)(A;;CC;;;WD)</Claims>'),
          filter('<Claims>D:(A;;CC;;;WD)</Claims><Direction>Inbound</Direction>'),
          filter('<App><Id>SYSTEM</Id></App><Claims>D:(A;;CC;;;WD)</Claims>'),
          filter('<LocalAddressRanges>10.9.0.2</LocalAddressRanges><RemoteAddressRanges>2001:db8::/32</RemoteAddressRanges>'),
          filter('<RemoteAddressRanges>2001:db8::/32</RemoteAddressRanges>'),
          filter('<LocalAddressRanges>10.77.0.0/16</LocalAddressRanges>'),
          filter('<Protocol>6</Protocol><RemoteAddressRanges>10.0.0.0/8</RemoteAddressRanges>'),
          filter('<Protocol>6</Protocol><RemoteAddressRanges>10.0.0.0/8</RemoteAddressRanges>'),
          filter(
            '<Protocol>6</Protocol><RemotePortRanges>443</RemotePortRanges><RemoteAddressRanges>10.7.0.0/16</RemoteAddressRanges>',
          ),
          filter(firefox, '<RoutingPolicyType>SplitTunnel</RoutingPolicyType><Protocol>17</Protocol>'),
          filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType><Protocol>6</Protocol>'),
        ],
      },
    ],
  },
  'overlapping-ranges': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          filter(
            '<Protocol>6</Protocol><RemotePortRanges>1-100,50-200,201</RemotePortRanges><RemoteAddressRanges>10.0.0.0/8</RemoteAddressRanges>',
          ),
          filter(
            '<Protocol>6</Protocol><RemotePortRanges>150-300</RemotePortRanges><RemoteAddressRanges>10.0.0.0/9</RemoteAddressRanges>',
          ),
          filter(
            '<Protocol>6</Protocol><RemotePortRanges>443</RemotePortRanges><RemoteAddressRanges>192.0.2.0/25,192.0.2.128/25</RemoteAddressRanges>',
          ),
          filter('<RemoteAddressRanges>198.51.100.1-198.51.100.9,198.51.100.5-198.51.100.20</RemoteAddressRanges>'),
        ],
      },
    ],
  },
  'a-path-that-is-an-executable-of-an-app': {
    profiles: [
      {
        name: 'Corp',
        elements: [
          filter('<App><Id>/usr/lib/firefox/firefox</Id></App>', '<Protocol>17</Protocol>'),
          filter(firefox, '<Protocol>6</Protocol>'),
        ],
      },
    ],
  },
};

suite('filters and apps as text', () => {
  for (const [name, story] of Object.entries(stories)) {
    test(name, () => {
      const resolved = story.profiles.map((one) => ({
        ...one,
        ...resolveProfile(one.name, profileWith(one.elements, one.native)),
      }));
      const plan = compilePlan({
        tunnels: resolved
          .filter(({ down }) => !down)
          .map((one) => ({ intent: one.intent, facts: facts({ profile: one.name, ...one.facts }) })),
        idle: resolved.filter(({ down }) => down).map(({ intent }) => intent),
        host: host(),
        apps: catalogue,
        identities,
        ...story.more,
      });
      const ruleset = printRuleset(plan, {
        appCgroups: new Map(plan.apps.map(({ key }) => [key, [{ path: `aovpn/${key}`, level: 2 }]])),
        systemCgroups: [{ path: 'system.slice', level: 1 }],
        routeLocalnet: true,
      });
      const text = `${printPlan(plan)}\n# ruleset\n${ruleset}`;
      const file = new URL(`../golden/filter/${name}.txt`, import.meta.url);
      if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, text);
      assert.ok(existsSync(file), `no golden ${name}.txt: run with UPDATE_GOLDENS=1 and review it`);
      assert.equal(text, readFileSync(file, 'utf8'));
    });
  }
});
