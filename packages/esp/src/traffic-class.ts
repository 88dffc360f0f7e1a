/**
 * The octet that IPv4 calls TOS and IPv6 Traffic Class, on its way in and out of a tunnel: ECN (RFC 6040, which RFC 7296 §2.24 asks for), and
 * DSCP (RFC 2983).
 */

/** The two bits of ECN (RFC 3168 §5). */
export const Ecn = { NOT_ECT: 0, ECT_1: 1, ECT_0: 2, CE: 3 } as const;

const ecnBits = 3;

/** The Traffic Class of the IP packet at `at`. */
export function trafficClassOf(octets: Uint8Array, at: number): number {
  const first = octets[at]!;
  return first >>> 4 === 4 ? octets[at + 1]! : ((first & 15) << 4) | (octets[at + 1]! >>> 4);
}

/** What the outer header of a packet gets: its ECN (RFC 6040 §4.1, normal mode), and its DSCP only where that is wished for. */
export function outerTrafficClass(inner: number, copyDscp: boolean): number {
  return copyDscp ? inner : inner & ecnBits;
}

/**
 * What the inner header of a received packet becomes, given both Traffic Classes (RFC 6040 §4.2); undefined: the packet is dropped, since it
 * met congestion and its sender cannot be told. The inner DSCP always stays (RFC 2983 §4, the pipe model).
 */
export function innerTrafficClass(inner: number, outer: number): number | undefined {
  const mark = outer & ecnBits;
  const ecn = inner & ecnBits;
  if (mark === Ecn.CE) return ecn === Ecn.NOT_ECT ? undefined : inner | Ecn.CE;
  return mark === Ecn.ECT_1 && ecn === Ecn.ECT_0 ? (inner & ~ecnBits) | Ecn.ECT_1 : inner;
}

/** Writes the Traffic Class of the IP packet at `at`; the header checksum of IPv4 stays right (RFC 1624). */
export function setTrafficClass(octets: Uint8Array, at: number, value: number): void {
  const first = octets[at]!;
  if (first >>> 4 === 6) {
    octets[at] = (first & 0xf0) | (value >>> 4);
    octets[at + 1] = ((value & 15) << 4) | (octets[at + 1]! & 15);
    return;
  }
  // HC' = ~(~HC + ~m + m')
  const sum = (octets[at + 10]! << 8) | octets[at + 11]!;
  const changed = (~sum & 0xffff) + (~octets[at + 1]! & 0xffff) + value;
  const folded = (changed & 0xffff) + (changed >>> 16);
  const checksum = ~((folded & 0xffff) + (folded >>> 16)) & 0xffff;
  octets[at + 1] = value;
  octets[at + 10] = checksum >>> 8;
  octets[at + 11] = checksum & 0xff;
}
