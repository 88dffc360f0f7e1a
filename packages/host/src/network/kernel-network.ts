import { existsSync } from 'node:fs';
import { addressFromBytes, concat, networkOf, type IpAddress, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import {
  devicePrefix,
  routeProtocol,
  routingTable,
  routingTables,
  rulePriorities,
  type RoutePlan,
  type RulePlan,
} from '@aovpn/policy';
import { constant, littleEndian } from '../sys/index.ts';
import type { RouteRequest, RouteSocket } from './route-socket.ts';
import * as nl from './rtnetlink-number.ts';
import { decodeAttributes, readText, readU32, u32, viewOf, type Attribute, type NetlinkMessage } from './rtnetlink.ts';

/** Messages of rtnetlink(7) as values: what is there, and requests that change it. */

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Such as `tun`, `veth`; empty for hardware. */
  readonly kind: string;
  readonly up: boolean;
  /** Up, and the cable is in. */
  readonly running: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  /** Index of the bridge, or the like, that it is a port of; 0 for none. */
  readonly master: number;
}

export interface LinkAddress {
  readonly index: number;
  readonly prefix: IpPrefix;
  readonly scope: number;
  readonly flags: number;
}

/** A route of the kernel, whoever made it. */
export interface KernelRoute {
  readonly type: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly prefix: IpPrefix;
  readonly metric: number;
  readonly index: number | undefined;
  readonly gateway: IpAddress | undefined;
  readonly source: IpAddress | undefined;
}

/** Whether this kernel has IPv6 at all (`ipv6.disable=1` and kernels without it do not). */
export function hasIpv6(): boolean {
  return existsSync('/proc/net/if_inet6');
}

export function readLinks(socket: RouteSocket): Link[] {
  return socket
    .dump(nl.RTM_GETLINK, new Uint8Array(16))
    .map(decodeLink)
    .filter((link) => link !== undefined);
}

export function readAddresses(socket: RouteSocket): LinkAddress[] {
  return socket
    .dump(nl.RTM_GETADDR, new Uint8Array(8))
    .map(decodeAddress)
    .filter((address) => address !== undefined);
}

/** Routes of one table, both families. */
export function readRoutes(socket: RouteSocket, table: number): KernelRoute[] {
  return ([4, 6] as const).flatMap((family) => {
    if (family === 6 && !hasIpv6()) return [];
    const fixed = new Uint8Array(12);
    fixed[0] = familyNumber(family);
    return socket
      .dump(nl.RTM_GETROUTE, fixed, [[nl.RTA_TABLE, u32(table)]])
      .map(decodeRoute)
      .filter((route) => route !== undefined && route.table === table);
  }) as KernelRoute[];
}

/** Routes with our protocol number in a table of ours, both families. The kernel itself leaves out all others (from Linux 4.20 on). */
export function readOurRoutes(socket: RouteSocket): KernelRoute[] {
  return ([4, 6] as const).flatMap((family) => {
    if (family === 6 && !hasIpv6()) return [];
    const fixed = new Uint8Array(12);
    fixed[0] = familyNumber(family);
    fixed[5] = routeProtocol;
    return socket
      .dump(nl.RTM_GETROUTE, fixed)
      .map(decodeRoute)
      .filter((route) => route?.protocol === routeProtocol && routingTables.includes(route.table));
  }) as KernelRoute[];
}

/** Routes of ours as the plan writes them; `unknown` are those that no plan of ours would make. */
export function ourRoutes(
  routes: readonly KernelRoute[],
  links: ReadonlyMap<number, Link>,
): { routes: RoutePlan[]; unknown: KernelRoute[] } {
  const found: RoutePlan[] = [];
  const unknown: KernelRoute[] = [];
  const because = { profile: '', why: 'found in the kernel' };
  for (const route of routes) {
    const { prefix, metric, source } = route;
    const table = route.table === routingTable ? {} : { table: route.table };
    const device = route.index === undefined ? undefined : links.get(route.index)?.name;
    if (route.type === nl.RTN_THROW) found.push({ kind: 'throw', prefix, metric, ...table, because });
    else if (route.type === nl.RTN_UNREACHABLE) found.push({ kind: 'unreachable', prefix, metric, ...table, because });
    else if (route.type === nl.RTN_UNICAST && device !== undefined && !route.gateway)
      found.push({ kind: 'tunnel', prefix, metric, ...table, device, ...(source ? { source } : {}), because });
    else unknown.push(route);
  }
  return { routes: found, unknown };
}

/** Rules at our priorities that carry our protocol number. */
export function readOurRules(socket: RouteSocket): RulePlan[] {
  const rules: RulePlan[] = [];
  for (const family of [4, 6] as const) {
    if (family === 6 && !hasIpv6()) continue;
    const fixed = new Uint8Array(12);
    fixed[0] = familyNumber(family);
    for (const message of socket.dump(nl.RTM_GETRULE, fixed)) {
      const rule = decodeRule(message);
      if (rule) rules.push(rule);
    }
  }
  return rules;
}

/** How the kernel would send to an address now. */
export function lookUp(
  socket: RouteSocket,
  destination: IpAddress,
  mark = 0,
): { readonly index: number; readonly gateway?: IpAddress; readonly source?: IpAddress; readonly table: number } | undefined {
  const fixed = new Uint8Array(12);
  fixed[0] = familyNumber(destination.family);
  fixed[1] = destination.bytes.length * 8;
  const attributes: Attribute[] = [[nl.RTA_DST, destination.bytes]];
  if (mark !== 0) attributes.push([nl.RTA_MARK, u32(mark)]);
  const answer = socket.get({ type: nl.RTM_GETROUTE, flags: 0, fixed, attributes });
  const route = answer && decodeRoute(answer);
  if (route?.index === undefined || (route.type !== nl.RTN_UNICAST && route.type !== nl.RTN_LOCAL)) return undefined;
  const { index, gateway, source, table } = route;
  return { index, table, ...(gateway ? { gateway } : {}), ...(source ? { source } : {}) };
}

export function linkRequest(index: number, change: { readonly up?: true; readonly mtu?: number }): RouteRequest {
  const fixed = new Uint8Array(16);
  const view = viewOf(fixed);
  view.setInt32(4, index, littleEndian);
  if (change.up) {
    view.setUint32(8, nl.IFF_UP, littleEndian);
    view.setUint32(12, nl.IFF_UP, littleEndian);
  }
  return { type: nl.RTM_NEWLINK, flags: 0, fixed, attributes: change.mtu === undefined ? [] : [[nl.IFLA_MTU, u32(change.mtu)]] };
}

export function deleteLinkRequest(index: number): RouteRequest {
  const fixed = new Uint8Array(16);
  viewOf(fixed).setInt32(4, index, littleEndian);
  return { type: nl.RTM_DELLINK, flags: 0, fixed, attributes: [] };
}

export function addressRequest(op: 'add' | 'remove', index: number, { address, length }: IpPrefix): RouteRequest {
  const fixed = new Uint8Array(8);
  fixed[0] = familyNumber(address.family);
  fixed[1] = length;
  viewOf(fixed).setUint32(4, index, littleEndian);
  const attributes: Attribute[] = [
    [nl.IFA_LOCAL, address.bytes],
    [nl.IFA_ADDRESS, address.bytes],
  ];
  if (op === 'remove') return { type: nl.RTM_DELADDR, flags: 0, fixed, attributes };
  attributes.push([nl.IFA_FLAGS, u32(nl.IFA_F_NOPREFIXROUTE | (address.family === 6 ? nl.IFA_F_NODAD : 0))]);
  return { type: nl.RTM_NEWADDR, flags: nl.NLM_F_CREATE | nl.NLM_F_REPLACE, fixed, attributes };
}

/** @param index of the route's device, for routes into a tunnel */
export function routeRequest(op: 'add' | 'replace' | 'remove', route: RoutePlan, index: number | undefined): RouteRequest {
  const { address, length } = networkOf(route.prefix);
  const fixed = new Uint8Array(12);
  fixed[0] = familyNumber(address.family);
  fixed[1] = length;
  fixed[5] = routeProtocol;
  fixed[6] = op === 'remove' ? nl.RT_SCOPE_NOWHERE : route.kind === 'tunnel' ? nl.RT_SCOPE_LINK : nl.RT_SCOPE_UNIVERSE;
  fixed[7] = { tunnel: nl.RTN_UNICAST, throw: nl.RTN_THROW, unreachable: nl.RTN_UNREACHABLE }[route.kind];
  const attributes: Attribute[] = [
    [nl.RTA_TABLE, u32(route.table ?? routingTable)],
    [nl.RTA_PRIORITY, u32(route.metric)],
  ];
  if (length > 0) attributes.push([nl.RTA_DST, address.bytes]);
  if (index !== undefined) attributes.push([nl.RTA_OIF, u32(index)]);
  if (route.source && op !== 'remove') attributes.push([nl.RTA_PREFSRC, route.source.bytes]);
  if (op === 'remove') return { type: nl.RTM_DELROUTE, flags: 0, fixed, attributes };
  return {
    type: nl.RTM_NEWROUTE,
    flags: nl.NLM_F_CREATE | (op === 'replace' ? nl.NLM_F_REPLACE : nl.NLM_F_EXCL),
    fixed,
    attributes,
  };
}

export function ruleRequest(op: 'add' | 'remove', { family, priority, mark, mask, users, action }: RulePlan): RouteRequest {
  const fixed = new Uint8Array(12);
  fixed[0] = familyNumber(family);
  fixed[7] = { lookup: nl.FR_ACT_TO_TBL, goto: nl.FR_ACT_GOTO, nop: nl.FR_ACT_NOP }[action.kind];
  const attributes: Attribute[] = [
    [nl.FRA_PRIORITY, u32(priority)],
    [nl.FRA_PROTOCOL, Uint8Array.of(routeProtocol)],
  ];
  if (mark !== undefined) attributes.push([nl.FRA_FWMARK, u32(mark)], [nl.FRA_FWMASK, u32(mask ?? 0xffffffff)]);
  // struct fib_rule_uid_range: first and last.
  if (users) attributes.push([nl.FRA_UID_RANGE, concat(u32(users.from), u32(users.to))]);
  if (action.kind === 'lookup') attributes.push([nl.FRA_TABLE, u32(action.table)]);
  if (action.kind === 'goto') attributes.push([nl.FRA_GOTO, u32(action.priority)]);
  return {
    type: op === 'add' ? nl.RTM_NEWRULE : nl.RTM_DELRULE,
    flags: op === 'add' ? nl.NLM_F_CREATE | nl.NLM_F_EXCL : 0,
    fixed,
    attributes,
  };
}

/** Removes one route exactly as the kernel told it to us, whatever it is. */
export function removeKernelRouteRequest(route: KernelRoute): RouteRequest {
  const fixed = new Uint8Array(12);
  fixed[0] = familyNumber(route.prefix.address.family);
  fixed[1] = route.prefix.length;
  fixed[5] = route.protocol;
  fixed[6] = nl.RT_SCOPE_NOWHERE;
  const attributes: Attribute[] = [
    [nl.RTA_TABLE, u32(route.table)],
    [nl.RTA_PRIORITY, u32(route.metric)],
  ];
  fixed[7] = route.type;
  if (route.prefix.length > 0) attributes.push([nl.RTA_DST, route.prefix.address.bytes]);
  if (route.index !== undefined && route.type === nl.RTN_UNICAST) attributes.push([nl.RTA_OIF, u32(route.index)]);
  return { type: nl.RTM_DELROUTE, flags: 0, fixed, attributes };
}

/** What our data planes make. */
const deviceKinds: ReadonlySet<string> = new Set(['tun', 'xfrm', 'vti', 'vti6']);

/** Whether a link is one of ours by name and kind; a network card that somebody named like this is not. */
export function isOurs({ name, kind }: Link): boolean {
  return name.startsWith(devicePrefix) && deviceKinds.has(kind ?? '');
}

function decodeLink({ type, body }: NetlinkMessage): Link | undefined {
  if ((type !== nl.RTM_NEWLINK && type !== nl.RTM_DELLINK) || body.length < 16) return undefined;
  const attributes = decodeAttributes(body, 16);
  const name = readText(attributes.get(nl.IFLA_IFNAME));
  if (name === undefined) return undefined;
  const info = attributes.get(nl.IFLA_LINKINFO);
  const flags = viewOf(body).getUint32(8, littleEndian);
  return {
    index: viewOf(body).getInt32(4, littleEndian),
    name,
    kind: (info && readText(decodeAttributes(info, 0).get(nl.IFLA_INFO_KIND))) ?? '',
    up: (flags & nl.IFF_UP) !== 0,
    running: (flags & nl.IFF_RUNNING) !== 0,
    loopback: (flags & nl.IFF_LOOPBACK) !== 0,
    mtu: readU32(attributes.get(nl.IFLA_MTU)) ?? 0,
    master: readU32(attributes.get(nl.IFLA_MASTER)) ?? 0,
  };
}

function decodeAddress({ type, body }: NetlinkMessage): LinkAddress | undefined {
  if (type !== nl.RTM_NEWADDR || body.length < 8) return undefined;
  const attributes = decodeAttributes(body, 8);
  const address = toAddress(attributes.get(nl.IFA_LOCAL) ?? attributes.get(nl.IFA_ADDRESS));
  if (!address) return undefined;
  return {
    index: viewOf(body).getUint32(4, littleEndian),
    prefix: { address, length: body[1]! },
    scope: body[3]!,
    flags: readU32(attributes.get(nl.IFA_FLAGS)) ?? body[2]!,
  };
}

function decodeRoute({ type, body }: NetlinkMessage): KernelRoute | undefined {
  if (type !== nl.RTM_NEWROUTE || body.length < 12) return undefined;
  const family = readFamily(body[0]!);
  if (!family) return undefined;
  const attributes = decodeAttributes(body, 12);
  const network = toAddress(attributes.get(nl.RTA_DST)) ?? addressFromBytes(new Uint8Array(family === 4 ? 4 : 16));
  // struct rtnexthop: length, flags, hops, index; the first path stands for all.
  const multipath = attributes.get(nl.RTA_MULTIPATH);
  const path =
    multipath && multipath.length >= 8
      ? decodeAttributes(multipath.subarray(0, viewOf(multipath).getUint16(0, littleEndian)), 8)
      : undefined;
  return {
    type: body[7]!,
    table: readU32(attributes.get(nl.RTA_TABLE)) ?? body[4]!,
    protocol: body[5]!,
    scope: body[6]!,
    prefix: { address: network, length: body[1]! },
    metric: readU32(attributes.get(nl.RTA_PRIORITY)) ?? 0,
    index: readU32(attributes.get(nl.RTA_OIF)) ?? readU32(multipath, 4),
    gateway: toAddress(attributes.get(nl.RTA_GATEWAY) ?? path?.get(nl.RTA_GATEWAY)),
    source: toAddress(attributes.get(nl.RTA_PREFSRC)),
  };
}

function decodeRule({ type, body }: NetlinkMessage): RulePlan | undefined {
  if (type !== nl.RTM_NEWRULE || body.length < 12) return undefined;
  const family = readFamily(body[0]!);
  const attributes = decodeAttributes(body, 12);
  const priority = readU32(attributes.get(nl.FRA_PRIORITY)) ?? 0;
  if (
    !family ||
    attributes.get(nl.FRA_PROTOCOL)?.[0] !== routeProtocol ||
    priority < rulePriorities.first ||
    priority > rulePriorities.last
  )
    return undefined;
  const mark = readU32(attributes.get(nl.FRA_FWMARK)) ?? 0;
  const mask = readU32(attributes.get(nl.FRA_FWMASK)) ?? 0;
  const range = attributes.get(nl.FRA_UID_RANGE);
  const from = readU32(range);
  const to = readU32(range, 4);
  const because = { profile: '', why: 'found in the kernel' };
  const common = {
    family,
    priority,
    ...(mark !== 0 || mask !== 0 ? { mark } : {}),
    ...(mask !== 0 && mask !== 0xffffffff ? { mask } : {}),
    ...(from !== undefined && to !== undefined ? { users: { from, to } } : {}),
    because,
  };
  if (body[7] === nl.FR_ACT_GOTO)
    return { ...common, action: { kind: 'goto', priority: readU32(attributes.get(nl.FRA_GOTO)) ?? 0 } };
  if (body[7] === nl.FR_ACT_NOP) return { ...common, action: { kind: 'nop' } };
  return { ...common, action: { kind: 'lookup', table: readU32(attributes.get(nl.FRA_TABLE)) ?? body[4]! } };
}

function toAddress(octets: Uint8Array | undefined): IpAddress | undefined {
  return octets && (octets.length === 4 || octets.length === 16) ? addressFromBytes(octets) : undefined;
}

function familyNumber(family: IpFamily): number {
  return family === 4 ? constant.AF_INET : constant.AF_INET6;
}

function readFamily(number: number): IpFamily | undefined {
  return number === constant.AF_INET ? 4 : number === constant.AF_INET6 ? 6 : undefined;
}
