import {
  formatAddress,
  formatPrefix,
  networkOf,
  parsePrefix,
  prefixContains,
  samePrefix,
  type IpAddress,
  type IpFamily,
  type IpPrefix,
} from '@aovpn/bytes';
import { classBasedRoute } from './class-based-route.ts';
import type { LiveTunnel } from './compile-plan.ts';
import type { Because, HostFacts } from './facts.ts';
import { defaultRouteMetric, throwMetric, unreachableMetric } from './linux-number.ts';
import { tableOf, type DnsRule, type RoutePlan } from './plan.ts';
import { PrefixTable } from './prefix-table.ts';
import { compileNamedRoutes } from './route/named-route.ts';
import { judgeLocalNetworks, type JudgedNetwork } from './route/judge-local-network.ts';

/**
 * Who wins on one prefix, from left to right; an own exclusion has taken its rival out before. `blocked` is a route of a family that
 * its tunnel does not carry.
 */
type Rank = 'gateway' | 'tunnel' | 'blocked' | 'excluded' | 'local';

export interface Candidate {
  readonly rank: Rank;
  readonly prefix: IpPrefix;
  readonly metric: number;
  readonly because: Because;
  readonly tunnel: LiveTunnel;
}

export const everything: Readonly<Record<IpFamily, IpPrefix>> = { 4: parsePrefix('0.0.0.0/0')!, 6: parsePrefix('::/0')! };
/** Never leaves a link, so no tunnel can carry it (RFC 3927, RFC 4291 §2.5.6). */
export const linkLocal = [parsePrefix('169.254.0.0/16')!, parsePrefix('fe80::/10')!];
/**
 * The routes of our table. Exclusions are `throw` routes: the longest prefix decides within our table, as it does in Windows' single
 * table, and a throw hands the packet to the machine's own routing.
 * @param tunnels most preferred first
 * @param rules name rules in force: their servers must be reached through their tunnel
 */
export function compileRoutes(
  tunnels: readonly LiveTunnel[],
  rules: readonly DnsRule[],
  host: HostFacts,
): { readonly routes: readonly RoutePlan[]; readonly local: readonly JudgedNetwork[] } {
  const wanted = tunnels.flatMap((tunnel) => tunnelCandidates(tunnel, host.mark !== 0));
  const local = judgeLocalNetworks(tunnels, wanted, host);
  const direct = [...wanted, ...localCandidates(local)];
  const candidates = [...direct, ...dnsServerCandidates(tunnels, rules, direct)];

  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const key = formatPrefix(candidate.prefix);
    const group = groups.get(key);
    if (group) group.push(candidate);
    else groups.set(key, [candidate]);
  }
  const routes: RoutePlan[] = [];
  for (const group of groups.values()) for (const route of settle(group, tunnels)) routes.push(route);
  for (const route of failClosed(tunnels))
    if (!routes.some((known) => known.kind === 'unreachable' && samePrefix(known.prefix, route.prefix))) routes.push(route);
  return { routes: routes.sort(compareRoutes), local };
}

/** @param marked our own outer packets are known by their mark, and jump over the table; otherwise by where they go */
function tunnelCandidates(tunnel: LiveTunnel, marked: boolean): Candidate[] {
  const { intent, facts } = tunnel;
  const own: Candidate[] = [];
  const excluded = exclusionsOf(tunnel);
  const isExcluded = (prefix: IpPrefix): boolean => excluded.at(prefix).length > 0;
  const add = (rank: Rank, prefix: IpPrefix, metric: number, because: Because): void => {
    own.push({ rank, prefix: networkOf(prefix), metric, because, tunnel });
  };
  const from = (why: string, at = intent.routing.because.at): Because =>
    at ? { profile: intent.name, at, why } : { profile: intent.name, why };

  if (!marked) add('gateway', hostPrefix(facts.gateway), throwMetric, from('the gateway’s outer address stays outside'));
  for (const { prefix, because } of intent.exclusions) add('excluded', prefix, throwMetric, because);
  if (intent.routing.value === 'ForceTunnel') {
    for (const family of [4, 6] as const) {
      if (hasFamily(tunnel, family))
        add('tunnel', everything[family], total(tunnel, family, defaultRouteMetric), from('force tunnel'));
    }
    for (const prefix of linkLocal) add('local', prefix, throwMetric, from('link-local addresses never leave the link'));
  }
  for (const route of intent.routes) {
    if (isExcluded(route.prefix)) continue;
    const { family } = route.prefix.address;
    if (hasFamily(tunnel, family)) add('tunnel', route.prefix, total(tunnel, family, route.metric), route.because);
    else
      add('blocked', route.prefix, unreachableMetric, {
        ...route.because,
        why: `${route.because.why}, but the tunnel has no IPv${family} address`,
      });
  }
  for (const { address, exclude, because } of compileNamedRoutes(tunnel).routes) {
    const prefix = hostPrefix(address);
    if (exclude) add('excluded', prefix, throwMetric, because);
    else if (hasFamily(tunnel, address.family)) add('tunnel', prefix, total(tunnel, address.family, defaultRouteMetric), because);
    else
      add('blocked', prefix, unreachableMetric, {
        ...because,
        why: `${because.why}, but the tunnel has no IPv${address.family} address`,
      });
  }
  if (intent.classBasedDefaultRoute.value) {
    for (const { address } of facts.addresses) {
      const classBased = classBasedRoute(address);
      if (!classBased || isExcluded(classBased.prefix)) continue;
      const why = `class ${classBased.className} network of ${formatAddress(address)}, ${intent.classBasedDefaultRoute.because.why}`;
      add('tunnel', classBased.prefix, total(tunnel, 4, defaultRouteMetric), from(why, intent.classBasedDefaultRoute.because.at));
    }
  }
  if (intent.selectorsAsRoutes.value) {
    const plumb = (prefixes: readonly IpPrefix[], why: string): void => {
      for (const prefix of prefixes) {
        const { family } = prefix.address;
        if (!hasFamily(tunnel, family) || isExcluded(prefix)) continue;
        add('tunnel', prefix, total(tunnel, family, defaultRouteMetric), from(why, intent.selectorsAsRoutes.because.at));
      }
    };
    plumb(facts.remoteSelectors, 'PlumbIKEv2TSAsRoutes, negotiated traffic selector');
    plumb(facts.subnets, 'PlumbIKEv2TSAsRoutes, subnet pushed by the gateway');
  }
  return own;
}

function exclusionsOf({ intent }: LiveTunnel): PrefixTable<true> {
  const table = new PrefixTable<true>();
  for (const { prefix } of intent.exclusions) table.add(prefix, true);
  return table;
}

/** Directly attached networks that stay direct. Any force tunnel without ByPassForLocal forbids it for all. */
function localCandidates(judged: readonly JudgedNetwork[]): Candidate[] {
  return judged.flatMap(({ tunnel, subnet, verdict }): Candidate[] => {
    if (verdict.kind !== 'direct') return [];
    return [{ rank: 'local', prefix: subnet, metric: throwMetric, because: verdict.because, tunnel }];
  });
}

/** Host routes to DNS servers that would otherwise be asked outside their tunnel. */
function dnsServerCandidates(
  tunnels: readonly LiveTunnel[],
  rules: readonly DnsRule[],
  candidates: readonly Candidate[],
): Candidate[] {
  const found: Candidate[] = [];
  const known = new PrefixTable<Candidate>();
  for (const candidate of candidates) known.add(candidate.prefix, candidate);
  const excluded = new Map(tunnels.map((tunnel) => [tunnel, exclusionsOf(tunnel)]));
  for (const rule of rules) {
    const tunnel = tunnels.find(({ facts }) => facts.device === rule.device);
    if (!tunnel) continue;
    const { facts } = tunnel;
    for (const server of rule.servers) {
      const prefix = hostPrefix(server);
      if (!hasFamily(tunnel, server.family)) continue;
      const carried =
        facts.remoteSelectors.length === 0 || facts.remoteSelectors.some((selector) => prefixContains(selector, server));
      if (!carried || excluded.get(tunnel)!.around(server).length > 0) continue;
      const deciding = known.around(server);
      if (deciding.some((candidate) => candidate.tunnel === tunnel && candidate.rank === 'tunnel')) continue;
      const because: Because = { ...rule.because, why: `DNS server of ${rule.name}, ${rule.because.why}` };
      const metric = total(tunnel, server.family, defaultRouteMetric);
      const candidate: Candidate = { rank: 'tunnel', prefix, metric, because, tunnel };
      found.push(candidate);
      known.add(prefix, candidate);
    }
  }
  return found;
}

/** Who gets one prefix. Tunnel routes of several tunnels stay side by side with distinct metrics: when one goes, the next takes over. */
function settle(group: readonly Candidate[], tunnels: readonly LiveTunnel[]): RoutePlan[] {
  const first = (rank: Rank): Candidate | undefined => group.find((candidate) => candidate.rank === rank);
  const gateway = first('gateway');
  if (gateway) return [asThrow(gateway)];
  const best = new Map<LiveTunnel, Candidate>();
  for (const candidate of group) {
    if (candidate.rank !== 'tunnel') continue;
    const known = best.get(candidate.tunnel);
    if (!known || candidate.metric < known.metric) best.set(candidate.tunnel, candidate);
  }
  if (best.size === 0) {
    const blocked = first('blocked');
    if (blocked) return [{ kind: 'unreachable', prefix: blocked.prefix, metric: blocked.metric, because: blocked.because }];
    return [asThrow((first('excluded') ?? first('local'))!)];
  }
  // Metric first, then the order of preference that `tunnels` has; equal sums are set apart by one.
  const ordered = [...best.values()].sort((a, b) => a.metric - b.metric || tunnels.indexOf(a.tunnel) - tunnels.indexOf(b.tunnel));
  const routes: RoutePlan[] = [];
  let lowest = 0;
  for (const candidate of ordered) {
    const metric = Math.max(candidate.metric, lowest);
    const source = sourceAddress(candidate.tunnel, candidate.prefix.address.family);
    const bumped = metric > candidate.metric ? `, after ${routes.at(-1)!.because.profile} that has the same metric` : '';
    routes.push({
      kind: 'tunnel',
      prefix: candidate.prefix,
      metric,
      device: candidate.tunnel.facts.device,
      ...(source ? { source } : {}),
      because: bumped ? { ...candidate.because, why: candidate.because.why + bumped } : candidate.because,
    });
    lowest = metric + 1;
  }
  return routes;
}

/** Behind the tunnel's default routes: the family without address, and everything once the device is gone. */
export function failClosed(tunnels: readonly LiveTunnel[]): RoutePlan[] {
  const force = tunnels.find(({ intent }) => intent.routing.value === 'ForceTunnel');
  if (!force) return [];
  return ([4, 6] as const).map((family) => {
    const carried = tunnels.some((tunnel) => tunnel.intent.routing.value === 'ForceTunnel' && hasFamily(tunnel, family));
    const why = carried
      ? 'force tunnel: without its device nothing leaves'
      : `force tunnel without an IPv${family} address: nothing leaves by IPv${family}`;
    return {
      kind: 'unreachable',
      prefix: everything[family],
      metric: unreachableMetric,
      because: { ...force.intent.routing.because, why },
    };
  });
}

function asThrow({ prefix, because }: Candidate): RoutePlan {
  return { kind: 'throw', prefix, metric: throwMetric, because };
}

export function total({ intent }: LiveTunnel, family: IpFamily, routeMetric: number): number {
  return (family === 4 ? intent.interfaceMetric.v4.value : intent.interfaceMetric.v6.value) + routeMetric;
}

export function hasFamily({ facts }: LiveTunnel, family: IpFamily): boolean {
  return facts.addresses.some(({ address }) => address.family === family);
}

export function sourceAddress({ facts }: LiveTunnel, family: IpFamily): IpAddress | undefined {
  return facts.addresses.find(({ address }) => address.family === family)?.address;
}

export function hostPrefix(address: IpAddress): IpPrefix {
  return { address, length: address.bytes.length * 8 };
}

export function compareRoutes(a: RoutePlan, b: RoutePlan): number {
  if (tableOf(a) !== tableOf(b)) return tableOf(a) - tableOf(b);
  const left = a.prefix.address;
  const right = b.prefix.address;
  if (left.family !== right.family) return left.family - right.family;
  for (let i = 0; i < left.bytes.length; i++) if (left.bytes[i] !== right.bytes[i]) return left.bytes[i]! - right.bytes[i]!;
  return a.prefix.length - b.prefix.length || a.metric - b.metric;
}
