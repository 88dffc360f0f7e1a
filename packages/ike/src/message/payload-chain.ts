import { Reader, Writer, TruncatedError } from '@aovpn/bytes';
import { PayloadType } from '../registry/payload-type.ts';
import type { IkeProtocolError } from '../registry/error.ts';
import { payloadHeaderLength } from './header.ts';
import { maxPayloads } from './limit.ts';
import { malformed, MalformedError } from './malformed.ts';
import type { Payload } from './payload.ts';
import { decodePayloadBody, encodePayloadBody, payloadKindOf, payloadTypeOf } from './payload-body.ts';

const criticalBit = 0x80;

/** Either all payloads, or the one error that the whole chain comes to. */
export type ChainOutcome = { readonly payloads: Payload[] } | { readonly error: IkeProtocolError };

/**
 * Reads the payloads of a message, or of what was encrypted in it, which must fill the octets exactly. An unknown payload is kept,
 * unless it is critical (RFC 7296 §2.5). Encrypted payloads have no place in here.
 */
export function decodePayloads(firstType: number, octets: Uint8Array): ChainOutcome {
  try {
    const payloads: Payload[] = [];
    const reader = new Reader(octets, 'payloads');
    let type = firstType;
    while (type !== PayloadType.NONE) {
      if (payloads.length === maxPayloads) malformed('too many payloads');
      const next = reader.u8();
      const critical = (reader.u8() & criticalBit) !== 0;
      const length = reader.u16();
      if (length < payloadHeaderLength) malformed('payload shorter than its header');
      const body = reader.bytes(length - payloadHeaderLength);
      if (type === PayloadType.SK || type === PayloadType.SKF) malformed('encrypted payload out of place');
      const kind = payloadKindOf(type);
      if (!kind && critical) throw new MalformedError({ kind: 'UNSUPPORTED_CRITICAL_PAYLOAD', payloadType: type });
      payloads.push(kind ? decodePayloadBody(kind, body) : { kind: 'unknown', type, critical, data: Uint8Array.from(body) });
      type = next;
    }
    reader.end();
    return { payloads };
  } catch (problem) {
    if (problem instanceof MalformedError) return { error: problem.error };
    if (problem instanceof TruncatedError) return { error: { kind: 'INVALID_SYNTAX', detail: problem.message } };
    throw problem;
  }
}

/** The payloads one after the other, and the type of the first for the field that points at it. */
export function encodePayloads(payloads: readonly Payload[]): { readonly firstType: number; readonly octets: Uint8Array } {
  const writer = new Writer();
  for (const [i, payload] of payloads.entries()) {
    const next = payloads[i + 1];
    const body = encodePayloadBody(payload);
    if (body.length + payloadHeaderLength > 0xffff) throw new RangeError(`a ${payload.kind} payload of ${body.length} octets`);
    writer
      .u8(next ? payloadTypeOf(next) : PayloadType.NONE)
      .u8(payload.kind === 'unknown' && payload.critical ? criticalBit : 0)
      .u16(body.length + payloadHeaderLength)
      .bytes(body);
  }
  return { firstType: payloads[0] ? payloadTypeOf(payloads[0]) : PayloadType.NONE, octets: writer.finish() };
}
