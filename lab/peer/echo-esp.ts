import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { ResponderChild } from '../../packages/ike/testkit/responder-sa.ts';

/** What `answer` needs of a CHILD_SA: AES-GCM with a 16-octet ICV, the salt at the end of each key (RFC 4106 §4, §8.1). */
type EspChild = Pick<ResponderChild, 'spiOut' | 'inbound' | 'outbound'>;

/**
 * ESP (RFC 4303) of a gateway that stands for the whole network behind it: UDP comes back from where it was sent to, and pings are
 * answered. Everything else vanishes. Written apart from the product's own ESP.
 */
export class EchoEsp {
  readonly #sequences = new Map<number, number>();
  /** Whether a CHILD_SA has extended sequence numbers, by `spiOut`. */
  readonly #extended = new Map<number, boolean>();

  /** The datagram that answers an ESP packet; undefined when there is none. @throws when the packet is not authentic */
  answer(child: EspChild, packet: Buffer): Buffer | undefined {
    const inner = this.open(child, packet);
    const reply = inner && echo(inner);
    return reply && this.seal(child, reply);
  }

  /** The packet inside. @throws when it is not authentic */
  open(child: EspChild, packet: Buffer): Buffer | undefined {
    // What was negotiated shows in the first packet: with extended sequence numbers the upper half, here always 0, is authenticated as well.
    const esn = !opens(child.inbound.encryptionKey, packet, false);
    this.#extended.set(child.spiOut, esn);
    return open(child.inbound.encryptionKey, packet, esn);
  }

  /** ESP around an IP packet; of a CHILD_SA that something has come in by. */
  seal(child: EspChild, packet: Buffer): Buffer {
    const sequence = (this.#sequences.get(child.spiOut) ?? 0) + 1;
    this.#sequences.set(child.spiOut, sequence);
    const nextHeader = packet[0]! >> 4 === 4 ? 4 : 41;
    const esn = this.#extended.get(child.spiOut) ?? false;
    return seal(child.outbound.encryptionKey, child.spiOut, sequence, nextHeader, packet, esn);
  }
}

function opens(key: Uint8Array, packet: Buffer, esn: boolean): boolean {
  try {
    open(key, packet, esn);
    return true;
  } catch {
    return false;
  }
}

function open(key: Uint8Array, packet: Buffer, esn: boolean): Buffer | undefined {
  if (packet.length < 8 + 8 + 4 + 16) return undefined;
  const decipher = createDecipheriv(cipherOf(key), key.subarray(0, -4), nonceOf(key, packet.subarray(8, 16)));
  decipher.setAAD(additionalData(packet, esn)).setAuthTag(packet.subarray(-16));
  const plain = Buffer.concat([decipher.update(packet.subarray(16, -16)), decipher.final()]);
  const padding = plain.at(-2)!;
  return plain.subarray(0, plain.length - 2 - padding);
}

function seal(key: Uint8Array, spi: number, sequence: number, nextHeader: number, inner: Buffer, esn: boolean): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(spi, 0);
  header.writeUInt32BE(sequence, 4);
  header.writeUInt32BE(sequence, 12);
  const padding = (4 - ((inner.length + 2) % 4)) % 4;
  const trailer = Buffer.from([...Array.from({ length: padding }, (_, i) => i + 1), padding, nextHeader]);
  const cipher = createCipheriv(cipherOf(key), key.subarray(0, -4), nonceOf(key, header.subarray(8, 16)));
  cipher.setAAD(additionalData(header, esn));
  return Buffer.concat([header, cipher.update(Buffer.concat([inner, trailer])), cipher.final(), cipher.getAuthTag()]);
}

/** RFC 4106 §5. */
function additionalData(packet: Buffer, esn: boolean): Buffer {
  return esn ? Buffer.concat([packet.subarray(0, 4), Buffer.alloc(4), packet.subarray(4, 8)]) : packet.subarray(0, 8);
}

const cipherOf = (key: Uint8Array): 'aes-128-gcm' | 'aes-256-gcm' => (key.length === 20 ? 'aes-128-gcm' : 'aes-256-gcm');
const nonceOf = (key: Uint8Array, iv: Uint8Array): Buffer => Buffer.concat([key.subarray(-4), iv]);

/** The answer of whoever was addressed. Addresses and ports change places, which leaves sums as they are. */
function echo(packet: Buffer): Buffer | undefined {
  const reply = Buffer.from(packet);
  const version = packet[0]! >> 4;
  const headerLength = version === 4 ? (packet[0]! & 15) * 4 : 40;
  const protocol = packet[version === 4 ? 9 : 6] ?? 0;
  const [source, length] = version === 4 ? [12, 4] : [8, 16];
  if ((version !== 4 && version !== 6) || packet.length < headerLength + 8) return undefined;
  packet.copy(reply, source, source + length, source + 2 * length);
  packet.copy(reply, source + length, source, source + length);
  switch (protocol) {
    case 17:
      packet.copy(reply, headerLength, headerLength + 2, headerLength + 4);
      packet.copy(reply, headerLength + 2, headerLength, headerLength + 2);
      return reply;
    case 1:
      return packet[headerLength] === 8 ? pong(reply, headerLength, 0, 8 << 8) : undefined;
    case 58:
      return packet[headerLength] === 128 ? pong(reply, headerLength, 129, -(1 << 8)) : undefined;
    default:
      return undefined;
  }
}

/** An echo request becomes the reply; `more` is what its sum gains (RFC 1624). */
function pong(packet: Buffer, at: number, type: number, more: number): Buffer {
  packet[at] = type;
  let sum = packet.readUInt16BE(at + 2) + more;
  if (sum < 0) sum += 0xffff;
  packet.writeUInt16BE((sum & 0xffff) + (sum >> 16), at + 2);
  return packet;
}
