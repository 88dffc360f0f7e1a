import { type IpPrefix } from '@aovpn/bytes';
import { openAppBook } from './app/app-book.ts';
import { emptyCatalogue, type AppCatalogue } from './app/app-catalogue.ts';
import { compileApps } from './app/compile-apps.ts';
import { compileForcedRoutes, compileForcedRules } from './app/compile-forced-routes.ts';
import { compileForcedWays } from './app/forced-way.ts';
import { compareRoutes, compileRoutes } from './compile-routes.ts';
import { checkNameServers } from './dns/check-name-servers.ts';
import { compileDns } from './dns/compile-dns.ts';
import { compileRegistrations } from './dns/compile-registrations.ts';
import type { TriggerReadiness } from './dns/name-trigger.ts';
import { byPreference, compareIntents } from './dns/preference.ts';
import type { HostFacts, TunnelFacts } from './facts.ts';
import { compileFilters } from './filter/compile-filters.ts';
import type { IdentityFacts } from './filter/identity.ts';
import { nameServerRules } from './filter/name-server-rule.ts';
import { FilterProblems } from './filter/problem.ts';
import type { Intent } from './intent.ts';
import {
  appMarkMask,
  appMarkOf,
  forcedTable,
  landingRulePriority,
  markRulePriority,
  nowhereIndex,
  routingTable,
  tableRulePriority,
} from './linux-number.ts';
import { compileLockdown } from './lockdown/compile-lockdown.ts';
import type { GatewayEndpoint, PortalHole } from './lockdown/lockdown-plan.ts';
import { compileProxy } from './proxy/compile-proxy.ts';
import { compileNamedRoutes } from './route/named-route.ts';
import { localNetworkProblems } from './route/judge-local-network.ts';
import { groupByUser } from './scope/group-by-user.ts';
import { compileScope, compileScopeRules } from './scope/compile-scope.ts';
import {
  emptyPlan,
  type DnsRule,
  type PastTunnel,
  type Plan,
  type RoutePlan,
  type RulePlan,
  type TunnelPlan,
  type TunnelScope,
} from './plan.ts';

/** A tunnel that is up (or about to be): what its profile wants, and what its gateway gave. */
export interface LiveTunnel {
  readonly intent: Intent;
  readonly facts: TunnelFacts;
}

export interface PlanInput {
  readonly tunnels: readonly LiveTunnel[];
  /** Profiles in force whose tunnel is down: their persistent name rules stay, and those that bring it up. */
  readonly idle?: readonly Intent[];
  /**
   * Those of `idle` whose tunnel is not wanted now (trusted network, disconnected by hand): what they force into it goes where the
   * machine's own routing says. For all others it is held back until the tunnel is up.
   */
  readonly released?: ReadonlySet<string>;
  /** What a question for a name of AutoTrigger can come to, by name of the profile in `idle`; absent: it brings the tunnel up. */
  readonly readiness?: ReadonlyMap<string, TriggerReadiness>;
  /** What applications of profiles are on Linux; absent: nothing is known. */
  readonly apps?: AppCatalogue;
  /** Whom SIDs mean on this machine. */
  readonly identities?: IdentityFacts;
  /** Where the gateway of each profile is being reached, by name of the profile; only those with LockDown need it. */
  readonly endpoints?: ReadonlyMap<string, readonly GatewayEndpoint[]>;
  /** Profiles whose LockDown root has released. */
  readonly unlocked?: ReadonlySet<string>;
  /** Where the daemon itself asks by TCP whether this network wants a sign-in. */
  readonly questions?: readonly GatewayEndpoint[];
  /** Somebody signs in to this network through its portal. */
  readonly portal?: PortalHole;
  readonly host: HostFacts;
}

/** Facts and intents to a plan. Pure and deterministic: the order of the input does not matter. */
export function compilePlan(input: PlanInput): Plan {
  const { tunnels, host } = input;
  const preferred = [...tunnels].sort(byPreference);
  const shared = preferred.filter(({ intent }) => intent.user === undefined);
  const idle = (input.idle ?? []).toSorted(compareIntents);
  const lockdown = compileLockdown(input);
  // Under LockDown the machine's own name servers are for gateway names alone: what programs ask goes into the tunnel or nowhere.
  const nameHost = lockdown ? { ...host, mark: 0 } : host;
  const dns = compileDns(
    shared,
    idle.filter(({ user }) => user === undefined),
    nameHost,
    input.readiness,
  );
  const owned = groupByUser(preferred, ({ intent }) => intent.user);
  const userRules = [...owned.values()].flatMap((mine) => compileDns(mine, [], nameHost).rules);
  const { filters, apps, problems, ways, registrations } = compileTraffic(
    preferred,
    idle,
    [...dns.rules, ...userRules],
    [...owned.keys()],
    input,
  );
  const scopes = [...owned].flatMap(([user, mine]) => {
    const path = ways.scopes.get(user);
    return path ? [compileScope(user, path, mine, { tunnels: shared, names: dns.rules }, nameHost)] : [];
  });
  const scopeOf = (user: number | undefined): TunnelScope | undefined =>
    user === undefined ? undefined : (scopes.find(({ scope }) => scope.user === user)?.scope ?? nowhere(user));
  const { routes: common, local } = compileRoutes(shared, dns.rules, host);
  const routes = [...common, ...compileForcedRoutes(ways, host), ...scopes.flatMap((scope) => scope.routes)].sort(compareRoutes);
  const proxied = compileProxy(shared);
  const inForce = preferred.length > 0 || ways.ways.length > 0;
  const rulesOf = (family: 4 | 6): RulePlan[] =>
    compileRules(family, host, [
      ...compileForcedRules(ways, family),
      ...scopes.flatMap((scope) => compileScopeRules(scope, family)),
    ]);
  return {
    ...emptyPlan,
    tunnels: preferred.map((tunnel) => {
      const { user } = tunnel.intent;
      const own = user === undefined ? common : (scopes.find(({ scope }) => scope.user === user)?.routes ?? []);
      return compileTunnel(tunnel, host, own, scopeOf(user));
    }),
    routes,
    rules: inForce ? ([4, 6] as const).flatMap(rulesOf) : [],
    dns: { ...dns, registrations, ...(scopes.length > 0 && { users: scopes.map(({ names }) => names) }) },
    filters,
    apps,
    ...(proxied.proxy && { proxy: proxied.proxy }),
    problems: [
      ...problems,
      ...proxied.problems,
      ...localNetworkProblems([...local, ...scopes.flatMap((scope) => scope.local)]),
      ...preferred.flatMap((tunnel) => compileNamedRoutes(tunnel).problems),
    ],
    ...(lockdown && { lockdown }),
  };
}

/** Of a user for whom no way is left: nothing leads into the tunnel, and nobody else gets in either. */
function nowhere(user: number): TunnelScope {
  return {
    user,
    mark: appMarkOf(nowhereIndex),
    mask: appMarkMask,
    table: forcedTable(nowhereIndex),
    names: { port: 0, servers: [] },
  };
}

/** Filters, apps and the ways that some of them must go; and whatever else can be wrong in the light of the facts. */
function compileTraffic(
  preferred: readonly LiveTunnel[],
  idle: readonly Intent[],
  nameRules: readonly DnsRule[],
  users: readonly number[],
  input: PlanInput,
) {
  const { released = new Set<string>(), apps = emptyCatalogue, identities = new Map() } = input;
  const intents = [...preferred.map(({ intent }) => intent), ...idle];
  const problems = new Map(intents.map((intent) => [intent.name, new FilterProblems(intent.name, intent.filterProblems)]));
  const problemsOf = (profile: string): FilterProblems => problems.get(profile)!;
  const names = intents.flatMap(({ filters, triggers }) =>
    [...filters, ...triggers].flatMap(({ app }) => (app ? [app.value] : [])),
  );
  const book = openAppBook(names, apps);
  const pending = idle.filter(({ name }) => !released.has(name));
  const ways = compileForcedWays({ tunnels: preferred, pending, book, identities, names: nameRules, users, problemsOf });
  const filters = preferred.flatMap((tunnel) => {
    const { device } = tunnel.facts;
    const keys = [...ways.ofApp].filter(([, { path }]) => path.device === device).map(([key]) => key);
    const servers = ways.ways.find(({ path }) => path.device === device)?.path.dns ?? [];
    const implied = nameServerRules(device, nameRules, input.host, { keys: keys.sort(), servers });
    const compiled = compileFilters(tunnel, book, identities, implied, problemsOf(tunnel.intent.name));
    return compiled ? [compiled] : [];
  });
  const appPlans = compileApps(intents, filters, ways, book, problemsOf);
  checkNameServers(preferred, nameRules, problemsOf);
  const registrations = compileRegistrations(
    preferred.filter(({ intent }) => intent.user === undefined),
    { rules: nameRules },
    problemsOf,
  );
  return { filters, apps: appPlans, ways, registrations, problems: [...problems.values()].flatMap(({ list }) => list) };
}

function compileTunnel(
  { intent, facts }: LiveTunnel,
  host: HostFacts,
  routes: readonly RoutePlan[],
  scope: TunnelScope | undefined,
): TunnelPlan {
  const { mark } = host;
  const alone = (prefix: IpPrefix): IpPrefix => ({ address: prefix.address, length: prefix.address.bytes.length * 8 });
  return {
    device: facts.device,
    profile: intent.name,
    kind: intent.tunnel,
    mtu: facts.mtu,
    addresses: facts.addresses.map(alone),
    ...(scope && { scope }),
    ...(mark !== 0 && { outer: { gateway: facts.gateway, mark, ...(facts.kernelEsp && { kernelEsp: true as const }) } }),
    ...(intent.routing.value === 'ForceTunnel' && { past: pastTunnel(host, routes) }),
    metric: { v4: intent.interfaceMetric.v4.value, v6: intent.interfaceMetric.v6.value },
    because: { ...intent.routing.because, why: `${intent.tunnel} tunnel, ${intent.routing.because.why}` },
  };
}

function pastTunnel({ resolverUsers = [], physicalDns }: HostFacts, routes: readonly RoutePlan[]): PastTunnel {
  const direct = routes.filter(({ kind }) => kind === 'throw').map(({ prefix }) => prefix);
  const asks = resolverUsers.length > 0 && physicalDns.length > 0;
  return { direct, ...(asks && { resolver: { users: resolverUsers, servers: physicalDns } }) };
}

/**
 * One jump and one look-up per family. A jump over our table rather than a look-up in `main`: the machine's own policy routing
 * goes on for our outer packets as if we were not there.
 */
function compileRules(family: 4 | 6, host: HostFacts, forced: readonly RulePlan[]): RulePlan[] {
  const machine = (why: string) => ({ profile: '', why });
  const rules: RulePlan[] = [
    ...forced,
    {
      family,
      priority: tableRulePriority,
      action: { kind: 'lookup', table: routingTable },
      because: machine('tunnel routes come before the machine’s own'),
    },
  ];
  if (host.mark !== 0) {
    rules.unshift({
      family,
      priority: markRulePriority,
      mark: host.mark,
      action: { kind: 'goto', priority: landingRulePriority },
      because: machine('our outer packets never enter a tunnel'),
    });
    rules.push({ family, priority: landingRulePriority, action: { kind: 'nop' }, because: machine('where the jump lands') });
  }
  return rules;
}
