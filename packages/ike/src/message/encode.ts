import type { Message, Payload } from './payload.ts';

/** A whole message without protection, as IKE_SA_INIT is sent (RFC 7296 §3.1). */
export function encodeMessage(message: Message): Uint8Array {
  throw new Error(`not filled in yet ${message.header.exchange}`);
}

/** The octets after a payload's generic header; for IDi and IDr that is what AUTH covers (RFC 7296 §2.15). */
export function encodePayloadBody(payload: Payload): Uint8Array {
  throw new Error(`not filled in yet ${payload.kind}`);
}
