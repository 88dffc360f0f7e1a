import { formatPrefix, sameAddress, type IpPrefix } from '@aovpn/bytes';
import { describeFilterChange, type FilterChange } from './filter/diff-filters.ts';
import type { LockdownChange } from './lockdown/diff-lockdown.ts';
import { printRoute, printRule } from './print-plan.ts';
import {
  routeKey,
  ruleKey,
  type DnsPlan,
  type DnsRule,
  type Plan,
  type RoutePlan,
  type RulePlan,
  type TunnelPlan,
} from './plan.ts';

/** One step from one plan to another. `replace` takes the place of an item with the same key in one atomic act of the kernel. */
export type PlanChange =
  | { readonly op: 'add' | 'replace' | 'remove'; readonly kind: 'tunnel'; readonly tunnel: TunnelPlan }
  | { readonly op: 'add' | 'remove'; readonly kind: 'address'; readonly device: string; readonly address: IpPrefix }
  | { readonly op: 'add' | 'replace' | 'remove'; readonly kind: 'route'; readonly route: RoutePlan }
  | { readonly op: 'add' | 'replace' | 'remove'; readonly kind: 'rule'; readonly rule: RulePlan }
  | { readonly op: 'replace'; readonly kind: 'dns'; readonly dns: DnsPlan }
  /** Only where somebody else changed what keeps addresses to their tunnels; `what` says what happened. */
  | { readonly op: 'replace'; readonly kind: 'guard'; readonly what: string };

/**
 * The steps from `from` to `to`, in an order in which no moment is worse than both ends: everything is added before anything is
 * removed; what is added goes from the device to the rules that send packets there, and removal goes the other way round. Filters and
 * apps are not among them ({@link diffFilters}): the kernel takes those as a whole.
 */
export function diffPlan(from: Plan, to: Plan): readonly PlanChange[] {
  const added: PlanChange[] = [];
  const removed: PlanChange[] = [];

  const oldTunnels = new Map(from.tunnels.map((tunnel) => [tunnel.device, tunnel]));
  for (const tunnel of to.tunnels) {
    const old = oldTunnels.get(tunnel.device);
    if (!old) added.push({ op: 'add', kind: 'tunnel', tunnel });
    else if (old.mtu !== tunnel.mtu) added.push({ op: 'replace', kind: 'tunnel', tunnel });
    for (const address of missing(tunnel.addresses, old?.addresses ?? []))
      added.push({ op: 'add', kind: 'address', device: tunnel.device, address });
  }

  const oldRoutes = new Map(from.routes.map((route) => [routeKey(route), route]));
  const newRoutes = new Set(to.routes.map(routeKey));
  // Exceptions before what they are exceptions from; removal goes the other way round.
  for (const route of to.routes.toSorted(bySpecificity)) {
    const old = oldRoutes.get(routeKey(route));
    if (!old) added.push({ op: 'add', kind: 'route', route });
    else if (!sameRoute(old, route)) added.push({ op: 'replace', kind: 'route', route });
  }

  const oldRules = new Map(from.rules.map((rule) => [ruleKey(rule), rule]));
  const newRules = new Set(to.rules.map(ruleKey));
  // Landing, jump, table: a jump never exists before its landing, and our outer packets never meet the table without the jump over it.
  for (const rule of to.rules.toSorted((a, b) => -byRemoval(a, b))) {
    const old = oldRules.get(ruleKey(rule));
    if (!old) added.push({ op: 'add', kind: 'rule', rule });
    else if (!sameRule(old, rule)) added.push({ op: 'replace', kind: 'rule', rule });
  }
  if (!sameDns(from.dns, to.dns)) added.push({ op: 'replace', kind: 'dns', dns: to.dns });

  for (const rule of from.rules.toSorted(byRemoval))
    if (!newRules.has(ruleKey(rule))) removed.push({ op: 'remove', kind: 'rule', rule });
  for (const route of from.routes.toSorted((a, b) => -bySpecificity(a, b)))
    if (!newRoutes.has(routeKey(route))) removed.push({ op: 'remove', kind: 'route', route });
  for (const tunnel of from.tunnels) {
    const kept = to.tunnels.find(({ device }) => device === tunnel.device);
    for (const address of missing(tunnel.addresses, kept?.addresses ?? []))
      removed.push({ op: 'remove', kind: 'address', device: tunnel.device, address });
    if (!kept) removed.push({ op: 'remove', kind: 'tunnel', tunnel });
  }
  return [...added, ...removed];
}

/** Changes as text, one a line: `+` added, `~` replaced, `-` removed. */
export function printChanges(changes: readonly (PlanChange | FilterChange | LockdownChange)[]): string {
  return changes.map((change) => `${{ add: '+', replace: '~', remove: '-' }[change.op]} ${describeChange(change)}\n`).join('');
}

/** One change without its sign. */
export function describeChange(change: PlanChange | FilterChange | LockdownChange): string {
  switch (change.kind) {
    case 'lockdown':
      return change.text;
    case 'tunnel':
      return `device ${change.tunnel.device} mtu ${change.tunnel.mtu}`;
    case 'address':
      return `address ${formatPrefix(change.address)} dev ${change.device}`;
    case 'route':
      return printRoute(change.route).replace(' add', '');
    case 'rule':
      return printRule(change.rule).replace(' add', '');
    case 'dns':
      return `names ${change.dns.rules.map(({ name }) => name).join(' ') || 'none'}`;
    case 'guard':
      return `guard (${change.what})`;
    case 'deny':
    case 'filter':
    case 'app':
      return describeFilterChange(change);
  }
}

/** The same to the kernel; reasons do not count. */
export function sameRoute(a: RoutePlan, b: RoutePlan): boolean {
  if (routeKey(a) !== routeKey(b) || a.kind !== b.kind || a.device !== b.device) return false;
  return a.source === undefined || b.source === undefined ? a.source === b.source : sameAddress(a.source, b.source);
}

/** The same to the kernel; reasons do not count. */
export function sameRule(a: RulePlan, b: RulePlan): boolean {
  return printRule(a) === printRule(b);
}

function sameDns(a: DnsPlan, b: DnsPlan): boolean {
  return dnsText(a) === dnsText(b);
}

function dnsText({ resolver, rules, search, physical, physicalSearch, mark, users = [] }: DnsPlan): string {
  const text = (addresses: DnsPlan['physical']): string[] => addresses.map((address) => address.bytes.join('.'));
  const ruleText = ({ name, servers, encrypted, clear, device, otherwise, trigger }: DnsRule): unknown => [
    name,
    text(servers),
    encrypted ?? [],
    text(clear ?? []),
    device ?? '',
    otherwise ?? '',
    trigger?.kind ?? '',
  ];
  const wanted = rules.map(ruleText);
  const own = users.map((names) => [names.user, names.port, names.mark, names.devices, names.rules.map(ruleText)]);
  const domains = search.map(({ domain, device }) => [domain, device ?? '']);
  return JSON.stringify([resolver, wanted, domains, text(physical), physicalSearch, mark, own]);
}

function missing(wanted: readonly IpPrefix[], present: readonly IpPrefix[]): IpPrefix[] {
  return wanted.filter((a) => !present.some((b) => a.length === b.length && sameAddress(a.address, b.address)));
}

/** Longer prefixes first, then lower metrics. */
function bySpecificity(a: RoutePlan, b: RoutePlan): number {
  return b.prefix.length - a.prefix.length || a.metric - b.metric;
}

/** The table, the jump over it, the landing. */
function byRemoval(a: RulePlan, b: RulePlan): number {
  const weight = ({ action }: RulePlan): number => ({ lookup: 0, goto: 1, nop: 2 })[action.kind];
  return weight(a) - weight(b) || a.family - b.family;
}
