import { concat, Writer } from '@aovpn/bytes';
import type { IkeCrypto } from '../crypto/port.ts';
import { PayloadType } from '../registry/payload-type.ts';
import { encodeHeader, ikeHeaderLength, payloadHeaderLength } from './header.ts';
import { encodePayloads } from './payload-chain.ts';
import type { Message } from './payload.ts';
import { protect, protectedLength } from './protection.ts';
import type { DirectionKeys, IkeSuite } from './suite.ts';

/** Octets of Fragment Number and Total Fragments (RFC 7383 §2.5). */
export const fragmentHeaderLength = 4;

/** Octets before each IKE message on port 4500 (RFC 7296 §2.23, RFC 3948 §2.2). */
const nonEspMarkerLength = 4;

interface Fragment {
  readonly number: number;
  readonly total: number;
}

/**
 * Protects a message: as one SK payload or, when that is too long for `fragmentSize`, as SKF fragments in order (RFC 7383 §2.5).
 * Every call draws new IVs, so a retransmission must send the octets that were kept, not seal again.
 * @param keys those of the direction in which the message goes
 * @param fragmentSize largest UDP payload in octets, the non-ESP marker included; undefined: never fragment
 * @throws {RangeError} for a message that does not fit, which is our own mistake
 */
export function sealMessage(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  message: Message,
  fragmentSize?: number,
): Uint8Array[] {
  const { firstType, octets } = encodePayloads(message.payloads);
  const largest = fragmentSize === undefined ? Number.POSITIVE_INFINITY : fragmentSize - nonEspMarkerLength;
  const whole = ikeHeaderLength + payloadHeaderLength + protectedLength(suite, octets.length);
  if (whole <= largest) return [sealOne(crypto, suite, keys, message, firstType, octets)];

  const room = fragmentRoom(suite, largest);
  const total = Math.ceil(octets.length / room);
  if (total > 0xffff) throw new RangeError(`a message of ${octets.length} octets in fragments of ${room}`);
  const fragments: Uint8Array[] = [];
  for (let number = 1; number <= total; number++) {
    const part = octets.subarray((number - 1) * room, number * room);
    // Only the first fragment says what the first payload is.
    fragments.push(sealOne(crypto, suite, keys, message, number === 1 ? firstType : PayloadType.NONE, part, { number, total }));
  }
  return fragments;
}

function sealOne(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  message: Message,
  firstType: number,
  payloads: Uint8Array,
  fragment?: Fragment,
): Uint8Array {
  const overhead = payloadHeaderLength + (fragment ? fragmentHeaderLength : 0);
  const payloadLength = overhead + protectedLength(suite, payloads.length);
  if (payloadLength > 0xffff) throw new RangeError(`a message of ${payloads.length} octets without fragmentation`);
  const writer = new Writer(ikeHeaderLength + overhead);
  encodeHeader(writer, message.header, fragment ? PayloadType.SKF : PayloadType.SK, ikeHeaderLength + payloadLength);
  writer.u8(firstType).u8(0).u16(payloadLength);
  if (fragment) writer.u16(fragment.number).u16(fragment.total);
  const prefix = writer.finish();
  return concat(prefix, protect(crypto, suite, keys, prefix, payloads));
}

/** The most octets of payloads that go into one fragment of `largest` octets. */
function fragmentRoom(suite: IkeSuite, largest: number): number {
  const fixed = ikeHeaderLength + payloadHeaderLength + fragmentHeaderLength;
  let room = largest - fixed;
  while (room > 0 && fixed + protectedLength(suite, room) > largest) room--;
  if (room <= 0) throw new RangeError(`no fragment fits into ${largest} octets`);
  return room;
}
