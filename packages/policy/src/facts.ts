import type { IpAddress, IpPrefix } from '@aovpn/bytes';
import type { NumberRange, Position } from '@aovpn/profile';

/** Why an item of the plan exists: the profile and the line that asked for it, in words. */
export interface Because {
  /** Profile name; empty for what the machine itself needs. */
  readonly profile: string;
  readonly at?: Position;
  readonly why: string;
}

/** A value that knows where it comes from. */
export interface Sourced<T> {
  readonly value: T;
  readonly because: Because;
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
  /** Absent: the gateway names none. */
  readonly encryptedDns?: EncryptedDnsFacts;
  readonly subnets: readonly IpPrefix[];
  /** Narrowed TSr as prefixes, for PlumbIKEv2TSAsRoutes; empty: not known. */
  readonly remoteSelectors: readonly IpPrefix[];
  /** The gateway's outer address: never routed into a tunnel. */
  readonly gateway: IpAddress;
  /** The kernel sends its ESP: such packets have the daemon's mark, and the socket of the program whose packet is inside. */
  readonly kernelEsp?: boolean;
  /** Addresses of the names of the settings that go into the tunnel or beside it. */
  readonly names?: readonly NamedAddresses[];
}

/** What the gateway says of encrypted resolvers (RFC 9464), and what the settings say to that. */
export interface EncryptedDnsFacts {
  /**
   * `strict`: where one of them can be asked, nobody is asked in the clear. `fallback`: the gateway's clear ones are, when none of them gives an answer.
   * `off`: they are not used.
   */
  readonly use: 'strict' | 'fallback' | 'off';
  /** The most wanted first. */
  readonly resolvers: readonly NamedResolver[];
  /** PEM: whose certificates prove them; absent: those of the system's authorities. */
  readonly authorities?: string;
}

export interface NamedResolver {
  /** Authentication domain name. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  /** ALPN, such as `dot`, `h2`. */
  readonly protocols: readonly string[];
  /** Absent: the protocol's own. */
  readonly port?: number;
  /** Any of these is the digest of its key. */
  readonly digests?: readonly KeyDigest[];
}

/** Of a SubjectPublicKeyInfo in DER. */
export interface KeyDigest {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly octets: Uint8Array;
}

/** What is known of one name of `include-names` or `exclude-names`. */
export interface NamedAddresses {
  readonly name: string;
  readonly exclude: boolean;
  readonly addresses: readonly IpAddress[];
  /** A name server of the company said so, through the tunnel; otherwise whoever answers on the local network. */
  readonly fromInside: boolean;
  /** Why there are none, or none that are new. */
  readonly problem?: string;
}

/** What the policy room must know about the machine. */
export interface HostFacts {
  readonly resolver: 'systemd-resolved' | 'stub';
  readonly physicalDns: readonly IpAddress[];
  /** Search list of the machine without us; our own domains go in front of it. */
  readonly physicalSearch?: readonly string[];
  /** The metric that Windows would give the link that the machine's own traffic leaves by; a family without one has no such link. */
  readonly physicalMetric?: { readonly v4?: LinkMetric; readonly v6?: LinkMetric };
  /** `SO_MARK` of the daemon's own outer packets; 0 for none. */
  readonly mark: number;
  /** Networks that are directly attached to physical links (host bits zero), for ByPassForLocal and for more specific local networks. */
  readonly localSubnets?: readonly IpPrefix[];
  /** Networks of virtual bridges that no link outside of this machine is a port of: containers and virtual machines. */
  readonly ownSubnets?: readonly IpPrefix[];
  /** User ids under which the machine's resolver asks, other than 0 (systemd-resolved has one of its own). */
  readonly resolverUsers?: readonly NumberRange[];
}

export interface LinkMetric {
  readonly device: string;
  readonly value: number;
}

/** The reason as one line: `profile "Corp" line 12: Route`. */
export function formatBecause(because: Because): string {
  const who = because.profile === '' ? 'this machine' : `profile ${JSON.stringify(because.profile)}`;
  return `${who}${because.at ? ` line ${because.at.line}` : ''}: ${because.why}`;
}
