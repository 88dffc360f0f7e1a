import { concat, Writer } from '@aovpn/bytes';
import type { IkeCrypto } from '../crypto/port.ts';
import { ExchangeType } from '../registry/exchange.ts';
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
 * The solution of a puzzle, the first payload of IKE_AUTH, goes before the encrypted payload (RFC 8019 §7.2.2), authenticated with it; of
 * fragments it goes with the first (RFC 7383 §2.5.3). Every call draws new IVs, so a retransmission must send the octets that were kept, not seal again.
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
  const solved = message.header.exchange === ExchangeType.IKE_AUTH && message.payloads[0]?.kind === 'PS';
  const inClear = message.payloads.slice(0, solved ? 1 : 0);
  const { firstType, octets } = encodePayloads(message.payloads.slice(inClear.length));
  const largest = fragmentSize === undefined ? Number.POSITIVE_INFINITY : fragmentSize - nonEspMarkerLength;
  const clear = encodePayloads(inClear).octets;
  const whole = ikeHeaderLength + clear.length + payloadHeaderLength + protectedLength(suite, octets.length);
  if (whole <= largest) return [sealOne(crypto, suite, keys, message, clear, firstType, octets)];

  const none = new Uint8Array(0);
  const firstRoom = fragmentRoom(suite, largest - clear.length);
  const room = fragmentRoom(suite, largest);
  const total = 1 + Math.max(0, Math.ceil((octets.length - firstRoom) / room));
  if (total > 0xffff) throw new RangeError(`a message of ${octets.length} octets in fragments of ${room}`);
  // Only the first fragment says what the first payload is.
  const first = octets.subarray(0, firstRoom);
  const fragments = [sealOne(crypto, suite, keys, message, clear, firstType, first, { number: 1, total })];
  for (let number = 2; number <= total; number++) {
    const part = octets.subarray(firstRoom + (number - 2) * room, firstRoom + (number - 1) * room);
    fragments.push(sealOne(crypto, suite, keys, message, none, PayloadType.NONE, part, { number, total }));
  }
  return fragments;
}

function sealOne(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  message: Message,
  clear: Uint8Array,
  firstType: number,
  payloads: Uint8Array,
  fragment?: Fragment,
): Uint8Array {
  const overhead = payloadHeaderLength + (fragment ? fragmentHeaderLength : 0);
  const payloadLength = overhead + protectedLength(suite, payloads.length);
  if (payloadLength > 0xffff) throw new RangeError(`a message of ${payloads.length} octets without fragmentation`);
  const writer = new Writer(ikeHeaderLength + clear.length + overhead);
  const type = fragment ? PayloadType.SKF : PayloadType.SK;
  const length = ikeHeaderLength + clear.length + payloadLength;
  encodeHeader(writer, message.header, clear.length > 0 ? PayloadType.PS : type, length);
  // Its Next Payload is the encrypted one.
  if (clear.length > 0) writer.u8(type).bytes(clear.subarray(1));
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
