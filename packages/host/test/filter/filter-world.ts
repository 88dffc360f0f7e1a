import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { compilePlan, printPlan, resolveProfile, type Plan } from '@aovpn/policy';
import type { AppTrigger, Profile, RoutingPolicyType, TrafficFilter } from '@aovpn/profile';
import type { FilteredPlan, RoutesStep } from '../../src/filter/apply-filters.ts';
import { run, sh } from '../network/namespace.ts';

/**
 * This network namespace with two wires to another one: `phys0`, by which the default routes go, and `aov0`, which stands for a tunnel
 * (a wire, so that what is sent arrives). The other end answers on every address below and says from which address it was asked; it
 * counts what comes by which wire.
 */
export const world = {
  phys: { 4: '192.0.2.2', 6: '2001:db8:1::2' },
  tunnel: { 4: '10.9.0.2', 6: 'fd00:9::2' },
  /** Reached by the machine's own routes. */
  outside: { 4: '203.0.113.9', 6: '2001:db8:9::9' },
  /** Reached through the tunnel by whoever may. */
  inside: { 4: '198.51.100.7', 6: '2001:db8:7::7' },
  /** Asked for UDP and TCP echoes. */
  port: 7777,
} as const;

/** An address of each family. */
export interface Site {
  readonly 4: string;
  readonly 6: string;
}

const peer = 'peer';
let server: ChildProcess | undefined;

export async function buildWorld(): Promise<void> {
  // Names of namespaces vanish with this mount namespace.
  sh('mkdir -p /run/netns');
  sh('mount -t tmpfs tmpfs /run/netns');
  sh(`ip netns add ${peer}`);
  sh(`ip link add phys0 address 02:00:00:00:00:01 type veth peer name p0 netns ${peer} address 02:00:00:00:00:02`);
  // One hardware address at both ends and no neighbour discovery: every address is at the other end, as with a tunnel.
  sh(`ip link add aov0 address 02:00:00:00:00:03 type veth peer name t0 netns ${peer} address 02:00:00:00:00:03`);
  for (const line of [
    'ip link set aov0 arp off',
    `ip address add ${world.phys[4]}/24 dev phys0`,
    `ip address add ${world.phys[6]}/64 dev phys0 nodad`,
    `ip address add ${world.tunnel[4]}/32 dev aov0`,
    `ip address add ${world.tunnel[6]}/128 dev aov0 nodad`,
    'ip link set phys0 up',
    'ip link set aov0 up',
    // Nobody waits for the neighbour: what is sent has arrived.
    'ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:02 dev phys0',
    'ip -6 neighbour add 2001:db8:1::1 lladdr 02:00:00:00:00:02 dev phys0',
    'ip route add default via 192.0.2.1 dev phys0',
    'ip -6 route add default via 2001:db8:1::1 dev phys0',
  ])
    sh(line);
  for (const line of [
    'link set lo up',
    'link set t0 arp off',
    'address add 192.0.2.1/24 dev p0',
    'address add 2001:db8:1::1/64 dev p0 nodad',
    'link set p0 up',
    'link set t0 up',
    `neighbour add ${world.phys[4]} lladdr 02:00:00:00:00:01 dev p0`,
    `-6 neighbour add ${world.phys[6]} lladdr 02:00:00:00:00:01 dev p0`,
    ...[world.outside, world.inside].flatMap((site) => [
      `address add ${site[4]}/32 dev lo`,
      `address add ${site[6]}/128 dev lo nodad`,
    ]),
    `route add ${world.tunnel[4]} dev t0`,
    `-6 route add ${world.tunnel[6]} dev t0`,
  ])
    sh(`ip -n ${peer} ${line}`);
  inPeer(
    ['nft', '-f', '-'],
    `table inet count {
      ${['p0', 't0'].flatMap((wire) => ['4', '6'].map((family) => `counter ${wire}_${family} { }`)).join('\n')}
      chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        ${['p0', 't0'].flatMap((wire) => [`iifname ${wire} udp dport ${world.port} meta nfproto ipv4 counter name ${wire}_4`, `iifname ${wire} udp dport ${world.port} meta nfproto ipv6 counter name ${wire}_6`]).join('\n')}
      }
    }\n`,
  );
  const program = fileURLToPath(new URL('./echo-server.ts', import.meta.url));
  const addresses = [world.inside[4], world.inside[6], world.outside[4], world.outside[6]];
  server = spawn('ip', ['netns', 'exec', peer, process.execPath, program, String(world.port), ...addresses], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(server.stdout!, 'data'),
    once(server, 'exit').then(() => Promise.reject(new Error('the echo server ended'))),
  ]);
}

export function removeWorld(): void {
  server?.kill('SIGKILL');
}

function inPeer(command: readonly string[], input = ''): string {
  return execFileSync('ip', ['netns', 'exec', peer, ...command], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

/** UDP packets to the echo port that arrived by each wire, since the last time this was asked. */
export function arrivals(): { readonly phys: { 4: number; 6: number }; readonly tunnel: { 4: number; 6: number } } {
  const listed = JSON.parse(inPeer(['nft', '-j', 'reset', 'counters', 'table', 'inet', 'count'])) as {
    nftables: { counter?: { name: string; packets: number } }[];
  };
  const of = (name: string): number => listed.nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
  return { phys: { 4: of('p0_4'), 6: of('p0_6') }, tunnel: { 4: of('t0_4'), 6: of('t0_6') } };
}

/** Packets by each wire. */
export type Arrivals = ReturnType<typeof arrivals>;

/**
 * Fails unless exactly so many packets arrive by the wires that are named. The kernel may be at them still when their sender has ended: those that must come are waited for, and with
 * the last of them whatever came before it is counted.
 */
export async function expectArrivals(expected: Partial<Arrivals>, what?: string): Promise<void> {
  const wires = (['phys', 'tunnel'] as const).filter((wire) => expected[wire]);
  const seen = { phys: { 4: 0, 6: 0 }, tunnel: { 4: 0, 6: 0 } };
  for (const end = performance.now() + 60_000; ;) {
    const more = arrivals();
    for (const wire of wires) for (const family of [4, 6] as const) seen[wire][family] += more[wire][family];
    const isMissing = wires.some((wire) => ([4, 6] as const).some((family) => seen[wire][family] < expected[wire]![family]));
    if (!isMissing || performance.now() > end) break;
    await sleep(5);
  }
  assert.deepEqual(Object.fromEntries(wires.map((wire) => [wire, seen[wire]])), expected, what);
}

/** So long nobody answers where no answer is expected, seconds. */
export const silence = 2;

const at = <T>(value: T, line = 1): { readonly value: T; readonly at: { readonly line: number; readonly column: number } } => ({
  value,
  at: { line, column: 1 },
});

/** A filter for a program by its path. */
export function appFilter(
  path: string,
  more: { readonly routing?: RoutingPolicyType; readonly port?: number } = {},
): TrafficFilter {
  return {
    at: { line: 20, column: 1 },
    app: at({ id: path, type: 'FilePath' as const }, 21),
    ...(more.routing ? { routingPolicyType: at(more.routing, 22) } : {}),
    ...(more.port === undefined ? {} : { protocol: at(17, 23), remotePortRanges: at([{ from: more.port, to: more.port }], 24) }),
  };
}

export function trigger(path: string): AppTrigger {
  return { at: { line: 30, column: 1 }, app: at({ id: path, type: 'FilePath' as const }, 31) };
}

/** The plan of a profile whose tunnel is `aov0`: the inside by the tunnel, everything else by the machine's own routes. */
export function planOf(trafficFilters: readonly TrafficFilter[], appTriggers: readonly AppTrigger[] = []): Plan {
  const route = (address: string, prefixSize: number): Profile['routes'][number] => ({
    at: { line: 9, column: 1 },
    address: at(address),
    prefixSize: at(prefixSize),
  });
  const profile: Profile = {
    appTriggers,
    domainNameInformation: [],
    trafficFilters,
    routes: [route('198.51.100.0', 24), route('2001:db8:7::', 64)],
    unknown: [],
    nativeProfile: {
      at: { line: 5, column: 1 },
      routingPolicyType: at('SplitTunnel' as const),
      disableClassBasedDefaultRoute: at(true),
    },
  };
  return compilePlan({
    tunnels: [
      {
        intent: resolveProfile('Corp', profile).intent,
        facts: {
          profile: 'Corp',
          device: 'aov0',
          mtu: 1400,
          addresses: [parsePrefix(`${world.tunnel[4]}/32`)!, parsePrefix(`${world.tunnel[6]}/128`)!],
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: parseAddress('192.0.2.77')!,
        },
      },
    ],
    host: { resolver: 'stub', physicalDns: [], mark: 0x616f },
  });
}

/** Routes and rules of a plan by the commands that it prints; `aov0` is a wire here, which the network part would not take for a tunnel. */
export function routesOf(plan: FilteredPlan): RoutesStep {
  return {
    apply: () => {
      clearRoutes();
      for (const line of printPlan({ ...(plan as Plan), tunnels: [] }).split('\n'))
        if (/^ip -[46] (route|rule) add/.test(line)) sh(line.replace(/\s+#.*/, ''));
      return Promise.resolve();
    },
    undo: () => {
      clearRoutes();
      return Promise.resolve();
    },
  };
}

export function clearRoutes(): void {
  for (const family of ['-4', '-6']) {
    for (const kind of ['rule', 'route']) {
      const table = kind === 'route' ? ['table', 'all'] : [];
      run('ip', family, kind, 'flush', ...table, kind === 'route' ? 'proto' : 'protocol', '96');
    }
  }
}

/** Perl that sends one UDP packet to each of the sites as its very first act, without a module being loaded. */
export function sendFirst(site: Site): string {
  const hex = (text: string): string => Buffer.from(parseAddress(text)!.bytes).toString('hex');
  return [
    `socket(A,2,2,17);send(A,"x",0,pack("SnH8x8",2,${world.port},"${hex(site[4])}"));`,
    `socket(B,10,2,17);send(B,"x",0,pack("SnNH32N",10,${world.port},0,"${hex(site[6])}",0));`,
  ].join('');
}

export const everyRpFilter = [0, 1, 2] as const;

export function setRpFilter(value: number): void {
  for (const name of ['all', 'default', 'phys0', 'aov0']) run('sysctl', '-qw', `net.ipv4.conf.${name}.rp_filter=${value}`);
}

export type Exchange = 'tcp' | 'udp connected' | 'udp unconnected';
export const everyExchange: readonly Exchange[] = ['tcp', 'udp connected', 'udp unconnected'];

/** Perl that asks a site from which address it was asked, and prints that; nothing when there is no answer in time. */
function askSite(site: Site, family: 4 | 6, exchange: Exchange, seconds: number): string {
  const hex = Buffer.from(parseAddress(site[family])!.bytes).toString('hex');
  const name = family === 4 ? `pack("SnH8x8",2,${world.port},"${hex}")` : `pack("SnNH32N",10,${world.port},0,"${hex}",0)`;
  const socket = `socket(S,${family === 4 ? 2 : 10},${exchange === 'tcp' ? '1,6' : '2,17'});$SIG{ALRM}=sub{exit 1};alarm ${seconds};`;
  switch (exchange) {
    case 'tcp':
      return `${socket}connect(S,${name}) or exit 2;sysread(S,$x,99);print $x`;
    case 'udp connected':
      return `${socket}connect(S,${name}) or exit 2;send(S,"who",0) or exit 3;recv(S,$x,99,0);print $x`;
    case 'udp unconnected':
      return `${socket}send(S,"who",0,${name}) or exit 3;recv(S,$x,99,0);print $x`;
  }
}

/** What a program is told when it asks; empty when it gets no answer. @param seconds {@link silence} where none is expected */
export function tell(program: string, site: Site, family: 4 | 6, exchange: Exchange, seconds = 60): Promise<string> {
  return output(program, ['-e', askSite(site, family, exchange, seconds)]);
}

/** The same from within a cgroup, by a program that nobody watches. */
export function tellFrom(cgroup: string, site: Site, family: 4 | 6, exchange: Exchange, seconds = 60): Promise<string> {
  const join = 'open F,">",shift;print F $$;close F;exec $^X,"-e",shift';
  return output('/usr/bin/perl', ['-e', join, `${cgroup}/cgroup.procs`, askSite(site, family, exchange, seconds)]);
}

function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.once('close', () => resolve(said));
  });
}
