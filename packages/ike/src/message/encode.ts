import { Writer } from '@aovpn/bytes';
import { encodeHeader, ikeHeaderLength } from './header.ts';
import { encodePayloads } from './payload-chain.ts';
import type { Message } from './payload.ts';

export { encodePayloadBody } from './payload-body.ts';

/**
 * A whole message without protection, as IKE_SA_INIT is sent (RFC 7296 §3.1).
 * @throws {RangeError} for values that no message can hold
 */
export function encodeMessage(message: Message): Uint8Array {
  const { firstType, octets } = encodePayloads(message.payloads);
  const writer = new Writer(ikeHeaderLength + octets.length);
  encodeHeader(writer, message.header, firstType, ikeHeaderLength + octets.length);
  return writer.bytes(octets).finish();
}
