import type { IpAddress, IpPrefix } from '@aovpn/bytes';
import type { RoutingPolicyType } from '@aovpn/profile';
import type { Because, Sourced } from './facts.ts';
import type { FilterIntent, TriggerIntent } from './filter/filter-intent.ts';
import type { FilterProblem } from './filter/problem.ts';
import type { ProxyServer } from './proxy/proxy-server.ts';

/** What a profile wants of the machine, in our words: defaults filled in, Windows' quirks gone, every item with its reason. */
export interface Intent {
  readonly name: string;
  readonly tunnel: 'device' | 'user';
  /** The id of the user whose traffic alone it is for; absent: everybody's. */
  readonly user?: number;
  readonly alwaysOn: Sourced<boolean>;
  readonly routing: Sourced<RoutingPolicyType>;
  /** Into the tunnel; networks without host bits. Empty under force tunnel. */
  readonly routes: readonly IntentRoute[];
  /** Every Route that is no exclusion, used or not: these networks are the company's. */
  readonly inside: readonly IntentRoute[];
  /** Outside the tunnel. */
  readonly exclusions: readonly IntentRoute[];
  /** Route the class A, B or C network of the assigned IPv4 address; never under force tunnel. */
  readonly classBasedDefaultRoute: Sourced<boolean>;
  /** Take traffic selectors and pushed subnets as routes. */
  readonly selectorsAsRoutes: Sourced<boolean>;
  readonly byPassForLocal: Sourced<boolean>;
  /** Nothing leaves the machine outside of the tunnel, in no state; absent: no LockDown. */
  readonly lockdown?: Because;
  readonly interfaceMetric: { readonly v4: Sourced<number>; readonly v6: Sourced<number> };
  readonly nameRules: readonly NameRule[];
  /** Search list; the first is the connection-specific suffix. Lower case, no dots at the ends. */
  readonly suffixes: readonly Sourced<string>[];
  /** Suffixes of networks on which the tunnel is not wanted; `implicit` when they come from name rules. */
  readonly trustedNetworks: readonly (Sourced<string> & { readonly implicit: boolean })[];
  readonly registerDns: Sourced<boolean>;
  /** How long the connection outlives the network; undefined: for ever. */
  readonly networkOutageSeconds: Sourced<number | undefined>;
  /** Web proxies for programs of people, while the tunnel is up and takes everything. */
  readonly proxy: { readonly manual?: Sourced<ProxyServer>; readonly autoConfigUrl?: Sourced<string> };
  /** With any filter, everything that none of them allows is refused on the tunnel. */
  readonly filters: readonly FilterIntent[];
  /** Apps whose start brings the tunnel up. */
  readonly triggers: readonly TriggerIntent[];
  /** What is wrong with filters and triggers whatever the machine. */
  readonly filterProblems: readonly FilterProblem[];
}

export interface IntentRoute {
  readonly prefix: IpPrefix;
  /** On top of the interface metric. */
  readonly metric: number;
  readonly because: Because;
}

export interface NameRule {
  /** `.corp.example` (suffix), `host.corp.example` (one name) or `.` (all); lower case, no dot at the end. */
  readonly name: string;
  /** Empty: exemption, the machine's normal resolver answers. */
  readonly servers: readonly IpAddress[];
  readonly autoTrigger: boolean;
  /** The rule stays in force while the tunnel is down. */
  readonly persistent: boolean;
  /** WebProxyServers: pages of these names are asked for through it. */
  readonly webProxy?: Sourced<ProxyServer>;
  readonly because: Because;
}
