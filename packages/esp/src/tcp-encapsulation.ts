import { concat } from '@aovpn/bytes';

/** What the side that opens a TCP connection sends first, once: `IKETCP` (RFC 9329 §4). */
export const streamPrefix = Uint8Array.of(0x49, 0x4b, 0x45, 0x54, 0x43, 0x50);

/** Octets of the length before each message, which counts itself (RFC 9329 §3). */
export const streamLengthOctets = 2;

/** The longest message: IKE with its non-ESP marker, or an ESP packet. */
export const longestStreamMessage = 0xffff - streamLengthOctets;

/** A message behind its length. @throws {RangeError} for one that is too long */
export function streamFrame(message: Uint8Array): Uint8Array {
  if (message.length > longestStreamMessage) throw new RangeError(`a message of ${message.length} octets in TCP`);
  const length = message.length + streamLengthOctets;
  return concat(Uint8Array.of(length >> 8, length & 0xff), message);
}

/**
 * Takes whole messages out of what has come in so far; they lie in `buffered`. `problem`: this is no such stream, and nothing after it can
 * be read, so that the connection is of no use any more (RFC 9329 §3).
 */
export function readStream(buffered: Uint8Array): {
  readonly messages: readonly Uint8Array[];
  readonly rest: Uint8Array;
  readonly problem?: string;
} {
  const messages: Uint8Array[] = [];
  let at = 0;
  while (buffered.length - at >= streamLengthOctets) {
    const length = (buffered[at]! << 8) | buffered[at + 1]!;
    if (length < streamLengthOctets) return { messages, rest: new Uint8Array(0), problem: `a length of ${length}` };
    if (buffered.length - at < length) break;
    if (length > streamLengthOctets) messages.push(buffered.subarray(at + streamLengthOctets, at + length));
    at += length;
  }
  return { messages, rest: buffered.subarray(at) };
}
