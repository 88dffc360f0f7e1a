import { formatAddress, formatPrefix, networkOf, type IpAddress, type IpFamily, type IpPrefix } from '@aovpn/bytes';
import { lookUp, readAddresses, readLinks, readRoutes, type Link, type LinkAddress } from './kernel-network.ts';
import type { RouteSocket } from './route-socket.ts';
import * as nl from './rtnetlink-number.ts';
import { devicePrefix, routeProtocol } from '@aovpn/policy';

export interface DefaultRoute {
  readonly family: IpFamily;
  readonly device: string;
  readonly gateway?: IpAddress;
  readonly metric: number;
}

/** The machine's own network, without anything of ours. */
export interface PhysicalNetwork {
  /** Most preferred first within each family. */
  readonly defaultRoutes: readonly DefaultRoute[];
  /** Addresses of global scope on links that are up, loopback and our own devices excepted. */
  readonly addresses: readonly { readonly device: string; readonly prefix: IpPrefix }[];
  /** Directly attached networks, host bits zero. */
  readonly localSubnets: readonly IpPrefix[];
  /**
   * Networks of bridges whose ports are all virtual, as Docker and libvirt make them: nobody but what runs on this machine is in them. Not among
   * the directly attached ones.
   */
  readonly ownSubnets: readonly IpPrefix[];
  /** Names of links that are up with the cable in. */
  readonly running: readonly string[];
  /** The address that packets to the internet leave from, by family; undefined without a way out. */
  readonly sources: { readonly v4?: IpAddress; readonly v6?: IpAddress };
}

export function readPhysicalNetwork(socket: RouteSocket): PhysicalNetwork {
  const links = new Map<number, Link>();
  for (const link of readLinks(socket)) if (!link.loopback && !link.name.startsWith(devicePrefix)) links.set(link.index, link);
  const addresses = readAddresses(socket).filter((address) => links.get(address.index)?.up && usable(address));
  const defaultRoutes: DefaultRoute[] = [];
  const local: IpPrefix[] = [];
  const own: IpPrefix[] = [];
  const inside = virtualBridges([...links.values()]);
  const attached = (index: number, prefix: IpPrefix): void => void (inside.has(index) ? own : local).push(networkOf(prefix));
  for (const route of readRoutes(socket, nl.RT_TABLE_MAIN)) {
    const link = route.index === undefined ? undefined : links.get(route.index);
    if (!link?.up || route.type !== nl.RTN_UNICAST || route.protocol === routeProtocol) continue;
    const { family } = route.prefix.address;
    if (route.prefix.length === 0) {
      defaultRoutes.push({
        family,
        device: link.name,
        metric: route.metric,
        ...(route.gateway ? { gateway: route.gateway } : {}),
      });
    } else if (!route.gateway && (family === 4 || !isLinkLocal(route.prefix.address))) attached(link.index, route.prefix);
  }
  // Not every network manager leaves the kernel's own route in the main table.
  for (const { index, prefix } of addresses) if (prefix.length < prefix.address.bytes.length * 8) attached(index, prefix);
  defaultRoutes.sort((a, b) => a.family - b.family || a.metric - b.metric);
  const v4 = sourceOf(4, defaultRoutes, addresses, links);
  const v6 = sourceOf(6, defaultRoutes, addresses, links);
  return {
    defaultRoutes,
    addresses: addresses.map(({ index, prefix }) => ({ device: links.get(index)!.name, prefix })),
    localSubnets: distinct(local),
    ownSubnets: distinct(own),
    running: [...links.values()]
      .filter(({ up, running }) => up && running)
      .map(({ name }) => name)
      .sort(),
    sources: { ...(v4 ? { v4 } : {}), ...(v6 ? { v6 } : {}) },
  };
}

/** The kernel's answer to "how would a packet with this mark get there now". */
export interface RouteTo {
  readonly device: string;
  readonly source?: IpAddress;
  readonly gateway?: IpAddress;
  /** The routing table that decided. */
  readonly table: number;
}

export function readRouteTo(socket: RouteSocket, destination: IpAddress, mark: number): RouteTo | undefined {
  const found = lookUp(socket, destination, mark);
  const device = found && readLinks(socket).find(({ index }) => index === found.index)?.name;
  if (!found || device === undefined) return undefined;
  return {
    device,
    table: found.table,
    ...(found.source ? { source: found.source } : {}),
    ...(found.gateway ? { gateway: found.gateway } : {}),
  };
}

/** A text that differs whenever something that matters differs: what changed is what people and machines must hear of. */
export function fingerprint(network: PhysicalNetwork): {
  readonly link: string;
  readonly address: string;
  readonly route: string;
} {
  return {
    link: network.running.join(' '),
    address: [
      ...network.addresses.map(({ device, prefix }) => `${device} ${formatPrefix(prefix)}`),
      ...network.ownSubnets.map((prefix) => `own ${formatPrefix(prefix)}`),
    ]
      .sort()
      .join(', '),
    route: network.defaultRoutes
      .map(({ device, gateway, metric, family }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''} ${metric}`)
      .join(', '),
  };
}

/** Indexes of bridges that no link outside of this machine is a port of. */
function virtualBridges(links: readonly Link[]): ReadonlySet<number> {
  const leadsOut = new Set(links.filter(({ kind }) => !virtualPorts.has(kind)).map(({ master }) => master));
  return new Set(links.filter(({ kind, index }) => kind === 'bridge' && !leadsOut.has(index)).map(({ index }) => index));
}

/** The other end of each is a process or a namespace of this machine. */
const virtualPorts = new Set(['veth', 'tun', 'dummy']);

function distinct(prefixes: readonly IpPrefix[]): readonly IpPrefix[] {
  return [...new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix])).values()];
}

function usable({ scope, flags }: LinkAddress): boolean {
  return scope === 0 && (flags & (nl.IFA_F_TENTATIVE | nl.IFA_F_DADFAILED)) === 0;
}

function isLinkLocal(address: IpAddress): boolean {
  return address.bytes[0] === 0xfe && (address.bytes[1]! & 0xc0) === 0x80;
}

function sourceOf(
  family: IpFamily,
  routes: readonly DefaultRoute[],
  addresses: readonly LinkAddress[],
  links: ReadonlyMap<number, Link>,
): IpAddress | undefined {
  const way = routes.find((route) => route.family === family);
  const candidates = addresses.filter(
    ({ index, prefix }) => prefix.address.family === family && links.get(index)?.name === way?.device,
  );
  const fresh = candidates.find(({ flags }) => (flags & nl.IFA_F_DEPRECATED) === 0);
  return way && (fresh ?? candidates[0])?.prefix.address;
}
