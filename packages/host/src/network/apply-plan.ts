import { readFileSync, writeFileSync } from 'node:fs';
import { diffPlan, emptyPlan, printChanges, type Plan, type PlanChange, type TunnelPlan } from '@aovpn/policy';
import { HostError } from '../host-error.ts';
import { resolverDevice } from '../resolver/resolver-device.ts';
import { networkCure } from './errors.ts';
import {
  addressRequest,
  hasIpv6,
  isOurs,
  linkRequest,
  ourRoutes,
  readAddresses,
  readLinks,
  readOurRoutes,
  readOurRules,
  removeKernelRouteRequest,
  routeRequest,
  ruleRequest,
  type KernelRoute,
  type Link,
} from './kernel-network.ts';
import type { RouteRequest, RouteSocket } from './route-socket.ts';

/** What the kernel has of us, in the words of a plan; `dns` is empty, the kernel knows nothing of names. */
interface ObservedNetwork {
  readonly plan: Plan;
  readonly links: ReadonlyMap<string, Link>;
  /** Devices that are there but not up. */
  readonly down: ReadonlySet<string>;
  /** Routes with our protocol number that no plan of ours would make. */
  readonly strays: readonly KernelRoute[];
}

/** Reads only what is ours: devices by name and kind, routes by table and protocol, rules by priority and protocol. */
function observeNetwork(socket: RouteSocket): ObservedNetwork {
  const links = readLinks(socket);
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const ours = links.filter(isOurs);
  const addresses = readAddresses(socket);
  const { routes, unknown } = ourRoutes(readOurRoutes(socket), byIndex);
  const because = { profile: '', why: 'found in the kernel' };
  const tunnels = ours
    .filter(({ name }) => name !== resolverDevice)
    .map(({ name, index, mtu }): TunnelPlan => {
      // Link-local IPv6 addresses are the kernel's own doing (scope "link", 253).
      const own = addresses.filter((address) => address.index === index && address.scope !== 253).map(({ prefix }) => prefix);
      return { device: name, profile: '', kind: 'user', mtu, addresses: own, metric: { v4: 0, v6: 0 }, because };
    });
  return {
    plan: { ...emptyPlan, tunnels, routes, rules: readOurRules(socket) },
    links: new Map(ours.map((link) => [link.name, link])),
    down: new Set(ours.filter(({ up }) => !up).map(({ name }) => name)),
    strays: unknown,
  };
}

export interface AppliedChanges {
  readonly changes: readonly PlanChange[];
  /** What the kernel has now, read back. */
  readonly observed: ObservedNetwork;
}

/**
 * Makes the kernel look like the plan. Idempotent; whatever fails, the state before is put back.
 * @param between runs after everything was added and before anything is removed: the moment for the resolver
 * @throws {HostError} AOV-HOST-300 to 304, or what `between` throws
 */
export async function applyRoutes(socket: RouteSocket, plan: Plan, between: () => Promise<void>): Promise<AppliedChanges> {
  const before = observeNetwork(socket);
  const target = withoutMissingFamily(plan);
  for (const { device } of target.tunnels) {
    if (!before.links.has(device))
      throw new HostError('AOV-HOST-301', `there is no device ${device}`, networkCure('AOV-HOST-301'));
  }
  const changes = diffKernel(before, target);
  const firstRemoval = changes.findIndex(({ op }) => op === 'remove');
  const additions = firstRemoval < 0 ? changes : changes.slice(0, firstRemoval);
  const removals = firstRemoval < 0 ? [] : changes.slice(firstRemoval);
  try {
    perform(socket, additions, before.links);
    await between();
    perform(socket, removals, before.links);
    if (before.strays.length > 0) socket.request(before.strays.map(removeKernelRouteRequest));
  } catch (error) {
    throw rollBack(socket, before, error);
  }
  const observed = observeNetwork(socket);
  const missing = diffKernel(observed, target);
  if (missing.length > 0)
    throw new HostError(
      'AOV-HOST-304',
      `the kernel differs from the plan:\n${printChanges(missing)}`,
      networkCure('AOV-HOST-304'),
    );
  return { changes, observed };
}

/**
 * What would have to change for the kernel to look like the plan again. Empty while a device of the plan is gone: its routes went with it,
 * and whoever owns the device tells.
 */
export function findDrift(socket: RouteSocket, plan: Plan): readonly PlanChange[] {
  const now = observeNetwork(socket);
  const target = withoutMissingFamily(plan);
  return target.tunnels.every(({ device }) => now.links.has(device)) ? diffKernel(now, target) : [];
}

/** Changes from what the kernel has to a plan. Devices are made and removed by the data plane, never here. */
function diffKernel(from: ObservedNetwork, to: Plan): PlanChange[] {
  const changes = diffPlan({ ...from.plan, dns: to.dns }, to).filter(
    (change) => change.kind !== 'tunnel' || change.op === 'replace',
  );
  const asleep = to.tunnels.filter(({ device }) => from.down.has(device));
  for (const tunnel of asleep) {
    if (!changes.some((change) => change.kind === 'tunnel' && change.tunnel.device === tunnel.device))
      changes.unshift({ op: 'replace', kind: 'tunnel', tunnel });
  }
  return changes;
}

function perform(socket: RouteSocket, changes: readonly PlanChange[], links: ReadonlyMap<string, Link>): void {
  for (const { address, device } of changes.filter((change) => change.kind === 'address' && change.op === 'add') as Extract<
    PlanChange,
    { kind: 'address' }
  >[]) {
    if (address.address.family === 6) enableIpv6(device);
  }
  const requests: { change: PlanChange; request: RouteRequest }[] = [];
  for (const change of changes) for (const request of toRequests(change, links)) requests.push({ change, request });
  const answers = socket.request(requests.map(({ request }) => request));
  for (const [i, answer] of answers.entries()) {
    const { change } = requests[i]!;
    // Gone already is as good as removed.
    if (answer.ok || (change.op === 'remove' && ['ESRCH', 'ENOENT', 'EADDRNOTAVAIL', 'ENODEV'].includes(answer.code))) continue;
    throw new HostError('AOV-HOST-302', `${printChanges([change]).trim()}: ${answer.said}`, networkCure('AOV-HOST-302'));
  }
}

function toRequests(change: PlanChange, links: ReadonlyMap<string, Link>): RouteRequest[] {
  const indexOf = (device: string | undefined): number | undefined =>
    device === undefined ? undefined : links.get(device)?.index;
  switch (change.kind) {
    case 'tunnel':
      return [linkRequest(indexOf(change.tunnel.device)!, { up: true, mtu: change.tunnel.mtu })];
    case 'address':
      return [addressRequest(change.op, indexOf(change.device)!, change.address)];
    case 'route': {
      const index = indexOf(change.route.device);
      // A route whose device is gone went with it.
      return change.route.device !== undefined && index === undefined ? [] : [routeRequest(change.op, change.route, index)];
    }
    case 'rule':
      // Rules have no replace; the new one stands beside the old one for a moment.
      return change.op === 'replace' ? [ruleRequest('add', change.rule)] : [ruleRequest(change.op, change.rule)];
    case 'dns':
    case 'guard':
      return [];
  }
}

function rollBack(socket: RouteSocket, before: ObservedNetwork, error: unknown): unknown {
  try {
    const now = observeNetwork(socket);
    const back = diffKernel(now, { ...before.plan, tunnels: before.plan.tunnels.filter(({ device }) => now.links.has(device)) });
    perform(socket, back, now.links);
    return error;
  } catch (second) {
    const first = error instanceof Error ? error.message : String(error);
    const reason = second instanceof Error ? second.message : String(second);
    let now = '';
    try {
      now = printChanges(diffPlan(emptyPlan, observeNetwork(socket).plan));
    } catch {
      // The message below then says less.
    }
    return new HostError(
      'AOV-HOST-303',
      `${first}; and putting it back: ${reason}; now:\n${now}`,
      networkCure('AOV-HOST-303'),
      error,
    );
  }
}

/** On a kernel without IPv6 there is nothing to route and nothing to leak. */
function withoutMissingFamily(plan: Plan): Plan {
  if (hasIpv6()) return plan;
  return {
    ...plan,
    routes: plan.routes.filter(({ prefix }) => prefix.address.family === 4),
    rules: plan.rules.filter(({ family }) => family === 4),
    tunnels: plan.tunnels.map((tunnel) => ({
      ...tunnel,
      addresses: tunnel.addresses.filter(({ address }) => address.family === 4),
    })),
  };
}

/** Machines with IPv6 switched off by sysctl refuse addresses on new devices; ours needs it all the same. */
function enableIpv6(device: string): void {
  const file = `/proc/sys/net/ipv6/conf/${device}/disable_ipv6`;
  try {
    if (readFileSync(file, 'latin1').trim() === '1') writeFileSync(file, '0');
  } catch {
    // The request that follows fails with the kernel's own words.
  }
}
