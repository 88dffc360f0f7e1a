import { formatPrefix, type IpAddress, type IpFamily, type IpPrefix, type IpRange } from '@aovpn/bytes';
import type { NumberRange, RoutingPolicyType } from '@aovpn/profile';
import type { Because, HostFacts, KeyDigest } from './facts.ts';
import type { FilterProblem } from './filter/problem.ts';
import type { LockdownPlan } from './lockdown/lockdown-plan.ts';
import { routingTable } from './linux-number.ts';
import type { ProxyPlan } from './proxy/proxy-plan.ts';

/** All that the machine shall look like for its tunnels; applying it is idempotent, and every item says why it exists. */
export interface Plan {
  readonly tunnels: readonly TunnelPlan[];
  /** In our own table, or in the table of a tunnel that takes all traffic of some apps. */
  readonly routes: readonly RoutePlan[];
  /** By priority, IPv4 before IPv6. */
  readonly rules: readonly RulePlan[];
  readonly dns: DnsPlan;
  /** What programs of people are told about web proxies; absent: nothing. */
  readonly proxy?: ProxyPlan;
  /** Traffic filters (TrafficFilter), one for each tunnel whose profile has any: what no rule allows is refused there, both ways. */
  readonly filters: readonly FilterPlan[];
  /** Every app that a profile in force names and that is known here, by key. */
  readonly apps: readonly AppPlan[];
  /** What is wrong with filters and apps in the light of the facts, by profile and line. */
  readonly problems: readonly FilterProblem[];
  /** What may leave the machine at all; absent: no profile has LockDown. */
  readonly lockdown?: LockdownPlan;
}

export interface TunnelPlan {
  readonly device: string;
  readonly profile: string;
  readonly kind: 'device' | 'user';
  readonly mtu: number;
  /** Host prefixes (/32, /128), so that the kernel makes no route of its own. */
  readonly addresses: readonly IpPrefix[];
  readonly metric: { readonly v4: number; readonly v6: number };
  /** Only of a tunnel that carries one user's traffic alone. */
  readonly scope?: TunnelScope;
  /** Where our own outer packets go, and the mark by which they are known; absent on a machine where they have none. */
  readonly outer?: {
    readonly gateway: IpAddress;
    readonly mark: number;
    /** The kernel sends ESP there, with this mark and sockets that are not ours. */
    readonly kernelEsp?: true;
  };
  /** Only of a force tunnel: all that may go past it. */
  readonly past?: PastTunnel;
  readonly because: Because;
}

/** Whose traffic alone a tunnel carries, and how the kernel knows it. */
export interface TunnelScope {
  readonly user: number;
  /** Of packets that belong to it and have no socket of the user: our questions for the user's names, and what arrives. In the bits of `mask`. */
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
  /** Queries of the user to these servers, or to this machine, go to our stub resolver at this port. */
  readonly names: { readonly port: number; readonly servers: readonly IpAddress[] };
  /** Our stub resolver asks these by TLS for the user. */
  readonly encrypted?: readonly Pick<EncryptedServer, 'address' | 'port'>[];
}

/** What a force tunnel does not carry. */
export interface PastTunnel {
  /** Exclusions, attached networks that stay direct, and what never leaves a link. */
  readonly direct: readonly IpPrefix[];
  /** The machine's resolver, where it has a user of its own: it asks these servers for exempted names. */
  readonly resolver?: { readonly users: readonly NumberRange[]; readonly servers: readonly IpAddress[] };
}

/** `tunnel`: into a device. `throw`: our table says nothing, the machine's own routing decides. `unreachable`: nowhere. */
export type RouteKind = 'tunnel' | 'throw' | 'unreachable';

export interface RoutePlan {
  readonly kind: RouteKind;
  readonly prefix: IpPrefix;
  readonly metric: number;
  /** Absent: our one table. */
  readonly table?: number;
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
  /** Matches packets with exactly this mark (in the bits of `mask`, when there is one); absent: every packet. */
  readonly mark?: number;
  /** Which bits of the mark count; absent: all 32. */
  readonly mask?: number;
  /** Matches packets of sockets whose owner is one of these user ids, both ends included; absent: of everybody. */
  readonly users?: NumberRange;
  readonly action: RuleAction;
  readonly because: Because;
}

/** Names an app and its cgroup, `[a-z0-9-]{1,40}`. */
export type AppKey = string;

/** The filters of one tunnel. Any one rule that fits lets a packet through; none fits: refused. */
export interface FilterPlan {
  readonly device: string;
  readonly profile: string;
  /** In the order of the profile; possibly none, and then nothing passes. */
  readonly rules: readonly FilterRule[];
  /** Filters that can never fit, and why; they let nothing through. */
  readonly unusable: readonly UnusableFilter[];
  /** Why everything else is refused: the first filter of the profile. */
  readonly because: Because;
}

/** One TrafficFilter: every condition that is present must hold. Replies and related errors always pass. */
export interface FilterRule {
  /** Its place among the filters of its profile, from 1; 0: none of them, but implied by them (name servers). */
  readonly number: number;
  readonly direction: 'out' | 'in';
  /** Whose traffic; absent: everybody's, forwarded traffic included. */
  readonly owner?: FilterOwner;
  /** IP protocol number. */
  readonly protocol?: number;
  /** Only with protocol 6 or 17. */
  readonly localPorts?: readonly NumberRange[];
  readonly remotePorts?: readonly NumberRange[];
  /** Both families possible; with local and remote addresses a packet has both of one family. */
  readonly local?: readonly IpRange[];
  readonly remote?: readonly IpRange[];
  readonly because: Because;
}

/** All that is present must hold. */
export interface FilterOwner {
  /** The socket was made in the cgroup of one of these apps. */
  readonly apps?: readonly AppKey[];
  /**
   * `SYSTEM`: no socket at all (the kernel itself), or a socket of uid 0 outside the cgroup of every app; inbound, instead of the uid,
   * a socket in a cgroup of system services.
   */
  readonly system?: true;
  /** Claims: the first entry that fits the owner of the socket decides; none fits: not allowed. Never fits inbound traffic. */
  readonly access?: readonly AccessEntry[];
}

/** One access control entry of a Claims descriptor, in Linux' words: fits by user id or by group id (of the socket's owner). */
export interface AccessEntry {
  readonly allow: boolean;
  readonly users: readonly NumberRange[];
  readonly groups: readonly NumberRange[];
}

export interface UnusableFilter {
  readonly number: number;
  readonly because: Because;
}

/** A program as Linux knows it. What runs in its cgroup `<root>/<key>` is the app. */
export interface AppPlan {
  readonly key: AppKey;
  /** For people. */
  readonly title: string;
  /** Absolute paths; `*` stands for one path component or a part of it. */
  readonly executables: readonly string[];
  /** systemd units, such as `autofs.service`. */
  readonly units: readonly string[];
  /** Desktop ids without `.desktop`. */
  readonly desktop: readonly string[];
  /** Flatpak application ids. */
  readonly flatpak: readonly string[];
  /** Snap names. */
  readonly snap: readonly string[];
  /** Devices whose filters let the app in. */
  readonly tunnels: readonly string[];
  /** `ForceTunnel`: all its traffic goes into one tunnel. */
  readonly routing: RoutingPolicyType;
  /** Only with `ForceTunnel`. */
  readonly force?: ForcedPath;
  /** Per-app VPN: a profile has both a trigger and a filter for it. */
  readonly perAppVpn: boolean;
  /** Profiles whose tunnel its start brings up (AppTrigger). */
  readonly triggers: readonly string[];
  readonly because: Because;
}

/** Where all traffic of an app goes. */
export interface ForcedPath {
  /** `SO_MARK` that every socket of the app gets, in the bits of `mask` only; others' bits stay. */
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
  /** Absent while the tunnel is down: nothing leaves. */
  readonly device?: string;
  /** Name servers of the tunnel: all queries of the app go to the first one of a family, whatever resolver it asks. */
  readonly dns?: readonly IpAddress[];
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
  /** Why names without a rule stay with `physical` although a gateway gave servers; absent: no profile says anything about them. */
  readonly unruled?: Because;
  /** Rules with AutoTrigger that are out of force: no question brings their tunnel up now. Absent: none. */
  readonly asleep?: readonly SleepingRule[];
  /** Names that one user alone is answered by. */
  readonly users?: readonly UserNames[];
  /** Dynamic updates (RegisterDNS), at most one. */
  readonly registrations: readonly DnsRegistration[];
}

/** What our stub resolver answers one user, at a port of that user's own. */
export interface UserNames {
  readonly user: number;
  readonly port: number;
  /** `SO_MARK` of questions that go through the user's tunnels, {@link devices}. */
  readonly mark: number;
  readonly devices: readonly string[];
  /** The user's, and everybody's where the user has none of that name. */
  readonly rules: readonly DnsRule[];
}

/** Addresses of a tunnel that the company's DNS shall know under the machine's name. */
export interface DnsRegistration {
  readonly profile: string;
  readonly device: string;
  /** Assigned by the gateway. */
  readonly addresses: readonly IpAddress[];
  /** Asked for the zone's primary server, and updated when it cannot be reached. */
  readonly servers: readonly IpAddress[];
  /** Connection-specific suffix, under which a machine without a domain of its own is registered. */
  readonly domain?: string;
  readonly because: Because;
}

export interface DnsRule {
  /** `.corp.example` (suffix and the name itself), `host.corp.example` (one name) or `.` (all). */
  readonly name: string;
  /** Where the query goes; for an exemption empty: `physical` answers. With `encrypted` the addresses of those, and of `clear`. */
  readonly servers: readonly IpAddress[];
  /** Asked by TLS, in this order, and nobody else is but `clear`; absent: `servers` are asked in the clear. */
  readonly encrypted?: readonly EncryptedServer[];
  /** Asked in the clear when none of `encrypted` gives an answer; absent: nobody is. */
  readonly clear?: readonly IpAddress[];
  readonly profile: string;
  /** Absent while the tunnel is down (persistent rules, and those that bring it up). */
  readonly device?: string;
  readonly because: Because;
  /** Who is asked when none of `servers` gives an answer; absent: nobody. Only of a rule that rests on an interface metric. */
  readonly otherwise?: 'physical';
  /** AutoTrigger; absent: a question brings nothing up. */
  readonly trigger?: NameTrigger;
  /** Rules of the same name that lost against this one. */
  readonly instead: readonly LostRule[];
}

/** A resolver that is asked by DNS over TLS (RFC 7858), and never before it has proven itself (RFC 8310 §5, strict privacy). */
export interface EncryptedServer {
  readonly address: IpAddress;
  readonly port: number;
  /** Authentication domain name. */
  readonly name: string;
  readonly proof: ResolverProof;
}

export type ResolverProof =
  /** Its key has one of these digests, whatever its certificate says (RFC 9464 §4). */
  | { readonly kind: 'digests'; readonly digests: readonly KeyDigest[] }
  /** Its certificate is for `name`, in date, and from one of these authorities (PEM; absent: the system's) (RFC 8310 §8.1). */
  | { readonly kind: 'authorities'; readonly pem?: string };

/** What a question for a name of AutoTrigger comes to. */
export interface NameTrigger {
  /**
   * `up`: the tunnel is there, and `servers` are asked. `wait`: the question brings it up and waits for the plan that follows, bounded.
   * `refuse`: it is told that there is no answer (SERVFAIL), at once. `servers` are asked in no other case than the first.
   */
  readonly kind: 'up' | 'wait' | 'refuse';
  readonly why: string;
}

/** A rule with AutoTrigger that is as if it were not there, and why. */
export interface SleepingRule {
  readonly name: string;
  readonly because: Because;
  readonly why: string;
}

export interface LostRule {
  readonly because: Because;
  /** Why the other one won, about the winner. */
  readonly reason: string;
}

export const emptyPlan: Plan = {
  tunnels: [],
  routes: [],
  rules: [],
  dns: { resolver: 'stub', rules: [], search: [], physical: [], physicalSearch: [], mark: 0, registrations: [] },
  filters: [],
  apps: [],
  problems: [],
};

/** What Linux takes for the identity of a route: table, prefix and metric. */
export function routeKey(route: RoutePlan): string {
  const table = tableOf(route);
  return `${formatPrefix(route.prefix)} metric ${route.metric}${table === routingTable ? '' : ` table ${table}`}`;
}

/** What makes two rules of ours the same place: family, priority, and what tells apart rules that share a priority. */
export function ruleKey({ family, priority, mark, mask, users }: RulePlan): string {
  const bits = mask === undefined ? '' : ` fwmark ${mark}/${mask}`;
  return `ipv${family} ${priority}${bits}${users ? ` uid ${users.from}-${users.to}` : ''}`;
}

export function tableOf(route: RoutePlan): number {
  return route.table ?? routingTable;
}
