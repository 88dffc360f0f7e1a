import { formatAddress, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { formatBecause } from '../facts.ts';
import { comment, hex, ip, quotedString, refusals } from '../filter/ruleset-line.ts';
import { daemonUser, highestSystemUser } from '../linux-number.ts';
import type { GatewayEndpoint, LockdownPlan } from './lockdown-plan.ts';
import { ikePort } from './lockdown-rule.ts';
import { espOfKernel } from '../filter/ruleset-line.ts';

/** The table of nftables that holds LockDown, apart from the one of tunnels and apps: it outlives the daemon. */
export const lockdownTable = 'inet aovpn_lockdown';

/**
 * How a ruleset takes the place of the one before, in both cases in one transaction. `refresh` keeps the chains hooked in and changes rules and
 * sets only, so that not one packet is lost on the way. `replace` also puts up with a table that somebody else, or another version of us, has
 * made; packets that pass in the microseconds in which both tables are hooked in are refused.
 */
export type LockdownStep = 'refresh' | 'replace';

/**
 * LockDown as text for `nft -f -`. What leaves is judged without connection tracking: a connection from before the lock is refused as well.
 * @param now milliseconds since 1970, for the time that a portal's hole has left
 */
export function printLockdown(plan: LockdownPlan, step: LockdownStep, now: number): string {
  const sets = setsOf(plan, now);
  const table = (content: string): string => `table ${lockdownTable} {\n${content}}\n`;
  const declared = table(sets.map(({ name, type }) => `  set ${name} {\n    ${type}\n  }\n`).join(''));
  const start =
    step === 'replace'
      ? `table ${lockdownTable}\ndelete table ${lockdownTable}\n${declared}`
      : `${declared}flush table ${lockdownTable}\n${sets.map(({ name }) => `flush set ${lockdownTable} ${name}\n`).join('')}`;
  const filled = sets.filter(({ elements }) => elements.length > 0).map(printSet);
  return `${start}\n${table([...filled, ...chainsOf(plan).map(printChain)].join(''))}`;
}

/** Takes the table away; nothing happens when there is none. */
export function printLockdownRemoval(): string {
  return `table ${lockdownTable}\ndelete table ${lockdownTable}\n`;
}

interface NamedSet {
  readonly name: string;
  /** With its flags, a line each. */
  readonly type: string;
  readonly elements: readonly string[];
}

interface Chain {
  readonly name: string;
  readonly hook?: 'output' | 'input' | 'forward';
  readonly rules: readonly string[];
}

function setsOf({ devices, gateways, resolvers, questions = [], portal }: LockdownPlan, now: number): readonly NamedSet[] {
  const left = portal ? Math.ceil((portal.until - now) / 1000) : 0;
  // A cgroup that is gone cannot be named any more, and needs no hole either.
  const hole = portal && left > 0 ? [`${quotedString(portal.cgroup.path)} timeout ${left}s`] : [];
  return [
    { name: 'tunnel_devices', type: 'type ifname', elements: devices.map(quotedString) },
    ...([4, 6] as const).flatMap((family): NamedSet[] => [
      {
        name: `gateways${family}`,
        type: `type ipv${family}_addr . inet_proto . inet_service`,
        elements: gateways.filter(({ address }) => address.family === family).flatMap(endpointElements),
      },
      { name: `resolvers${family}`, type: `type ipv${family}_addr`, elements: ofFamily(resolvers, family) },
      {
        name: `questions${family}`,
        type: `type ipv${family}_addr . inet_service`,
        elements: questions
          .filter(({ address }) => address.family === family)
          .map(({ address, port }) => `${formatAddress(address)} . ${port}`),
      },
    ]),
    { name: 'portal', type: 'typeof socket cgroupv2 level 1\n    flags timeout', elements: hole },
  ];
}

function endpointElements({ address, port }: GatewayEndpoint): string[] {
  const udp = [...new Set([ikePort, port])].map((number) => `${formatAddress(address)} . udp . ${number}`);
  return [...udp, `${formatAddress(address)} . tcp . ${port}`];
}

function ofFamily(addresses: readonly IpAddress[], family: IpFamily): string[] {
  return addresses.filter((address) => address.family === family).map(formatAddress);
}

function chainsOf({ because, gateways, mark, portal, kernelEsp }: LockdownPlan): readonly Chain[] {
  const reasons = because.map((one) => `# ${comment(formatBecause(one))}`);
  // The daemon's own sockets, recognised by what only root can give a socket, whatever other programs do with the marks of packets.
  const own = mark === 0 ? [] : [`socket mark ${hex(mark)} meta skuid ${daemonUser} jump own_out`];
  const espOut =
    kernelEsp && mark !== 0
      ? [
          '# what asks for the mark by a socket is none of the kernel’s ESP',
          ...refusals(`socket mark ${hex(mark)}`),
          `meta mark ${hex(mark)} ${espOfKernel} jump esp_out`,
        ]
      : [];
  const ownIn = mark === 0 ? [] : [`socket mark ${hex(mark)} jump own_in`];
  const inPortal = (rule: string): string => `socket cgroupv2 level ${portal!.cgroup.level} @portal ${rule}`;
  const open = portal && portal.ports.length > 0 ? `{ ${portal.ports.join(', ')} }` : undefined;
  return [
    {
      name: 'output',
      hook: 'output',
      rules: [
        ...reasons,
        'oifname "lo" accept',
        'oifname @tunnel_devices accept',
        ...own,
        ...espOut,
        ...(portal ? [...(open === undefined ? [] : [inPortal(`tcp dport ${open} accept`)]), inPortal('jump names_out')] : []),
        // Turned to a name server of ours on loopback, it still counts as leaving by the link that it was meant for.
        ...(portal ? [inPortal('fib daddr type local accept')] : []),
        `meta skuid 0-${highestSystemUser} udp sport 68 udp dport 67 accept`,
        `meta skuid 0-${highestSystemUser} ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept`,
        'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept',
        ...refusals(),
      ],
    },
    {
      name: 'input',
      hook: 'input',
      rules: [
        'iifname "lo" accept',
        'iifname @tunnel_devices accept',
        ...ownIn,
        ...espIn(gateways),
        ...(portal ? [...(open === undefined ? [] : [inPortal(`tcp sport ${open} accept`)]), inPortal('jump names_in')] : []),
        'udp sport 67 udp dport 68 accept',
        'ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept',
        'icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept',
        '# what tells the kernel that a packet of ours was too long or went nowhere',
        'ct state related icmp type { destination-unreachable, time-exceeded, parameter-problem } accept',
        'ct state related icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept',
        'counter drop',
      ],
    },
    { name: 'forward', hook: 'forward', rules: ['counter drop'] },
    {
      name: 'own_out',
      rules: [
        ...([4, 6] as const).map((family) => `${ip(family)} daddr . meta l4proto . th dport @gateways${family} accept`),
        ...([4, 6] as const).map((family) => `${ip(family)} daddr . tcp dport @questions${family} accept`),
        'jump names_out',
      ],
    },
    ...(espOut.length === 0
      ? []
      : [
          {
            name: 'esp_out',
            rules: ([4, 6] as const).map((family) => `${ip(family)} daddr . meta l4proto . th dport @gateways${family} accept`),
          },
        ]),
    {
      name: 'own_in',
      rules: [
        ...([4, 6] as const).map((family) => `${ip(family)} saddr . meta l4proto . th sport @gateways${family} accept`),
        ...([4, 6] as const).map((family) => `${ip(family)} saddr . tcp sport @questions${family} accept`),
        'jump names_in',
      ],
    },
    { name: 'names_out', rules: names('d') },
    { name: 'names_in', rules: names('s') },
  ];
}

/** ESP without UDP, which a gateway may send at any time (RFC 7296 §2.23): it has no port, and no socket that the kernel could tell. */
function espIn(gateways: readonly GatewayEndpoint[]): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const from = [...new Set(gateways.flatMap(({ address }) => (address.family === family ? [formatAddress(address)] : [])))];
    return from.length === 0 ? [] : [`${ip(family)} saddr { ${from.join(', ')} } meta l4proto esp accept`];
  });
}

/** Of the machine's own name servers, the far end's side of the packet. */
function names(side: 's' | 'd'): string[] {
  return ([4, 6] as const).map(
    (family) => `${ip(family)} ${side}addr @resolvers${family} meta l4proto { tcp, udp } th ${side}port 53 accept`,
  );
}

function printSet({ name, type, elements }: NamedSet): string {
  return `  set ${name} {\n    ${type}\n    elements = { ${elements.join(', ')} }\n  }\n`;
}

function printChain({ name, hook, rules }: Chain): string {
  const base = hook === undefined ? [] : [`type filter hook ${hook} priority filter`, 'policy drop'];
  return `  chain ${name} {\n${[...base, ...rules].map((line) => `    ${line}\n`).join('')}  }\n`;
}
