import type { IpAddress } from '@aovpn/bytes';

/** Whole IP packets for sockets that take them as they are. Memory of their own: their address may be handed to the kernel. */

const udp = 17;
const icmpv6 = 58;

/** One UDP datagram (RFC 768) in IPv4 (RFC 791 §3.1) or IPv6 (RFC 8200 §3). @param hops time to live or hop limit */
export function encodeUdp(
  source: IpAddress,
  sourcePort: number,
  destination: IpAddress,
  destinationPort: number,
  payload: Uint8Array,
  hops: number,
): Uint8Array {
  const segment = new Uint8Array(8 + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, segment.length);
  segment.set(payload, 8);
  view.setUint16(6, checksumWithPseudoHeader(source, destination, udp, segment) || 0xffff);
  return encodeIp(source, destination, udp, segment, hops);
}

/** One ICMPv6 message (RFC 4443 §2.3); octets 2 and 3 of it become the checksum. */
export function encodeIcmpV6(source: IpAddress, destination: IpAddress, message: Uint8Array, hops: number): Uint8Array {
  const segment = Uint8Array.from(message);
  segment.fill(0, 2, 4);
  new DataView(segment.buffer).setUint16(2, checksumWithPseudoHeader(source, destination, icmpv6, segment));
  return encodeIp(source, destination, icmpv6, segment, hops);
}

function encodeIp(source: IpAddress, destination: IpAddress, protocol: number, segment: Uint8Array, hops: number): Uint8Array {
  const headerLength = source.family === 4 ? 20 : 40;
  const length = headerLength + segment.length;
  const packet = new Uint8Array(new ArrayBuffer(Math.max(128, length)), 0, length);
  const view = new DataView(packet.buffer);
  if (source.family === 4) {
    packet[0] = 0x45;
    view.setUint16(2, length);
    packet[8] = hops;
    packet[9] = protocol;
    packet.set(source.bytes, 12);
    packet.set(destination.bytes, 16);
    view.setUint16(10, fold(sum(packet.subarray(0, 20))));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, segment.length);
    packet[6] = protocol;
    packet[7] = hops;
    packet.set(source.bytes, 8);
    packet.set(destination.bytes, 24);
  }
  packet.set(segment, headerLength);
  return packet;
}

/** RFC 768 and RFC 8200 §8.1; the sums of both pseudo-headers are over the same numbers. */
function checksumWithPseudoHeader(source: IpAddress, destination: IpAddress, protocol: number, segment: Uint8Array): number {
  return fold(sum(source.bytes) + sum(destination.bytes) + protocol + segment.length + sum(segment));
}

function sum(octets: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < octets.length; at += 2) total += (octets[at]! << 8) | (octets[at + 1] ?? 0);
  return total;
}

/** RFC 1071. */
function fold(total: number): number {
  let rest = total;
  while (rest > 0xffff) rest = (rest & 0xffff) + (rest >>> 16);
  return ~rest & 0xffff;
}
