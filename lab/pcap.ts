/** One frame as it was on the wire, with what our own parser makes of it. */
export interface WirePacket {
  /** Seconds since the epoch. */
  readonly at: number;
  readonly frame: Buffer;
  /** IP protocol number after IPv6 extension headers; or what kind of frame it is when it is not IP. */
  readonly protocol: number | 'arp' | 'other';
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** What follows the UDP header, or the IP header for anything but UDP and TCP. Absent in later fragments. */
  readonly payload?: Buffer;
}

const fileHeader = 24;
const recordHeader = 16;
const ethernet = 1;
const extensionHeaders = new Set([0, 43, 60]);

/** Reads the classic format of `tcpdump -w` (little-endian, microseconds, Ethernet); an unfinished last record is left out. */
export function parsePcap(file: Buffer): readonly WirePacket[] {
  if (file.length < fileHeader) return [];
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== ethernet)
    throw new Error('not a capture of an Ethernet device');
  const packets: WirePacket[] = [];
  for (let at = fileHeader; at + recordHeader <= file.length;) {
    const length = file.readUInt32LE(at + 8);
    if (at + recordHeader + length > file.length) break;
    packets.push(
      parseFrame(
        file.readUInt32LE(at) + file.readUInt32LE(at + 4) / 1e6,
        file.subarray(at + recordHeader, at + recordHeader + length),
      ),
    );
    at += recordHeader + length;
  }
  return packets;
}

function parseFrame(at: number, frame: Buffer): WirePacket {
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(14);
  if (type === 0x0806) return { at, frame, protocol: 'arp', source: '', destination: '' };
  if (type === 0x0800) return parseV4(at, frame, packet);
  if (type === 0x86dd) return parseV6(at, frame, packet);
  return { at, frame, protocol: 'other', source: '', destination: '' };
}

function parseV4(at: number, frame: Buffer, packet: Buffer): WirePacket {
  const source = [...packet.subarray(12, 16)].join('.');
  const destination = [...packet.subarray(16, 20)].join('.');
  const protocol = packet[9]!;
  const laterFragment = (packet.readUInt16BE(6) & 0x1fff) !== 0;
  if (laterFragment) return { at, frame, protocol, source, destination };
  return {
    at,
    frame,
    protocol,
    source,
    destination,
    ...transport(protocol, packet.subarray((packet[0]! & 0x0f) * 4, packet.readUInt16BE(2) || undefined)),
  };
}

function parseV6(at: number, frame: Buffer, packet: Buffer): WirePacket {
  const source = v6Text(packet.subarray(8, 24));
  const destination = v6Text(packet.subarray(24, 40));
  let protocol = packet[6]!;
  let rest = packet.subarray(40, 40 + packet.readUInt16BE(4));
  while (extensionHeaders.has(protocol) && rest.length >= 8) {
    protocol = rest[0]!;
    rest = rest.subarray(8 + rest[1]! * 8);
  }
  return { at, frame, protocol, source, destination, ...transport(protocol, rest) };
}

function transport(protocol: number, segment: Buffer): Pick<WirePacket, 'sourcePort' | 'destinationPort' | 'payload'> {
  if (protocol === 17 && segment.length >= 8) {
    return { sourcePort: segment.readUInt16BE(0), destinationPort: segment.readUInt16BE(2), payload: segment.subarray(8) };
  }
  if (protocol === 6 && segment.length >= 20) {
    return {
      sourcePort: segment.readUInt16BE(0),
      destinationPort: segment.readUInt16BE(2),
      payload: segment.subarray((segment[12]! >> 4) * 4),
    };
  }
  return { payload: segment };
}

/** The canonical text (RFC 5952). */
function v6Text(octets: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
