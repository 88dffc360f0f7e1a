import type { IpAddress, IpPrefix } from '@aovpn/bytes';
import type { Position } from '@aovpn/profile';

/** Why an item of the plan exists: the profile and the line that asked for it, in words. */
export interface Because {
  /** Profile name; empty for what the machine itself needs. */
  readonly profile: string;
  readonly at?: Position;
  readonly why: string;
}

/** What the policy room must know about one tunnel that is up (or about to be). */
export interface TunnelFacts {
  readonly profile: string;
  /** Device name, at most 15 characters. */
  readonly device: string;
  readonly mtu: number;
  readonly addresses: readonly IpPrefix[];
  /** Pushed by the gateway (configuration payload). */
  readonly dns: readonly IpAddress[];
  readonly dnsDomains: readonly string[];
  readonly subnets: readonly IpPrefix[];
  /** Narrowed TSr as prefixes, for PlumbIKEv2TSAsRoutes. */
  readonly remoteSelectors: readonly IpPrefix[];
  /** The gateway's outer address: never routed into a tunnel. */
  readonly gateway: IpAddress;
}

/** What the policy room must know about the machine. */
export interface HostFacts {
  readonly resolver: 'systemd-resolved' | 'stub';
  readonly physicalDns: readonly IpAddress[];
  /** `SO_MARK` of the daemon's own outer packets. */
  readonly mark: number;
}
