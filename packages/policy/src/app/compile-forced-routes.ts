import type { IpFamily, IpPrefix } from '@aovpn/bytes';
import type { HostFacts } from '../facts.ts';
import { appRulePriority, defaultRouteMetric, throwMetric, unreachableMetric, userRulePriority } from '../linux-number.ts';
import { subtractNumberRanges, mergeNumberRanges } from '../filter/number-ranges.ts';
import type { NumberRange } from '@aovpn/profile';
import { everything, hasFamily, hostPrefix, linkLocal, sourceAddress, total } from '../compile-routes.ts';
import type { RoutePlan, RulePlan } from '../plan.ts';
import { distrust, knownInside, localNetworks, ownNetwork } from '../route/local-network.ts';
import type { ForcedWay, ForcedWays } from './forced-way.ts';

/** Tables of the ways: all into the tunnel, and nowhere when it is down. Exclusion routes of the profile do not count here. */
export function compileForcedRoutes({ ways }: ForcedWays, host: HostFacts): RoutePlan[] {
  return ways.flatMap((way) => tableOfWay(way, host));
}

function tableOfWay({ path, tunnel, because, profile }: ForcedWay, host: HostFacts): RoutePlan[] {
  const { table } = path;
  const routes: RoutePlan[] = [];
  const direct = (prefix: IpPrefix, why: string): void => {
    routes.push({ kind: 'throw', prefix, metric: throwMetric, table, because: { ...because, why } });
  };
  for (const prefix of linkLocal) direct(prefix, 'link-local addresses never leave the link');
  for (const subnet of localNetworks(host.ownSubnets ?? [])) direct(subnet, ownNetwork);
  if (tunnel) {
    if (host.mark === 0) direct(hostPrefix(tunnel.facts.gateway), 'the gateway’s outer address stays outside');
    if (tunnel.intent.byPassForLocal.value) {
      const inside = knownInside(tunnel);
      for (const subnet of localNetworks(host.localSubnets ?? []))
        if (distrust(subnet, inside) === undefined) direct(subnet, 'directly attached network, ByPassForLocal');
    }
  }
  for (const family of [4, 6] as const) {
    const prefix = everything[family];
    if (tunnel && hasFamily(tunnel, family)) {
      const source = sourceAddress(tunnel, family);
      const { device } = tunnel.facts;
      const metric = total(tunnel, family, defaultRouteMetric);
      routes.push({ kind: 'tunnel', prefix, metric, table, device, ...(source ? { source } : {}), because });
    }
    const why = tunnel ? 'what the tunnel cannot carry does not leave' : `the tunnel of ${profile} is down: nothing leaves`;
    routes.push({ kind: 'unreachable', prefix, metric: unreachableMetric, table, because: { ...because, why } });
  }
  return routes;
}

/** Rules that send marked sockets and users to the tables of their ways. */
export function compileForcedRules({ ways, ofApp, ofUsers }: ForcedWays, family: IpFamily): RulePlan[] {
  const rules: RulePlan[] = [];
  const withApps = new Set(ofApp.values());
  for (const way of ways) {
    if (!withApps.has(way)) continue;
    const { mark, mask, table } = way.path;
    const selectors: readonly { users?: NumberRange }[] = way.users ? way.users.map((users) => ({ users })) : [{}];
    for (const selector of selectors)
      rules.push({
        family,
        priority: appRulePriority,
        mark,
        mask,
        ...selector,
        action: { kind: 'lookup', table },
        because: way.because,
      });
  }
  // Rules of one priority stand in no order: no user is in two.
  let settled: readonly NumberRange[] = [];
  for (const { way, users, because } of ofUsers) {
    for (const range of subtractNumberRanges(users, settled))
      rules.push({
        family,
        priority: userRulePriority,
        users: range,
        action: { kind: 'lookup', table: way.path.table },
        because,
      });
    settled = mergeNumberRanges([...settled, ...users]);
  }
  return rules;
}
