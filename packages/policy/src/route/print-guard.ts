import { formatAddress, formatPrefix, prefixContains, type IpAddress, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import { hex, idRanges, ip, quotedString, refusals } from '../filter/ruleset-line.ts';
import { devicePrefix } from '../linux-number.ts';
import type { Plan, TunnelPlan } from '../plan.ts';
import { groupByUser } from '../scope/group-by-user.ts';
import { describeScope, scopeChains, type ScopeChain } from '../scope/print-scope.ts';

/** The tables of nftables that keep the addresses of tunnels to their tunnels; ours as a whole, and apart from the filters. */
export const guardTables = ['inet aovpn_guard', 'arp aovpn_guard'] as const;

/** What changes with each tunnel: sets in the tables, so that a split tunnel comes and goes without a rule being touched. */
export interface GuardSets {
  /** Addresses of tunnels. */
  readonly own4: readonly IpAddress[];
  readonly own6: readonly IpAddress[];
  /** Gateways, to which our own outer packets go. */
  readonly via4: readonly IpAddress[];
  readonly via6: readonly IpAddress[];
}

/** In which table each set stands. */
export const guardSetPlaces = [
  ['inet aovpn_guard', 'own4'],
  ['inet aovpn_guard', 'own6'],
  ['inet aovpn_guard', 'via4'],
  ['inet aovpn_guard', 'via6'],
  ['arp aovpn_guard', 'own4'],
] as const satisfies readonly (readonly [string, keyof GuardSets])[];

export function guardSetsOf(tunnels: Plan['tunnels']): GuardSets {
  const distinct = (family: IpFamily, all: readonly IpAddress[]): IpAddress[] => [
    ...new Map(all.filter((one) => one.family === family).map((one) => [formatAddress(one), one])).values(),
  ];
  const own = tunnels.flatMap(addressesOf);
  const via = tunnels.flatMap(({ outer }) => (outer ? [outer.gateway] : []));
  return { own4: distinct(4, own), own6: distinct(6, own), via4: distinct(4, via), via6: distinct(6, via) };
}

const nothing: GuardSets = { own4: [], own6: [], via4: [], via6: [] };
const removal = guardTables.map((table) => `table ${table}\ndelete table ${table}\n`).join('');

/**
 * What Linux would do with the address of a tunnel on every other link, and must not: accept packets for it (CVE-2019-14899: a neighbour
 * finds it by trying, and then guesses at connections), answer ARP for it, ask ARP in its name, send packets from it. And answers to our
 * own outer packets get the mark of their questions, so that a strict reverse path check looks for their way where they came from.
 * And a force tunnel is more than its routes: a socket that was told to use a link (SO_BINDTODEVICE) is not led by them.
 * One transaction that replaces the tables; without tunnels it removes them.
 */
export function printGuard(tunnels: Plan['tunnels']): string {
  return tunnels.length === 0 ? removal : printTables(guardSetsOf(tunnels), markOf(tunnels), chainsOf(tunnels));
}

/** The same for a split tunnel that is about to come up: all but the members of the sets. @param mark of our own outer packets */
export function printWaitingGuard(mark: number): string {
  return printTables(nothing, mark, []);
}

/** Equal for tunnels between whose guards only the sets differ; `waiting` is like a split tunnel with that mark. */
export function guardShape(guarded: Plan['tunnels'] | { readonly waiting: number }): string {
  return JSON.stringify('waiting' in guarded ? [guarded.waiting, []] : [markOf(guarded), chainsOf(guarded)]);
}

function markOf(tunnels: Plan['tunnels']): number {
  return tunnels.find(({ outer }) => outer)?.outer?.mark ?? 0;
}

/** What depends on more than addresses, in the order in which nft must read it. */
function chainsOf(tunnels: Plan['tunnels']): readonly ScopeChain[] {
  const holding = tunnels.filter(({ past }) => past);
  const common = holding.filter(({ scope }) => !scope);
  const users = groupByUser(holding, ({ scope }) => scope?.user);
  return [
    ...(common.length > 0 ? [{ name: 'past', hook: 'output priority filter', rules: pastRules(common, tunnels) }] : []),
    ...[...users].map(([user, own]) => ({ name: `past_${user}`, rules: pastRules(own, tunnels) })),
    ...(users.size > 0
      ? [
          {
            name: 'past_users',
            hook: 'output priority filter',
            rules: [...users.keys()].map((user) => `meta skuid ${user} jump past_${user}`),
          },
        ]
      : []),
    ...scopeChains(tunnels),
  ];
}

function printTables(sets: GuardSets, mark: number, chains: readonly ScopeChain[]): string {
  // What this machine says to itself goes through "lo"; between two tunnels the SAs see to it whose packets they are.
  const others = (direction: 'iifname' | 'oifname'): string[] => [
    `${direction} "lo" return`,
    `${direction} "${devicePrefix}*" return`,
  ];
  const set = (name: keyof GuardSets): string => {
    const elements = sets[name].length === 0 ? '' : `    elements = { ${sets[name].map(formatAddress).join(', ')} }\n`;
    return `  set ${name} {\n    type ${name.endsWith('4') ? 'ipv4_addr' : 'ipv6_addr'}\n${elements}  }\n`;
  };
  const recognise =
    mark === 0
      ? []
      : [...others('iifname'), ...['ip saddr @via4', 'ip6 saddr @via6'].map((from) => `${from} meta mark set ${hex(mark)}`)];
  const inet =
    (['own4', 'own6', 'via4', 'via6'] as const).map(set).join('') +
    chain('recognise', 'prerouting priority raw', recognise) +
    // Once more behind what others do with marks there (wg-quick), and before the checks that look at them (firewalld).
    chain('recognise_again', 'prerouting priority mangle + 5', recognise) +
    chain('arriving', 'prerouting priority raw', [
      ...others('iifname'),
      'ip daddr @own4 counter drop',
      'ip6 daddr @own6 counter drop',
    ]) +
    chain('leaving', 'output priority filter', [
      ...others('oifname'),
      ...refusals('ip saddr @own4'),
      ...refusals('ip6 saddr @own6'),
    ]) +
    chains.map(({ name, hook, type, rules }) => chain(name, hook, rules, type)).join('');
  const arp =
    set('own4') +
    chain('asked', 'input priority filter', ['arp daddr ip @own4 counter drop']) +
    chain('asking', 'output priority filter', ['arp saddr ip @own4 counter drop']);
  return `${removal}\ntable ${guardTables[0]} {\n${inet}}\n\ntable ${guardTables[1]} {\n${arp}}\n`;
}

/**
 * What may leave beside force tunnels: what carries a mark, which only root can give and which others route by on purpose, our own outer
 * packets among it; what the plan leaves outside; and what any link needs. Several force tunnels let out what all of them do.
 */
function pastRules(forced: readonly TunnelPlan[], tunnels: readonly TunnelPlan[]): string[] {
  const holding = forced.flatMap(({ past }) => past ?? []);
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
    ...describeScope(tunnel),
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

function chain(name: string, hook: string | undefined, rules: readonly string[], type = 'filter'): string {
  if (rules.length === 0) return '';
  const base = hook === undefined ? '' : `    type ${type} hook ${hook}\n    policy accept\n`;
  return `  chain ${name} {\n${base}${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;
}
