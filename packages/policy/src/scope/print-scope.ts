import { formatAddress, type IpFamily } from '@aovpn/bytes';
import { hex, ip, quotedString, refusals } from '../filter/ruleset-line.ts';
import { highestId } from '../filter/identity.ts';
import { pacPlace, scopedMark } from '../linux-number.ts';
import type { TunnelPlan, TunnelScope } from '../plan.ts';

/** One base chain and those that it leads to, as lines without their braces. */
export interface ScopeChain {
  readonly name: string;
  /** Absent: led to by another one. */
  readonly hook?: string;
  readonly type?: 'nat';
  readonly rules: readonly string[];
}

const queries = 'meta l4proto { tcp, udp } th dport 53';
/** What a user may do with the tunnel, its answers may too, and what the kernel says for a socket that has just been closed. */
const admitted = `ct mark & ${hex(scopedMark)} != 0 ct state established,related`;
const admit = `ct mark set ct mark | ${hex(scopedMark)} accept`;

/**
 * Keeps tunnels to their users: whoever else sends into one is refused, also with a socket bound to the device; nothing comes in but answers to
 * the user, as nobody knows whose socket anything else would reach; nothing is forwarded. And the user's queries are led to where the user's
 * names are known, by the kernel's word on whose socket it is.
 */
export function scopeChains(tunnels: readonly TunnelPlan[]): readonly ScopeChain[] {
  const scoped = tunnels.flatMap(({ device, scope }) => (scope ? [{ device: quotedString(device), scope }] : []));
  if (scoped.length === 0) return [];
  const all = `{ ${scoped.map(({ device }) => device).join(', ')} }`;
  const users = [...new Map(scoped.map(({ scope }) => [scope.user, scope])).values()];
  const named = users.filter(({ names }) => names.port > 0);
  return [
    // Behind what others do with marks, before the checks that look at them: answers are looked for where the user's packets go.
    {
      name: 'mark_scoped',
      hook: 'prerouting priority mangle + 6',
      rules: scoped.map(
        ({ device, scope: { mark, mask } }) => `iifname ${device} meta mark set meta mark & ${hex(~mask >>> 0)} | ${hex(mark)}`,
      ),
    },
    ...scoped.map(({ scope }, i) => ({ name: `to_scope_${i}`, rules: into(scope) })),
    {
      name: 'to_scoped',
      hook: 'output priority filter',
      rules: [...scoped.map(({ device }, i) => `oifname ${device} goto to_scope_${i}`), ...named.flatMap(onlyTheUserAsks)],
    },
    {
      name: 'from_scoped',
      hook: 'input priority filter',
      rules: [`iifname ${all} ${admitted} accept`, `iifname ${all} counter drop`],
    },
    {
      name: 'through_scoped',
      hook: 'forward priority filter',
      rules: [`oifname ${all} counter reject with icmpx admin-prohibited`, `iifname ${all} counter drop`],
    },
    // After that of forced apps, whose queries go to the servers of their tunnel.
    { name: 'lead_scoped', hook: 'output priority -99', type: 'nat', rules: named.flatMap(leadNames) },
  ];
}

function into({ user, mark, mask, encrypted = [] }: TunnelScope): string[] {
  const ours = `meta skuid 0 meta mark & ${hex(mask)} == ${hex(mark)}`;
  return [
    `meta skuid ${user} ${admit}`,
    `meta skuid ${user} accept`,
    // Our stub resolver, for the user.
    `${ours} ${queries} ${admit}`,
    ...new Set(
      encrypted.map(
        ({ address, port }) => `${ours} ${ip(address.family)} daddr ${formatAddress(address)} tcp dport ${port} ${admit}`,
      ),
    ),
    ...refusals(`meta skuid 0-${highestId}`),
    `${admitted} accept`,
    ...refusals(),
  ];
}

function onlyTheUserAsks({ user, names }: TunnelScope): string[] {
  return [`ip daddr ${pacPlace.address}`, 'ip6 daddr ::1'].map(
    (to) =>
      `oifname "lo" ${to} meta l4proto { tcp, udp } th dport ${names.port} meta skuid != { 0, ${user} } counter reject with icmpx admin-prohibited`,
  );
}

function leadNames({ user, names }: TunnelScope): string[] {
  const others = (family: IpFamily): string[] =>
    names.servers.filter((server) => server.family === family && !isLoopback(server.bytes)).map(formatAddress);
  const lead = (family: IpFamily, servers: readonly string[], to: string): string =>
    `meta skuid ${user} ${queries} ${ip(family)} daddr { ${[...new Set(servers)].join(', ')} } dnat ${ip(family)} to ${to}`;
  return [
    lead(4, ['127.0.0.0/8', ...others(4)], `${pacPlace.address}:${names.port}`),
    lead(6, ['::1', ...others(6)], `[::1]:${names.port}`),
  ];
}

function isLoopback(bytes: Uint8Array): boolean {
  return bytes.length === 4 ? bytes[0] === 127 : bytes.every((octet, i) => octet === (i === 15 ? 1 : 0));
}

/** The same in words. */
export function describeScope({ device, scope }: TunnelPlan): readonly string[] {
  return scope ? [`guard ${device} for user ${scope.user} alone: others are refused, and nothing comes in but answers`] : [];
}
