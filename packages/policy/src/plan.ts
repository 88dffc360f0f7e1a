import { formatPrefix, type IpAddress, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import type { Because, HostFacts } from './facts.ts';

/**
 * All that the machine shall look like for its tunnels; applying it is idempotent, and every item says why it exists.
 * `filters`, `apps`, `lockdown` and `triggers` are places for work that follows; they are typed empty so that nobody can believe
 * that something in them is enforced.
 */
export interface Plan {
  readonly tunnels: readonly TunnelPlan[];
  /** All in our own table. */
  readonly routes: readonly RoutePlan[];
  /** By priority, IPv4 before IPv6. */
  readonly rules: readonly RulePlan[];
  readonly dns: DnsPlan;
  /** Traffic filters (TrafficFilter). */
  readonly filters: readonly never[];
  /** Per-application routing (TrafficFilter with App, RoutingPolicyType). */
  readonly apps: readonly never[];
  /** What may leave while a LockDown profile has no tunnel. */
  readonly lockdown: readonly never[];
  /** AppTrigger and AutoTrigger. */
  readonly triggers: readonly never[];
}

export interface TunnelPlan {
  readonly device: string;
  readonly profile: string;
  readonly kind: 'device' | 'user';
  readonly mtu: number;
  /** Host prefixes (/32, /128), so that the kernel makes no route of its own. */
  readonly addresses: readonly IpPrefix[];
  readonly metric: { readonly v4: number; readonly v6: number };
  readonly because: Because;
}

/** `tunnel`: into a device. `throw`: our table says nothing, the machine's own routing decides. `unreachable`: nowhere. */
export type RouteKind = 'tunnel' | 'throw' | 'unreachable';

export interface RoutePlan {
  readonly kind: RouteKind;
  readonly prefix: IpPrefix;
  readonly metric: number;
  /** Only of kind `tunnel`. */
  readonly device?: string;
  /** Source address hint, only of kind `tunnel`. */
  readonly source?: IpAddress;
  readonly because: Because;
}

export type RuleAction =
  | { readonly kind: 'lookup'; readonly table: number }
  | { readonly kind: 'goto'; readonly priority: number }
  | { readonly kind: 'nop' };

export interface RulePlan {
  readonly family: IpFamily;
  readonly priority: number;
  /** Matches packets with exactly this mark; absent: every packet. */
  readonly mark?: number;
  readonly action: RuleAction;
  readonly because: Because;
}

export interface DnsPlan {
  readonly resolver: HostFacts['resolver'];
  /** Empty together with an empty `search`: the machine's resolver is left alone. Names are unique. */
  readonly rules: readonly DnsRule[];
  /** Search list, ours only, in order. */
  readonly search: readonly { readonly domain: string; readonly device?: string; readonly because: Because }[];
  /** Who answers exempted names and names without a rule. */
  readonly physical: readonly IpAddress[];
  /** Search list of the machine itself, behind ours. */
  readonly physicalSearch: readonly string[];
  /** Mark of queries to `physical`, so that they stay outside the tunnels; 0 for none. */
  readonly mark: number;
  /** Dynamic updates (RegisterDNS); its work follows. */
  readonly registrations: readonly never[];
}

export interface DnsRule {
  /** `.corp.example` (suffix and the name itself), `host.corp.example` (one name) or `.` (all). */
  readonly name: string;
  /** Where the query goes; for an exemption empty: `physical` answers. */
  readonly servers: readonly IpAddress[];
  readonly profile: string;
  /** Absent while the tunnel is down (persistent rules). */
  readonly device?: string;
  readonly because: Because;
  /** Rules of the same name that lost against this one. */
  readonly instead: readonly Because[];
}

export const emptyPlan: Plan = {
  tunnels: [],
  routes: [],
  rules: [],
  dns: { resolver: 'stub', rules: [], search: [], physical: [], physicalSearch: [], mark: 0, registrations: [] },
  filters: [],
  apps: [],
  lockdown: [],
  triggers: [],
};

/** What Linux takes for the identity of a route in one table: prefix and metric. */
export function routeKey(route: RoutePlan): string {
  return `${formatPrefix(route.prefix)} metric ${route.metric}`;
}

/** What makes two rules of ours the same place: family and priority. */
export function ruleKey(rule: RulePlan): string {
  return `ipv${rule.family} ${rule.priority}`;
}
