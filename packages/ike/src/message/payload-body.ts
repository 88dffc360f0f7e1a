import { Reader, Writer } from '@aovpn/bytes';
import { configAttributeRows } from '../registry/config-attribute.ts';
import { IdentityType } from '../registry/identity-type.ts';
import { payloadTypeRows, type PayloadKind } from '../registry/payload-type.ts';
import { ProtocolId } from '../registry/protocol.ts';
import { maxConfigAttributes } from './limit.ts';
import { malformed } from './malformed.ts';
import type { ConfigAttribute, Payload } from './payload.ts';
import { decodeProposals, encodeProposals } from './security-association.ts';
import { decodeTrafficSelectors, encodeTrafficSelectors } from './traffic-selector.ts';

/** RFC 7296 §2.10 */
const minNonceLength = 16;
const maxNonceLength = 256;

/** The kind of a payload by its number; undefined for what has no decoder, encrypted payloads included. */
export function payloadKindOf(type: number): PayloadKind | undefined {
  const kind = payloadTypeRows.find((row) => row.id === type)?.kind;
  return kind === 'SK' || kind === 'SKF' ? undefined : kind;
}

/** The number of a payload's kind. */
export function payloadTypeOf(payload: Payload): number {
  return payload.kind === 'unknown' ? payload.type : payloadTypeRows.find((row) => row.kind === payload.kind)!.id;
}

/**
 * A payload from the octets after its generic header. Octets are copied, so that nothing holds on to the datagram. Reserved fields
 * are not looked at (RFC 7296 §2.5).
 * @throws {MalformedError | TruncatedError}
 */
export function decodePayloadBody(kind: PayloadKind, body: Uint8Array): Payload {
  const reader = new Reader(body, `${kind} payload`);
  switch (kind) {
    case 'SA':
      return { kind, proposals: decodeProposals(body) };
    case 'KE': {
      const group = reader.u16();
      reader.u16();
      return { kind, group, data: restOf(reader, 1) };
    }
    case 'IDi':
    case 'IDr': {
      const type = reader.u8();
      reader.u24();
      const data = restOf(reader, 0);
      const length = type === IdentityType.IPV4_ADDR ? 4 : type === IdentityType.IPV6_ADDR ? 16 : undefined;
      if (length !== undefined && data.length !== length) malformed(`an address of ${data.length} octets as identity`);
      return { kind, identity: { type, data } };
    }
    case 'CERT':
      return { kind, encoding: reader.u8(), data: restOf(reader, 1) };
    case 'CERTREQ':
      return { kind, encoding: reader.u8(), authorities: restOf(reader, 0) };
    case 'AUTH': {
      const method = reader.u8();
      reader.u24();
      return { kind, method, data: restOf(reader, 1) };
    }
    case 'NONCE': {
      const data = restOf(reader, 0);
      if (data.length < minNonceLength || data.length > maxNonceLength) malformed(`a nonce of ${data.length} octets`);
      return { kind, data };
    }
    case 'N': {
      const protocol = reader.u8();
      const spiLength = reader.u8();
      const type = reader.u16();
      const isChild = protocol === ProtocolId.AH || protocol === ProtocolId.ESP;
      if (isChild && spiLength !== 0 && spiLength !== 4) malformed(`an SPI of ${spiLength} octets for protocol ${protocol}`);
      return { kind, protocol, spi: Uint8Array.from(reader.bytes(spiLength)), type, data: restOf(reader, 0) };
    }
    case 'D':
      return decodeDelete(reader);
    case 'V':
      return { kind, data: restOf(reader, 0) };
    case 'TSi':
    case 'TSr':
      return { kind, selectors: decodeTrafficSelectors(body) };
    case 'CP': {
      const type = reader.u8();
      reader.u24();
      return { kind, type, attributes: decodeAttributes(reader) };
    }
    case 'EAP': {
      const packet = restOf(reader, 4);
      if (((packet[2]! << 8) | packet[3]!) !== packet.length) malformed('the EAP packet is not as long as it says');
      return { kind, packet };
    }
    case 'PS':
      return { kind, solution: restOf(reader, 1) };
  }
}

/**
 * The octets after a payload's generic header; of IDi and IDr that is what AUTH covers (RFC 7296 §2.15).
 * @throws {RangeError} for values that no payload can hold
 */
export function encodePayloadBody(payload: Payload): Uint8Array {
  const writer = new Writer();
  switch (payload.kind) {
    case 'SA':
      encodeProposals(writer, payload.proposals);
      break;
    case 'KE':
      writer.u16(payload.group).u16(0).bytes(payload.data);
      break;
    case 'IDi':
    case 'IDr':
      writer.u8(payload.identity.type).u24(0).bytes(payload.identity.data);
      break;
    case 'CERT':
      writer.u8(payload.encoding).bytes(payload.data);
      break;
    case 'CERTREQ':
      writer.u8(payload.encoding).bytes(payload.authorities);
      break;
    case 'AUTH':
      writer.u8(payload.method).u24(0).bytes(payload.data);
      break;
    case 'NONCE':
      if (payload.data.length < minNonceLength || payload.data.length > maxNonceLength) throw new RangeError('length of a nonce');
      writer.bytes(payload.data);
      break;
    case 'N':
      writer.u8(payload.protocol).u8(payload.spi.length).u16(payload.type).bytes(payload.spi).bytes(payload.data);
      break;
    case 'D': {
      const spiLength = payload.protocol === ProtocolId.IKE ? 0 : 4;
      if (payload.spis.some((spi) => spi.length !== spiLength || spiLength === 0))
        throw new RangeError('SPIs of a Delete payload');
      writer.u8(payload.protocol).u8(spiLength).u16(payload.spis.length);
      for (const spi of payload.spis) writer.bytes(spi);
      break;
    }
    case 'V':
    case 'unknown':
      writer.bytes(payload.data);
      break;
    case 'TSi':
    case 'TSr':
      encodeTrafficSelectors(writer, payload.selectors);
      break;
    case 'CP':
      writer.u8(payload.type).u24(0);
      for (const { type, value } of payload.attributes) {
        writer
          .u16(type & 0x7fff)
          .u16(value.length)
          .bytes(value);
      }
      break;
    case 'EAP':
      writer.bytes(payload.packet);
      break;
    case 'PS':
      writer.bytes(payload.solution);
      break;
  }
  return writer.finish();
}

/** RFC 7296 §3.11: an IKE SA needs no SPI, the others have 4 octets each. */
function decodeDelete(reader: Reader): Payload {
  const protocol = reader.u8();
  const spiLength = reader.u8();
  const count = reader.u16();
  const wanted = protocol === ProtocolId.IKE ? 0 : 4;
  if (protocol !== ProtocolId.IKE && protocol !== ProtocolId.AH && protocol !== ProtocolId.ESP)
    malformed(`Delete of protocol ${protocol}`);
  if (spiLength !== wanted || (wanted === 0 && count !== 0)) malformed(`Delete with ${count} SPIs of ${spiLength} octets`);
  const spis: Uint8Array[] = [];
  for (let i = 0; i < count; i++) spis.push(Uint8Array.from(reader.bytes(wanted)));
  reader.end();
  return { kind: 'D', protocol, spis };
}

/** RFC 7296 §3.15.1; the first bit of the type is reserved. */
function decodeAttributes(reader: Reader): ConfigAttribute[] {
  const attributes: ConfigAttribute[] = [];
  while (reader.remaining > 0) {
    if (attributes.length === maxConfigAttributes) malformed('too many configuration attributes');
    const type = reader.u16() & 0x7fff;
    const value = Uint8Array.from(reader.bytes(reader.u16()));
    const row = configAttributeRows.find((candidate) => candidate.type === type);
    if (row?.lengths?.includes(value.length) === false) malformed(`${row.name} of ${value.length} octets`);
    attributes.push({ type, value });
  }
  return attributes;
}

function restOf(reader: Reader, min: number): Uint8Array {
  if (reader.remaining < min) malformed('payload too short');
  return Uint8Array.from(reader.rest());
}
