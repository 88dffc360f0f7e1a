import { formatPrefix, networkOf, parsePrefix, prefixContains, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import { gatewayServers } from '../dns/gateway-servers.ts';
import { PrefixTable } from '../prefix-table.ts';

/**
 * What a network may be whose packets go past a tunnel that would carry them. Whoever runs the local network decides what is directly
 * attached (a lease, a router advertisement, an on-link route), so the decision must not rest on its word: CVE-2023-36672 (TunnelCrack)
 * gives the machine a local network with the addresses of the victim's destination.
 */

/** RFC 1918, RFC 4193: nobody on the internet can be impersonated by a local network that uses them. */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map((text) => parsePrefix(text)!);
/** No home is larger; RFC 4291 §2.5.1 has 64 bits of interface identifier on every link. */
const shortest = { 4: 16, 6: 64 } as const;
/** More local networks than this are no machine's own: a router may advertise as many prefixes as it likes. */
const mostNetworks = 64;

/** Why a directly attached network is reached through the tunnel all the same; undefined: it stays direct. */
export function distrust(subnet: IpPrefix, inside: PrefixTable<IpPrefix>): string | undefined {
  if (!privateNetworks.some((network) => prefixContains(network, subnet))) return 'its addresses are not private';
  const least = shortest[subnet.address.family];
  if (subnet.length < least) return `it is larger than a /${least}`;
  const known = overlapping(subnet, inside);
  return known && `it overlaps ${formatPrefix(known)}, which is inside`;
}

/** Why a network of this machine's own containers and virtual machines stays direct: no packet to it leaves. */
export const ownNetwork = 'network of a virtual bridge: it ends in this machine';

/** The directly attached networks that are looked at, each once. */
export function localNetworks(subnets: readonly IpPrefix[]): readonly IpPrefix[] {
  const found = new Map(subnets.filter(({ length }) => length > 0).map((one) => [formatPrefix(networkOf(one)), networkOf(one)]));
  return [...found.values()].slice(0, mostNetworks);
}

/** What the profile and the gateway say is inside: Routes (also those that a force tunnel does not need), pushed subnets, name servers. */
export function knownInside({ intent, facts }: LiveTunnel): PrefixTable<IpPrefix> {
  const table = new PrefixTable<IpPrefix>();
  const add = (prefix: IpPrefix): void => table.add(prefix, networkOf(prefix));
  for (const { prefix } of intent.inside) add(prefix);
  for (const prefix of [...facts.subnets, ...facts.addresses]) add(prefix);
  for (const selector of facts.remoteSelectors) if (selector.length > 0) add(selector);
  const servers: readonly IpAddress[] = [
    ...facts.dns,
    ...gatewayServers(facts).servers,
    ...intent.nameRules.flatMap((rule) => rule.servers),
  ];
  for (const server of servers) add({ address: server, length: server.bytes.length * 8 });
  return table;
}

function overlapping(subnet: IpPrefix, inside: PrefixTable<IpPrefix>): IpPrefix | undefined {
  return inside.around(subnet.address)[0] ?? inside.values().find((prefix) => prefixContains(subnet, prefix));
}
