import type { ExportedSecret } from '@aovpn/api';

type Datagram = Extract<ExportedSecret, { readonly kind: 'datagram' }>;

/** LINKTYPE_RAW: packets begin with their IP header. */
const linktypeRaw = 101;
const udp = 17;
/** Before IKE on the port that it shares with ESP (RFC 3948 §2.2). */
const nonEspMarker = Buffer.alloc(4);

/** The file header of a capture (draft-ietf-opsawg-pcap), microseconds, little-endian. */
export function pcapHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(linktypeRaw, 20);
  return header;
}

/** One IKE message as the datagram that it was, as far as it is known: fields below UDP are made up. */
export function pcapPacket({ at, direction, local, remote, message }: Datagram): Buffer {
  const [from, to] = direction === 'out' ? [local, remote] : [remote, local];
  const payload = Buffer.concat([nonEspMarker, Buffer.from(message, 'hex')]);
  const source = Buffer.from(from.address, 'hex');
  const destination = Buffer.from(to.address, 'hex');
  const datagram = Buffer.alloc(8 + payload.length);
  datagram.writeUInt16BE(from.port, 0);
  datagram.writeUInt16BE(to.port, 2);
  datagram.writeUInt16BE(datagram.length, 4);
  payload.copy(datagram, 8);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(datagram.length, 0);
  pseudo.writeUInt8(udp, 7);
  datagram.writeUInt16BE(checksum(Buffer.concat([source, destination, pseudo, datagram])) || 0xffff, 6);
  const packet = Buffer.concat([
    from.family === 4 ? header4(source, destination, datagram.length) : header6(source, destination, datagram.length),
    datagram,
  ]);
  const record = Buffer.alloc(16);
  record.writeUInt32LE(Math.floor(at / 1000), 0);
  record.writeUInt32LE(Math.round((at % 1000) * 1000), 4);
  record.writeUInt32LE(packet.length, 8);
  record.writeUInt32LE(packet.length, 12);
  return Buffer.concat([record, packet]);
}

function header4(source: Buffer, destination: Buffer, length: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt8(64, 8);
  header.writeUInt8(udp, 9);
  source.copy(header, 12);
  destination.copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function header6(source: Buffer, destination: Buffer, length: number): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(length, 4);
  header.writeUInt8(udp, 6);
  header.writeUInt8(64, 7);
  source.copy(header, 8);
  destination.copy(header, 24);
  return header;
}

/** RFC 1071. */
function checksum(octets: Buffer): number {
  let sum = 0;
  for (let i = 0; i < octets.length; i += 2) sum += (octets[i]! << 8) | (octets[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
