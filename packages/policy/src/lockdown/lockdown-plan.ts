import type { IpAddress } from '@aovpn/bytes';
import type { Because } from '../facts.ts';
import type { CgroupName } from '../filter/ruleset-line.ts';

/**
 * What may leave the machine while a profile with LockDown is in force: what is named here, loopback, DHCP and the neighbour discovery that
 * any link needs. Everything else of both families is refused, also for forwarded packets. See docs/security.md.
 */
export interface LockdownPlan {
  /** Why, one for each profile with LockDown, by name; never empty. */
  readonly because: readonly Because[];
  /** Devices of the tunnels of these profiles, while they are up: everything may go through them. */
  readonly devices: readonly string[];
  /** Where the daemon itself may send IKE and ESP. */
  readonly gateways: readonly GatewayEndpoint[];
  /** The machine's own name servers: the daemon itself may ask them for the names of gateways. */
  readonly resolvers: readonly IpAddress[];
  /** `SO_MARK` of the daemon's own sockets; 0: it may send nothing. Only sockets of uid 0 with this mark count as its own. */
  readonly mark: number;
  /** Present when the kernel sends ESP for one of the devices, with that mark and sockets of other programs. */
  readonly kernelEsp?: true;
  /** Where the daemon itself asks by TCP whether this network wants a sign-in, while it asks. */
  readonly questions?: readonly GatewayEndpoint[];
  /** Present while somebody signs in to a network through its portal. */
  readonly portal?: PortalHole;
}

/** One place of a gateway: UDP and TCP on `port`, and UDP 500, on which an `aovpn doctor` asks. */
export interface GatewayEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/**
 * The hole for a captive portal: sockets that were made in this cgroup may go to the physical network by TCP on these ports, and ask its name
 * servers. The kernel closes it at `until` by itself, whether the daemon lives or not.
 */
export interface PortalHole {
  /** Must exist when the plan is applied. */
  readonly cgroup: CgroupName;
  /** Milliseconds since 1970. */
  readonly until: number;
  /** TCP ports, such as 80 and 443. */
  readonly ports: readonly number[];
  readonly because: Because;
}
