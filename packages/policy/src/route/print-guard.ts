import { formatAddress, formatPrefix, prefixContains, type IpAddress, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import { hex, idRanges, ip, quotedString, refusals } from '../filter/ruleset-line.ts';
import type { Plan, TunnelPlan } from '../plan.ts';

/** The tables of nftables that keep the addresses of tunnels to their tunnels; ours as a whole, and apart from the filters. */
export const guardTables = ['inet aovpn_guard', 'arp aovpn_guard'] as const;

/**
 * What Linux would do with the address of a tunnel on every other link, and must not: accept packets for it (CVE-2019-14899: a neighbour
 * finds it by trying, and then guesses at connections), answer ARP for it, ask ARP in its name, send packets from it. And answers to our
 * own outer packets get the mark of their questions, so that a strict reverse path check looks for their way where they came from.
 * And a force tunnel is more than its routes: a socket that was told to use a link (SO_BINDTODEVICE) is not led by them.
 * One transaction that replaces the tables; without tunnels it removes them.
 */
export function printGuard(tunnels: Plan['tunnels']): string {
  const start = guardTables.map((table) => `table ${table}\ndelete table ${table}\n`).join('');
  const addresses = (family: IpFamily): IpAddress[] =>
    tunnels.flatMap((tunnel) => addressesOf(tunnel)).filter((address) => address.family === family);
  if (tunnels.length === 0) return start;
  const each = (family: IpFamily, write: (tunnel: TunnelPlan, set: string) => string[]): string[] =>
    tunnels.flatMap((tunnel) => {
      const own = addressesOf(tunnel).filter((address) => address.family === family);
      return own.length === 0 ? [] : write(tunnel, listed(own));
    });
  const both = (write: (family: IpFamily) => string[]): string[] => ([4, 6] as const).flatMap(write);
  const arriving = both((family) =>
    each(family, ({ device }, set) => [`iifname != ${except(device)} ${ip(family)} daddr ${set} counter drop`]),
  );
  const leaving = both((family) =>
    each(family, ({ device }, set) => refusals(`oifname != ${except(device)} ${ip(family)} saddr ${set}`)),
  );
  const recognised = tunnels.flatMap(({ outer }) => {
    if (!outer) return [];
    const others = `{ ${['lo', ...tunnels.map(({ device }) => device)].map((name) => quotedString(name)).join(', ')} }`;
    const from = `${ip(outer.gateway.family)} saddr ${formatAddress(outer.gateway)}`;
    return [`iifname != ${others} ${from} meta mark set ${hex(outer.mark)}`];
  });
  const past = tunnels.some((tunnel) => tunnel.past) ? pastRules(tunnels) : [];
  const inet =
    chain('recognise', 'prerouting priority raw', recognised) +
    // Once more behind what others do with marks there (wg-quick), and before the checks that look at them (firewalld).
    chain('recognise_again', 'prerouting priority mangle + 5', recognised) +
    chain('arriving', 'prerouting priority raw', arriving) +
    chain('leaving', 'output priority filter', leaving) +
    chain('past', 'output priority filter', past);
  const four = listed(addresses(4));
  const arp =
    addresses(4).length === 0
      ? ''
      : chain('asked', 'input priority filter', [`arp daddr ip ${four} counter drop`]) +
        chain('asking', 'output priority filter', [`arp saddr ip ${four} counter drop`]);
  const table = (name: string, text: string): string => (text === '' ? '' : `\ntable ${name} {\n${text}}\n`);
  return `${start}${table(guardTables[0], inet)}${table(guardTables[1], arp)}`;
}

/**
 * What may leave beside force tunnels: what carries a mark, which only root can give and which others route by on purpose, our own outer
 * packets among it; what the plan leaves outside; and what any link needs. Several force tunnels let out what all of them do.
 */
function pastRules(tunnels: readonly TunnelPlan[]): string[] {
  const holding = tunnels.flatMap(({ past }) => past ?? []);
  const devices = ['lo', ...tunnels.map(({ device }) => device)].map((name) => quotedString(name)).join(', ');
  const direct = (family: IpFamily): string[] => {
    const prefixes = outermost(holding.flatMap((past) => past.direct).filter(({ address }) => address.family === family));
    return prefixes.length === 0 ? [] : [`${ip(family)} daddr { ${prefixes.map(formatPrefix).join(', ')} } accept`];
  };
  const resolvers = (family: IpFamily): string[] =>
    holding.flatMap(({ resolver }) => {
      const servers = resolver?.servers.filter((server) => server.family === family) ?? [];
      if (!resolver || servers.length === 0) return [];
      return [
        `meta skuid { ${idRanges(resolver.users)} } ${ip(family)} daddr ${listed(servers)} meta l4proto { tcp, udp } th dport 53 accept`,
      ];
    });
  return [
    `oifname { ${devices} } accept`,
    'meta mark != 0 accept',
    ...direct(4),
    ...direct(6),
    ...new Set([...resolvers(4), ...resolvers(6)]),
    'udp sport 68 udp dport 67 accept',
    'udp sport 546 udp dport 547 accept',
    'meta l4proto igmp accept',
    'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld-listener-done, mld2-listener-report } accept',
    '# what no router forwards',
    'ip daddr { 224.0.0.0/24, 255.255.255.255 } accept',
    'fib daddr type broadcast accept',
    'ip6 daddr { ff01::/16, ff02::/16 } accept',
    ...refusals(),
  ];
}

/** Without those that another one contains: nft takes no set whose members overlap. */
function outermost(prefixes: readonly IpPrefix[]): readonly IpPrefix[] {
  return prefixes.filter(
    (prefix, i) =>
      !prefixes.some((other, j) => j !== i && prefixContains(other, prefix) && !(j > i && other.length === prefix.length)),
  );
}

/** The same in words, one line each. */
export function describeGuard(tunnel: TunnelPlan): readonly string[] {
  const own = addressesOf(tunnel).map(formatAddress);
  return [
    ...(own.length > 0 ? [`guard ${own.join(' ')} beside ${tunnel.device}: not accepted, not sent, not told by ARP`] : []),
    ...(tunnel.past ? [`guard everything else beside ${tunnel.device}: not sent, also not by who bound a socket to a link`] : []),
    ...(tunnel.outer
      ? [`guard from ${formatAddress(tunnel.outer.gateway)} beside ${tunnel.device}: mark 0x${tunnel.outer.mark.toString(16)}`]
      : []),
  ];
}

function addressesOf({ addresses }: TunnelPlan): IpAddress[] {
  return addresses.map(({ address }) => address);
}

function listed(addresses: readonly IpAddress[]): string {
  return `{ ${[...new Set(addresses.map(formatAddress))].join(', ')} }`;
}

/** What this machine says to itself goes through "lo". */
function except(device: string): string {
  return `{ "lo", ${quotedString(device)} }`;
}

function chain(name: string, hook: string, rules: readonly string[]): string {
  if (rules.length === 0) return '';
  return `  chain ${name} {\n    type filter hook ${hook}\n    policy accept\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;
}
