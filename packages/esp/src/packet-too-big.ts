import { foldSum, sumPseudoHeader, sumWords } from './checksum.ts';

/**
 * The ICMP error that tells the sender of an inner packet how long packets may be: "fragmentation needed" (RFC 1191) or "packet too big"
 * (RFC 4443 §3.2). It seems to come from where the packet was going, as there is no router in between.
 * undefined when an error must not be sent: IPv4 that may be fragmented, or an ICMP error itself (RFC 1122 §3.2.2).
 */
export function packetTooBig(octets: Uint8Array, at: number, length: number, mtu: number): Uint8Array | undefined {
  return octets[at]! >>> 4 === 4 ? tooBigV4(octets, at, length, mtu) : tooBigV6(octets, at, length, mtu);
}

function tooBigV4(octets: Uint8Array, at: number, length: number, mtu: number): Uint8Array | undefined {
  const dontFragment = (octets[at + 6]! & 0x40) !== 0;
  const fragmentOffset = ((octets[at + 6]! & 0x1f) << 8) | octets[at + 7]!;
  if (!dontFragment || fragmentOffset !== 0) return undefined;
  const headerLength = (octets[at]! & 15) * 4;
  if (octets[at + 9] === 1) {
    const type = octets[at + headerLength];
    if (type === 3 || type === 4 || type === 5 || type === 11 || type === 12) return undefined;
  }
  // RFC 1812 §4.3.2.3: as much of the original as fits in 576 octets.
  const quoted = Math.min(length, 576 - 28);
  const error = new Uint8Array(28 + quoted);
  const view = new DataView(error.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, error.length);
  view.setUint16(6, 0x4000);
  view.setUint8(8, 64);
  view.setUint8(9, 1);
  error.set(octets.subarray(at + 16, at + 20), 12);
  error.set(octets.subarray(at + 12, at + 16), 16);
  view.setUint16(10, ~foldSum(sumWords(error, 0, 20)) & 0xffff);
  view.setUint8(20, 3);
  view.setUint8(21, 4);
  view.setUint16(26, mtu);
  error.set(octets.subarray(at, at + quoted), 28);
  view.setUint16(22, ~foldSum(sumWords(error, 20, 8 + quoted)) & 0xffff);
  return error;
}

function tooBigV6(octets: Uint8Array, at: number, length: number, mtu: number): Uint8Array | undefined {
  // RFC 4443 §2.4 (e): never about an ICMPv6 error (types below 128).
  if (octets[at + 6] === 58 && length > 40 && octets[at + 40]! < 128) return undefined;
  const quoted = Math.min(length, 1280 - 48);
  const error = new Uint8Array(48 + quoted);
  const view = new DataView(error.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, 8 + quoted);
  view.setUint8(6, 58);
  view.setUint8(7, 64);
  error.set(octets.subarray(at + 24, at + 40), 8);
  error.set(octets.subarray(at + 8, at + 24), 24);
  view.setUint8(40, 2);
  view.setUint32(44, mtu);
  error.set(octets.subarray(at, at + quoted), 48);
  view.setUint16(42, ~foldSum(sumPseudoHeader(error, 0, 58, 8 + quoted) + sumWords(error, 40, 8 + quoted)) & 0xffff);
  return error;
}
