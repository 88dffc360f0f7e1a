import type { IpAddress, IpPrefix } from '@aovpn/bytes';
import { isOurs, readLinks } from '../network/kernel-network.ts';
import { readPhysicalNetwork, type DefaultRoute } from '../network/network-facts.ts';
import { openRouteSocket } from '../network/route-socket.ts';

/** Where traffic can leave the machine, as it is now. */
export interface WatchedLinks {
  /** Devices that lead out: hardware, and whatever else carries a default route. By index. */
  readonly links: ReadonlyMap<number, string>;
  readonly defaultRoutes: readonly DefaultRoute[];
  readonly addresses: readonly { readonly device: string; readonly prefix: IpPrefix }[];
  /** Directly attached networks. */
  readonly attached: readonly IpPrefix[];
  /** Names of links that are up with the cable in. */
  readonly running: readonly string[];
}

/** What exists only inside of the machine, or carries what another device sends in the end. */
const inside: ReadonlySet<string> = new Set(['tun', 'dummy', 'bridge', 'ifb', 'wireguard', 'vrf', 'nlmon']);

/** @throws {HostError} AOV-HOST-300 */
export function readWatchedLinks(): WatchedLinks {
  const socket = openRouteSocket();
  try {
    const network = readPhysicalNetwork(socket);
    const ways = new Set(network.defaultRoutes.map(({ device }) => device));
    const links = new Map<number, string>();
    for (const link of readLinks(socket)) {
      const { index, name, kind } = link;
      if (link.loopback || isOurs(link)) continue;
      if (kind === '' || (ways.has(name) && !inside.has(kind))) links.set(index, name);
    }
    const { defaultRoutes, addresses, localSubnets: attached, running } = network;
    return { links, defaultRoutes, addresses, attached, running };
  } finally {
    socket.close();
  }
}

/** The first address of a family on a device. */
export function addressOn(links: WatchedLinks, device: string, family: 4 | 6): IpAddress | undefined {
  return links.addresses.find((one) => one.device === device && one.prefix.address.family === family)?.prefix.address;
}
