import { parseAddress, parsePrefix, type IpAddress } from '@aovpn/bytes';
import type { Profile, TrafficFilter } from '@aovpn/profile';
import fc from 'fast-check';
import {
  compilePlan,
  readAppCatalogue,
  resolveProfile,
  type AppCatalogue,
  type IdentityFacts,
  type Packet,
  type Plan,
} from '../src/index.ts';

/**
 * A small world in which random filters meet random packets often enough: few addresses, ports, users and apps. Everything in it can be
 * made in a network namespace, so that the kernel can be asked as well.
 */
export const trafficWorld = {
  device: 'aov0',
  local: { 4: ['10.9.0.2', '10.9.0.3'], 6: ['fd00:9::2', 'fd00:9::3'] },
  remote: { 4: ['10.1.0.1', '10.1.0.200', '10.2.7.7'], 6: ['2001:db8::1', '2001:db8:0:1::5'] },
  ports: [53, 443, 8080, 40000],
  /** User ids and group ids of sockets. */
  users: [0, 1001, 1002],
  groups: [0, 1001, 1500],
  apps: [
    { key: 'alpha', id: 'C:\\Program Files\\Alpha\\alpha.exe', executable: '/usr/bin/alpha' },
    { key: 'beta', id: 'Example.Beta_8wekyb3d8bbwe', executable: '/usr/bin/beta' },
  ],
  sids: { 'S-1-5-21-1-1-1-1001': { users: [1001], groups: [] }, 'S-1-5-21-1-1-1-1500': { users: [], groups: [1500] } },
} as const;

const addressRanges = {
  4: [
    '10.1.0.0/16',
    '10.1.0.1',
    '10.1.0.1-10.1.0.250',
    '10.1.0.200-10.2.7.7',
    '10.2.0.0/16',
    '0.0.0.0/0',
    '10.1.0.0/25',
    '10.9.0.2',
  ],
  6: ['2001:db8::/32', '2001:db8::1', '2001:db8:0:1::-2001:db8:0:1::ff', '::/0', 'fd00:9::2'],
} as const;
const portRanges = ['53', '443', '1-1023', '8080-9000', '440-50000', '0-65535'].map((text) => {
  const [from, to] = text.split('-').map(Number);
  return { from: from!, to: to ?? from! };
});
const claims = [
  'D:(A;;CC;;;S-1-5-21-1-1-1-1001)',
  'O:SYG:SYD:(A;;CC;;;S-1-5-21-1-1-1-1500)',
  'D:(D;;CC;;;S-1-5-21-1-1-1-1001)(A;;CC;;;WD)',
  'D:(A;;CC;;;S-1-5-21-1-1-1-1500)(A;;CC;;;SY)',
];
/** Nothing is known for it. */
const unknownApp = 'C:\\Nowhere\\unknown.exe';

export const trafficCatalogue: AppCatalogue = readAppCatalogue([
  {
    source: 'traffic',
    content: {
      app: trafficWorld.apps.map(({ key, id, executable }) => ({
        key,
        executables: [executable],
        ...(id.includes('\\') ? { windows: [id] } : { packages: [id] }),
      })),
    },
  },
]).catalogue;

export const trafficIdentities: IdentityFacts = new Map(
  Object.entries(trafficWorld.sids).map(([sid, { users, groups }]) => [
    sid,
    { users: users.map((id) => ({ from: id, to: id })), groups: groups.map((id) => ({ from: id, to: id })) },
  ]),
);

const located = <T>(
  value: T,
  line: number,
): { readonly value: T; readonly at: { readonly line: number; readonly column: number } } => ({
  value,
  at: { line, column: 5 },
});

const anyRanges: fc.Arbitrary<readonly string[]> = fc.oneof(
  fc.subarray([...addressRanges[4]], { minLength: 1, maxLength: 3 }),
  fc.subarray([...addressRanges[6]], { minLength: 1, maxLength: 2 }),
  fc.subarray([...addressRanges[4], ...addressRanges[6]], { minLength: 1, maxLength: 4 }),
);

/** Few conditions at a time, so that enough packets pass. */
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, freq = 1): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary, weight: freq }, { arbitrary: fc.constant(undefined), weight: 2 });

/** One filter as the profile room would hand it over, ports only where they may be. */
const anyFilter: fc.Arbitrary<TrafficFilter> = fc
  .record({
    app: sometimes(fc.constantFrom<string>(...trafficWorld.apps.map(({ id }) => id), 'SYSTEM', '/usr/bin/alpha', unknownApp)),
    claims: sometimes(fc.constantFrom(...claims)),
    protocol: sometimes(fc.constantFrom(6, 17, 17, 1, 58), 4),
    localPorts: sometimes(fc.subarray(portRanges, { minLength: 1, maxLength: 2 })),
    remotePorts: sometimes(fc.subarray(portRanges, { minLength: 1, maxLength: 3 }), 2),
    local: sometimes(anyRanges),
    remote: sometimes(anyRanges, 2),
    inbound: fc.boolean(),
  })
  .map(({ app, claims: descriptor, protocol, localPorts, remotePorts, local, remote, inbound }): TrafficFilter => {
    const ports = protocol === 6 || protocol === 17;
    const type = app === 'SYSTEM' ? 'System' : app?.includes('_8wekyb3d8bbwe') === true ? 'PackageFamilyName' : 'FilePath';
    return {
      at: { line: 1, column: 3 },
      ...(app === undefined ? {} : { app: located({ id: app, type } as const, 1) }),
      ...(descriptor === undefined ? {} : { claims: located(descriptor, 1) }),
      ...(protocol === undefined ? {} : { protocol: located(protocol, 1) }),
      ...(ports && localPorts ? { localPortRanges: located(localPorts, 1) } : {}),
      ...(ports && remotePorts ? { remotePortRanges: located(remotePorts, 1) } : {}),
      ...(local ? { localAddressRanges: located(local, 1) } : {}),
      ...(remote ? { remoteAddressRanges: located(remote, 1) } : {}),
      ...(inbound ? { direction: located('Inbound' as const, 1) } : {}),
    };
  });

/** A profile with filters, each on a line of its own: filter n on line n × 10. */
export const anyFilteredProfile: fc.Arbitrary<Profile> = fc.array(anyFilter, { minLength: 1, maxLength: 14 }).map((filters) => ({
  appTriggers: [],
  domainNameInformation: [],
  routes: [],
  unknown: [],
  nativeProfile: { at: { line: 1, column: 1 }, routingPolicyType: located('ForceTunnel', 2) },
  trafficFilters: filters.map((filter, i) => ({ ...filter, at: { line: (i + 1) * 10, column: 3 } })),
}));

/** The plan of such a profile with its tunnel up. */
export function planOfTraffic(profile: Profile): Plan {
  const { intent } = resolveProfile('Traffic', profile);
  const prefixes = [...trafficWorld.local[4], ...trafficWorld.local[6]].map((text) => parsePrefix(text)!);
  return compilePlan({
    tunnels: [
      {
        intent,
        facts: {
          profile: 'Traffic',
          device: trafficWorld.device,
          mtu: 1400,
          addresses: prefixes,
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: parseAddress('203.0.113.7')!,
        },
      },
    ],
    host: { resolver: 'stub', physicalDns: [], mark: 0x61_6f_76 },
    apps: trafficCatalogue,
    identities: trafficIdentities,
  });
}

/**
 * The first packet of a connection at the tunnel. `socket` absent: outbound the kernel sends it, inbound nobody listens. The app's path
 * of the profile (`/usr/bin/alpha`) is an app of its own, in the plan under a key that begins with `x-`.
 */
export function anyPacket(plan: Plan): fc.Arbitrary<Packet> {
  const keys = plan.apps.map(({ key }) => key);
  const owner = fc
    .record({
      uid: fc.constantFrom(...trafficWorld.users),
      gid: fc.constantFrom(...trafficWorld.groups),
      app: fc.constantFrom(undefined, ...keys),
    })
    .map(({ uid, gid, app }) => ({ uid, gid, ...(app === undefined ? {} : { app }) }));
  return fc
    .record({
      family: fc.constantFrom(4 as const, 6 as const),
      direction: fc.constantFrom('out' as const, 'in' as const),
      protocol: fc.constantFrom(6, 17, 17, 17, 1, 58),
      local: fc.nat(1),
      remote: fc.nat(2),
      localPort: fc.constantFrom(...trafficWorld.ports),
      remotePort: fc.constantFrom(...trafficWorld.ports),
      socket: fc.option(owner, { freq: 5 }),
    })
    .map(({ family, direction, protocol, local, remote, localPort, remotePort, socket }): Packet => {
      const icmp = protocol === 1 || protocol === 58;
      const pick = (texts: readonly string[], i: number): IpAddress => parseAddress(texts[i % texts.length]!)!;
      return {
        device: trafficWorld.device,
        direction,
        state: 'original',
        protocol: icmp ? (family === 4 ? 1 : 58) : protocol,
        local: pick(trafficWorld.local[family], local),
        remote: pick(trafficWorld.remote[family], remote),
        ...(icmp ? {} : { localPort, remotePort }),
        ...(socket ? { socket } : {}),
      };
    });
}
