import { littleEndian } from '../sys/index.ts';

/** One netlink message without its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

export type Attribute = readonly [type: number, value: Uint8Array];

const headerLength = 16;

/** `struct nlmsghdr`, the fixed part, attributes; padded to four octets (netlink(7)). */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  fixed: Uint8Array,
  attributes: readonly Attribute[],
): Uint8Array {
  const length = headerLength + align(fixed.length) + attributes.reduce((sum, [, value]) => sum + align(4 + value.length), 0);
  const message = new Uint8Array(length);
  const view = new DataView(message.buffer);
  view.setUint32(0, length, littleEndian);
  view.setUint16(4, type, littleEndian);
  view.setUint16(6, flags, littleEndian);
  view.setUint32(8, sequence, littleEndian);
  message.set(fixed, headerLength);
  let at = headerLength + align(fixed.length);
  // Straight into the message: an attribute may be a key, and there is one copy to overwrite.
  for (const [attributeType, value] of attributes) {
    view.setUint16(at, 4 + value.length, littleEndian);
    view.setUint16(at + 2, attributeType, littleEndian);
    message.set(value, at + 4);
    at += align(4 + value.length);
  }
  return message;
}

/** The messages of one datagram. A length that leads outside ends the list: the kernel never does that. */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = viewOf(datagram);
  for (let at = 0; at + headerLength <= datagram.length;) {
    const length = view.getUint32(at, littleEndian);
    if (length < headerLength || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, littleEndian),
      flags: view.getUint16(at + 6, littleEndian),
      sequence: view.getUint32(at + 8, littleEndian),
      body: datagram.subarray(at + headerLength, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Attributes behind a fixed part; of a type that occurs twice the last one counts. */
export function decodeAttributes(body: Uint8Array, fixedLength: number): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  const view = viewOf(body);
  for (let at = align(fixedLength); at + 4 <= body.length;) {
    const length = view.getUint16(at, littleEndian);
    if (length < 4 || at + length > body.length) break;
    // The two highest bits say "nested" and "network byte order".
    attributes.set(view.getUint16(at + 2, littleEndian) & 0x3fff, body.subarray(at + 4, at + length));
    at += align(length);
  }
  return attributes;
}

export function u32(value: number): Uint8Array {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setUint32(0, value, littleEndian);
  return octets;
}

export function readU32(octets: Uint8Array | undefined, at = 0): number | undefined {
  return octets && octets.length >= at + 4 ? viewOf(octets).getUint32(at, littleEndian) : undefined;
}

export function readText(octets: Uint8Array | undefined): string | undefined {
  return octets && new TextDecoder().decode(octets).replace(/\0.*$/s, '');
}

export function viewOf(octets: Uint8Array): DataView {
  return new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
}

function align(length: number): number {
  return (length + 3) & ~3;
}
