import { concat, Writer } from '@aovpn/bytes';
import { PayloadType } from '../registry/payload-type.ts';
import { encodeHeader, ikeHeaderLength, payloadHeaderLength } from './header.ts';
import { encodePayloads } from './payload-chain.ts';
import type { Message } from './payload.ts';

/** Where Next Payload and Length stand in the IKE header (RFC 7296 §3.1). */
const nextPayloadAt = 16;
const lengthAt = 24;

/**
 * What the AUTH payloads cover of an IKE_INTERMEDIATE message (RFC 9242 §3.3.2): the IKE header and the header of its SK payload,
 * with lengths as if nothing were encrypted, and the payloads inside. A fragmented message counts as the one that it was before.
 * @param header the 28 octets as they came
 * @param flags second octet of the SK payload's header
 */
export function intermediateOctets(header: Uint8Array, firstType: number, flags: number, payloads: Uint8Array): Uint8Array {
  const payloadLength = payloadHeaderLength + payloads.length;
  const adjusted = header.slice();
  adjusted[nextPayloadAt] = PayloadType.SK;
  const encrypted = new Writer(payloadHeaderLength).u8(firstType).u8(flags).u16(payloadLength).finish();
  adjusted.set(new Writer(4).u32(ikeHeaderLength + payloadLength).finish(), lengthAt);
  return concat(adjusted, encrypted, payloads);
}

/** The same of a message that we send. */
export function intermediateOctetsOf({ header, payloads }: Message): Uint8Array {
  const { firstType, octets } = encodePayloads(payloads);
  const writer = new Writer(ikeHeaderLength);
  encodeHeader(writer, header, PayloadType.SK, ikeHeaderLength + payloadHeaderLength + octets.length);
  return intermediateOctets(writer.finish(), firstType, 0, octets);
}
