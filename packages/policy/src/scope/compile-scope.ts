import { prefixContains, samePrefix, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import { compareRoutes, compileRoutes, failClosed } from '../compile-routes.ts';
import { compileDns } from '../dns/compile-dns.ts';
import { byPreference } from '../dns/preference.ts';
import type { HostFacts } from '../facts.ts';
import { appRulePriority, scopeRulePriority, throwMetric, userNamePort } from '../linux-number.ts';
import type { DnsRule, ForcedPath, RoutePlan, RulePlan, TunnelScope, UserNames } from '../plan.ts';
import type { JudgedNetwork } from '../route/judge-local-network.ts';

/** What one user's tunnels come to. */
export interface CompiledScope {
  readonly scope: TunnelScope;
  readonly routes: readonly RoutePlan[];
  readonly names: UserNames;
  readonly local: readonly JudgedNetwork[];
}

/**
 * The tunnels that carry one user's traffic alone: a table that only that user's sockets look into, before the common one; and names that only
 * that user is answered by. Where the user's tunnels say nothing, the common ones decide as for everybody: a more specific route of a common
 * tunnel wins against a wider one of the user's, as if all stood in one table.
 * @param tunnels the user's, most preferred first
 * @param shared everybody's
 */
export function compileScope(
  user: number,
  { mark, mask, table }: Pick<ForcedPath, 'mark' | 'mask' | 'table'>,
  tunnels: readonly LiveTunnel[],
  shared: { readonly tunnels: readonly LiveTunnel[]; readonly names: readonly DnsRule[] },
  host: HostFacts,
): CompiledScope {
  const dns = compileDns(tunnels, [], host);
  const all = [...tunnels, ...shared.tunnels].sort(byPreference);
  const { routes, local } = compileRoutes(all, [...dns.rules, ...shared.names], host);
  const devices = new Set(tunnels.map(({ facts }) => facts.device));
  const profiles = new Set(tunnels.map(({ intent }) => intent.name));
  const isOwn = ({ device, because }: RoutePlan): boolean =>
    device === undefined ? profiles.has(because.profile) : devices.has(device);
  const own = routes.filter((route) => isOwn(route) && route.kind !== 'unreachable');
  const unreachable = [...routes.filter((route) => isOwn(route) && route.kind === 'unreachable'), ...failClosed(tunnels)];
  const isInside = (prefix: IpPrefix): boolean =>
    own.some(
      ({ kind, prefix: wide }) => kind === 'tunnel' && wide.length <= prefix.length && prefixContains(wide, prefix.address),
    );
  const elsewhere = firstOfEach(routes)
    .filter((route) => !isOwn(route) && route.kind !== 'unreachable' && isInside(route.prefix))
    .map(({ prefix, because }): RoutePlan => ({ kind: 'throw', prefix, metric: throwMetric, because }));
  const taken = [...own, ...distinct(unreachable), ...elsewhere].map((route) => ({ ...route, table }));
  const names = [...dns.rules, ...shared.names.filter(({ name }) => !dns.rules.some((rule) => rule.name === name))];
  const index = mark / (mask & -mask);
  const port = userNamePort(index);
  const encrypted = dns.rules.flatMap((rule) => rule.encrypted ?? []).map(({ address, port: own }) => ({ address, port: own }));
  return {
    scope: {
      user,
      mark,
      mask,
      table,
      names: { port, servers: host.physicalDns },
      ...(encrypted.length > 0 && { encrypted }),
    },
    routes: taken.sort(compareRoutes),
    names: { user, port, mark, rules: names, devices: [...devices] },
    local,
  };
}

/** The user's sockets look into the user's table; so do questions for the user's names, and the check whether answers came the right way. */
export function compileScopeRules({ scope }: CompiledScope, family: IpFamily): readonly RulePlan[] {
  const { user, mark, mask, table } = scope;
  const action = { kind: 'lookup', table } as const;
  const because = (why: string): RulePlan['because'] => ({ profile: '', why });
  return [
    { family, priority: appRulePriority, mark, mask, action, because: because(`questions for the names of user ${user}`) },
    {
      family,
      priority: scopeRulePriority,
      users: { from: user, to: user },
      action,
      because: because(`tunnels of user ${user} come before everybody’s`),
    },
  ];
}

/** Of each prefix the route that counts. */
function firstOfEach(routes: readonly RoutePlan[]): readonly RoutePlan[] {
  return routes.filter(
    (route) => !routes.some((other) => other !== route && samePrefix(other.prefix, route.prefix) && other.metric < route.metric),
  );
}

function distinct(routes: readonly RoutePlan[]): readonly RoutePlan[] {
  return routes.filter((route, i) => routes.findIndex(({ prefix }) => samePrefix(prefix, route.prefix)) === i);
}
