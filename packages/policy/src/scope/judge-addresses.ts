import {
  formatAddress,
  formatPrefix,
  parsePrefix,
  prefixContains,
  sameAddress,
  type IpAddress,
  type IpPrefix,
} from '@aovpn/bytes';
import type { Plan } from '../plan.ts';

/** What has addresses on this machine, besides a tunnel that a user has brought. */
export interface AddressOwners {
  /** Of the machine's own links, and its loopback. */
  readonly machine: readonly IpAddress[];
  /** Directly attached networks, those of containers and virtual machines included. */
  readonly attached: readonly IpPrefix[];
  /** Name servers and routers of the machine. */
  readonly servers: readonly IpAddress[];
  readonly plan: Plan;
}

/** RFC 1918, RFC 6598, RFC 4193: what the internet never leads to. */
const nobodys = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map((text) => parsePrefix(text)!);

/**
 * Why a gateway of a user's choice may not give this address: the kernel takes an address for its own, so nobody on this machine would reach who
 * has it otherwise. Undefined: it may.
 */
export function objectionToAddress(address: IpAddress, device: string, owners: AddressOwners): string | undefined {
  const text = formatAddress(address);
  if (!nobodys.some((prefix) => prefixContains(prefix, address))) return `${text} is no private address`;
  if ([...owners.machine, ...owners.servers].some((other) => sameAddress(other, address)))
    return `${text} belongs to this machine, its router or its name server`;
  const network = owners.attached.find((prefix) => prefixContains(prefix, address));
  if (network) return `${text} is in ${formatPrefix(network)}, which this machine is attached to`;
  const tunnel = owners.plan.tunnels.find(
    (other) => other.device !== device && other.addresses.some((prefix) => sameAddress(prefix.address, address)),
  );
  if (tunnel) return `${text} is an address of another tunnel`;
  // A way for everything says nothing about whose an address is.
  const route = owners.plan.routes.find(
    ({ kind, table, prefix }) => kind === 'tunnel' && table === undefined && prefix.length > 0 && prefixContains(prefix, address),
  );
  return route && `${text} is in ${formatPrefix(route.prefix)}, which another tunnel leads to`;
}
