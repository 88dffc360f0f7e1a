import { prefixContains, rangeContains, type IpAddress } from '@aovpn/bytes';
import type { AccessEntry, AppKey, AppPlan, FilterOwner, FilterPlan, FilterRule, Plan } from '../plan.ts';
import { tableOf } from '../plan.ts';
import { hasNumber } from './number-ranges.ts';

/** A packet at one device, as the kernel sees it there. */
export interface Packet {
  readonly device: string;
  readonly direction: 'out' | 'in';
  /** Passes through this machine. */
  readonly forwarded?: true;
  /**
   * `original`: from the side that began the connection, its first packet included. `reply`: the other side, of a connection
   * that a filter let pass; an answer to any other is judged like `original`.
   * `related`: an ICMP error about such a connection.
   */
  readonly state: 'original' | 'reply' | 'related';
  /** IP protocol number. */
  readonly protocol: number;
  readonly local: IpAddress;
  readonly remote: IpAddress;
  readonly localPort?: number;
  readonly remotePort?: number;
  /** Whose socket sends or would receive it; absent: no socket, the kernel. Never for forwarded packets. */
  readonly socket?: SocketOwner;
}

export interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
  /** In whose cgroup the socket was made. */
  readonly app?: AppKey;
  /** In a cgroup of system services. */
  readonly service?: boolean;
}

export type Verdict = 'accept' | 'refuse';

export interface PacketDecision {
  readonly verdict: Verdict;
  /**
   * `unfiltered`: the device has no filters. `answer`: a reply or a related error. `filter`: a filter fits. `nothing-fits`: none does.
   * `forced-elsewhere`: the app may leave through its tunnel only.
   */
  readonly reason: 'unfiltered' | 'answer' | 'filter' | 'nothing-fits' | 'forced-elsewhere';
  readonly filter?: FilterPlan;
  /** The first that fits. */
  readonly rule?: FilterRule;
  readonly app?: AppPlan;
}

/** A condition of a filter that a packet does not meet. */
export type Misfit = 'direction' | 'app' | 'system' | 'claims' | 'protocol' | 'local-port' | 'remote-port' | 'local' | 'remote';

/** What the ruleset of a plan does with a packet; the model that the kernel is tested against. */
export function decidePacket(plan: Plan, packet: Packet): PacketDecision {
  const app = forcedAway(plan, packet);
  if (app) return { verdict: 'refuse', reason: 'forced-elsewhere', app };
  const filter = plan.filters.find(({ device }) => device === packet.device);
  if (!filter) return { verdict: 'accept', reason: 'unfiltered' };
  if (packet.state !== 'original') return { verdict: 'accept', reason: 'answer', filter };
  const rule = filter.rules.find((candidate) => misfitsOf(candidate, packet).length === 0);
  return rule ? { verdict: 'accept', reason: 'filter', filter, rule } : { verdict: 'refuse', reason: 'nothing-fits', filter };
}

/** Every condition of a rule that a packet does not meet; none: the rule fits. */
export function misfitsOf(rule: FilterRule, packet: Packet): readonly Misfit[] {
  const misfits: Misfit[] = [];
  if (rule.direction !== packet.direction) misfits.push('direction');
  if (rule.owner) misfits.push(...ownerMisfits(rule.owner, packet));
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) misfits.push('protocol');
  const has = (ranges: FilterRule['localPorts'], port: number | undefined): boolean =>
    ranges === undefined || (port !== undefined && hasNumber(ranges, port));
  if (!has(rule.localPorts, packet.localPort)) misfits.push('local-port');
  if (!has(rule.remotePorts, packet.remotePort)) misfits.push('remote-port');
  if (rule.local && !rule.local.some((range) => rangeContains(range, packet.local))) misfits.push('local');
  if (rule.remote && !rule.remote.some((range) => rangeContains(range, packet.remote))) misfits.push('remote');
  return misfits;
}

function ownerMisfits({ apps, system, access }: FilterOwner, { forwarded, socket, direction }: Packet): readonly Misfit[] {
  const misfits: Misfit[] = [];
  const owner = forwarded ? undefined : socket;
  if (apps && (owner?.app === undefined || !apps.includes(owner.app))) misfits.push('app');
  if (system) {
    const isSystem =
      owner === undefined || (owner.app === undefined && (direction === 'out' ? owner.uid === 0 : owner.service === true));
    if (forwarded || !isSystem) misfits.push('system');
  }
  // For incoming packets the kernel does not tell the user of the socket.
  if (access && (direction === 'in' || !owner || !isAllowed(access, owner))) misfits.push('claims');
  return misfits;
}

function isAllowed(access: readonly AccessEntry[], { uid, gid }: SocketOwner): boolean {
  const deciding = access.find(({ users, groups }) => hasNumber(users, uid) || hasNumber(groups, gid));
  return deciding?.allow === true;
}

/** The app of a packet that leaves by a device that is not its tunnel, and for no address that may. */
function forcedAway(plan: Plan, { direction, forwarded, device, socket, remote }: Packet): AppPlan | undefined {
  if (direction === 'in' || forwarded || device === 'lo' || socket?.app === undefined) return undefined;
  const app = plan.apps.find(({ key }) => key === socket.app);
  if (!app?.force || app.force.device === device) return undefined;
  const { mark, table } = app.force;
  const limited = plan.rules.filter((rule) => rule.family === 4 && rule.mark === mark && rule.users);
  if (limited.length > 0 && !limited.some(({ users }) => hasNumber([users!], socket.uid))) return undefined;
  const direct = plan.routes.some(
    (route) => route.kind === 'throw' && tableOf(route) === table && prefixContains(route.prefix, remote),
  );
  return direct ? undefined : app;
}
