import { addressFromBytes, type IpAddress } from '@aovpn/bytes';

/** What one packet on a link is, as far as its headers tell. */
export type WatchedPacket = IpPacket | { readonly kind: 'arp' } | { readonly kind: 'other'; readonly etherType: number };

export interface IpPacket {
  readonly kind: 'ip';
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IP protocol number, behind the extension headers of IPv6. */
  readonly protocol: number;
  /** Time to live or hop limit. */
  readonly hops: number;
  /** A later fragment has neither ports nor the beginning of the payload. */
  readonly fragment: 'none' | 'first' | 'later';
  /** TCP and UDP only. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Behind the header of UDP or TCP; behind the IP header for everything else. As much of it as was captured. */
  readonly payload: Uint8Array;
  /** Octets of the payload as the headers tell it, however much was captured. */
  readonly payloadLength: number;
}

export const etherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
/** IEEE 802.1Q and 802.1ad: four octets of tag, the last two of them the type of what follows. */
const tagTypes: ReadonlySet<number> = new Set([0x8100, 0x88a8]);
export const ipProtocol = { icmp: 1, igmp: 2, tcp: 6, udp: 17, esp: 50, icmpv6: 58 } as const;
/** Hop-by-hop, routing, destination options: RFC 8200 §4.1. */
const extensionHeaders: ReadonlySet<number> = new Set([0, 43, 60]);
const fragmentHeader = 44;

/**
 * Reads what follows the link-layer header. Octets that make no sense as what they claim to be are `other`: nobody can
 * say what they carry. A packet cut short by the capture is read as far as it goes.
 */
export function readPacket(type: number, octets: Uint8Array): WatchedPacket {
  if (tagTypes.has(type) && octets.length >= 4) return readPacket(u16(octets, 2), octets.subarray(4));
  if (type === etherType.arp) return { kind: 'arp' };
  if (type === etherType.ipv4) return readV4(octets) ?? { kind: 'other', etherType: type };
  if (type === etherType.ipv6) return readV6(octets) ?? { kind: 'other', etherType: type };
  return { kind: 'other', etherType: type };
}

/** RFC 791 §3.1. */
function readV4(octets: Uint8Array): IpPacket | undefined {
  if (octets.length < 20 || octets[0]! >> 4 !== 4) return undefined;
  const headerLength = (octets[0]! & 0x0f) * 4;
  if (headerLength < 20 || octets.length < headerLength) return undefined;
  const flags = u16(octets, 6);
  const offset = flags & 0x1fff;
  const more = (flags & 0x2000) !== 0;
  // Zero for what the kernel hands to the device to be cut into segments, when it is longer than 64 KiB.
  const total = u16(octets, 2) || octets.length;
  return withTransport(
    {
      kind: 'ip',
      source: addressFromBytes(octets.slice(12, 16)),
      destination: addressFromBytes(octets.slice(16, 20)),
      protocol: octets[9]!,
      hops: octets[8]!,
      fragment: offset > 0 ? 'later' : more ? 'first' : 'none',
    },
    octets.subarray(headerLength, Math.max(headerLength, total)),
    Math.max(0, total - headerLength),
  );
}

/** RFC 8200 §3 and §4. */
function readV6(octets: Uint8Array): IpPacket | undefined {
  if (octets.length < 40 || octets[0]! >> 4 !== 6) return undefined;
  let protocol = octets[6]!;
  let at = 40;
  let fragment: IpPacket['fragment'] = 'none';
  const total = 40 + (u16(octets, 4) || octets.length - 40);
  while (extensionHeaders.has(protocol) || protocol === fragmentHeader) {
    if (octets.length < at + 8) return undefined;
    if (protocol === fragmentHeader) {
      const place = u16(octets, at + 2);
      fragment = place >> 3 > 0 ? 'later' : place & 1 ? 'first' : 'none';
    }
    const next = octets[at]!;
    at += protocol === fragmentHeader ? 8 : 8 + octets[at + 1]! * 8;
    protocol = next;
    if (fragment === 'later') break;
  }
  return withTransport(
    {
      kind: 'ip',
      source: addressFromBytes(octets.slice(8, 24)),
      destination: addressFromBytes(octets.slice(24, 40)),
      protocol,
      hops: octets[7]!,
      fragment,
    },
    octets.subarray(at, Math.max(at, total)),
    Math.max(0, total - at),
  );
}

function withTransport(header: Omit<IpPacket, 'payload' | 'payloadLength'>, segment: Uint8Array, length: number): IpPacket {
  if (header.fragment !== 'later') {
    const { udp, tcp } = ipProtocol;
    const ports = { sourcePort: u16(segment, 0), destinationPort: u16(segment, 2) };
    if (header.protocol === udp && segment.length >= 8)
      return { ...header, ...ports, payload: segment.slice(8), payloadLength: Math.max(0, length - 8) };
    if (header.protocol === tcp && segment.length >= 20) {
      const own = (segment[12]! >> 4) * 4;
      return { ...header, ...ports, payload: segment.slice(own), payloadLength: Math.max(0, length - own) };
    }
  }
  return { ...header, payload: segment.slice(), payloadLength: length };
}

function u16(octets: Uint8Array, at: number): number {
  return ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
}
