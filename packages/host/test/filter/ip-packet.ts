import type { IpAddress } from '@aovpn/bytes';
import type { Packet } from '@aovpn/policy';

/** What tells one packet of these tests from another. */
export interface Tuple {
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

export function tupleOf({ direction, protocol, local, remote, localPort, remotePort }: Packet): Tuple {
  const out = direction === 'out';
  const ports =
    localPort === undefined || remotePort === undefined
      ? {}
      : out
        ? { sourcePort: localPort, destinationPort: remotePort }
        : { sourcePort: remotePort, destinationPort: localPort };
  return { protocol, source: out ? local : remote, destination: out ? remote : local, ...ports };
}

/** An IP packet: a UDP datagram, a TCP SYN (or the RST that ends what it began) or an ICMP echo request. */
export function encodePacket(
  { protocol, source, destination, sourcePort, destinationPort }: Tuple,
  kind: 'first' | 'reset' = 'first',
): Uint8Array {
  const payload = encodePayload(protocol, sourcePort ?? 0, destinationPort ?? 0, kind);
  const v4 = source.family === 4;
  const packet = new Uint8Array((v4 ? 20 : 40) + payload.length);
  const view = new DataView(packet.buffer);
  const sumAt = { 1: 2, 6: 16, 17: 6, 58: 2 }[protocol]!;
  const pseudo = new Uint8Array([
    ...source.bytes,
    ...destination.bytes,
    0,
    0,
    payload.length >> 8,
    payload.length & 255,
    0,
    0,
    0,
    protocol,
  ]);
  const sum = checksum(protocol === 1 ? payload : new Uint8Array([...pseudo, ...payload]));
  new DataView(payload.buffer).setUint16(sumAt, sum);
  if (v4) {
    packet.set([0x45, 0, packet.length >> 8, packet.length & 255, 0, 0, 0, 0, 64, protocol]);
    packet.set(source.bytes, 12);
    packet.set(destination.bytes, 16);
    view.setUint16(10, checksum(packet.subarray(0, 20)));
  } else {
    packet.set([0x60, 0, 0, 0, payload.length >> 8, payload.length & 255, protocol, 64]);
    packet.set(source.bytes, 8);
    packet.set(destination.bytes, 24);
  }
  packet.set(payload, v4 ? 20 : 40);
  return packet;
}

/** Whether an IP packet is of this tuple; for ICMP, an echo request of it. */
export function isPacketOf(packet: Uint8Array, { protocol, source, destination, sourcePort, destinationPort }: Tuple): boolean {
  const v4 = packet[0]! >> 4 === 4;
  if (v4 !== (source.family === 4)) return false;
  const header = v4 ? (packet[0]! & 15) * 4 : 40;
  const same = (at: number, bytes: Uint8Array): boolean => bytes.every((octet, i) => packet[at + i] === octet);
  if (packet[v4 ? 9 : 6] !== protocol || !same(v4 ? 12 : 8, source.bytes) || !same(v4 ? 16 : 24, destination.bytes)) return false;
  if (sourcePort === undefined || destinationPort === undefined) return packet[header] === (v4 ? 8 : 128);
  const view = new DataView(packet.buffer, packet.byteOffset);
  return view.getUint16(header) === sourcePort && view.getUint16(header + 2) === destinationPort;
}

function encodePayload(
  protocol: number,
  sourcePort: number,
  destinationPort: number,
  kind: 'first' | 'reset',
): Uint8Array<ArrayBuffer> {
  const ports = [sourcePort >> 8, sourcePort & 255, destinationPort >> 8, destinationPort & 255];
  switch (protocol) {
    case 1:
      return Uint8Array.of(8, 0, 0, 0, 0, 7, 0, 1);
    case 58:
      return Uint8Array.of(128, 0, 0, 0, 0, 7, 0, 1);
    case 6:
      return Uint8Array.of(
        ...ports,
        0,
        0,
        0,
        kind === 'first' ? 1 : 2,
        0,
        0,
        0,
        0,
        0x50,
        kind === 'first' ? 2 : 4,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
      );
    case 17:
      return Uint8Array.of(...ports, 0, 9, 0, 0, 0x78);
    default:
      throw new TypeError(`no packet of protocol ${protocol}`);
  }
}

/** RFC 1071. */
function checksum(octets: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < octets.length; i += 2) sum += (octets[i]! << 8) | (octets[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
