import { Reader, type Writer } from '@aovpn/bytes';
import type { IkeHeader } from './payload.ts';

/** Octets of the fixed IKE header (RFC 7296 §3.1). */
export const ikeHeaderLength = 28;

/** Octets of the generic payload header (RFC 7296 §3.2). */
export const payloadHeaderLength = 4;

const version = 0x20;
const flagInitiator = 0x08;
const flagResponse = 0x20;

export interface DecodedHeader extends IkeHeader {
  readonly nextPayload: number;
  /** Octets of the whole message. */
  readonly length: number;
}

/**
 * Reads the fixed header. undefined when the datagram is no IKEv2 message at all: too short, another major version, an SPI of the
 * initiator that is zero, or a length that is not exactly the datagram's. The minor version, the version flag and reserved flags do
 * not matter on receipt (RFC 7296 §2.5, §3.1).
 */
export function decodeHeader(datagram: Uint8Array): DecodedHeader | undefined {
  if (datagram.length < ikeHeaderLength) return undefined;
  const reader = new Reader(datagram, 'IKE header');
  const spiI = Uint8Array.from(reader.bytes(8));
  const spiR = Uint8Array.from(reader.bytes(8));
  const nextPayload = reader.u8();
  const major = reader.u8() >> 4;
  const exchange = reader.u8();
  const flags = reader.u8();
  const messageId = reader.u32();
  const length = reader.u32();
  if (major !== 2 || length !== datagram.length || spiI.every((octet) => octet === 0)) return undefined;
  return {
    spiI,
    spiR,
    exchange,
    fromInitiator: (flags & flagInitiator) !== 0,
    response: (flags & flagResponse) !== 0,
    messageId,
    nextPayload,
    length,
  };
}

/** Writes the fixed header. @throws {RangeError} for SPIs that are not 8 octets long */
export function encodeHeader(writer: Writer, header: IkeHeader, nextPayload: number, length: number): void {
  if (header.spiI.length !== 8 || header.spiR.length !== 8) throw new RangeError('an IKE SPI has 8 octets');
  writer
    .bytes(header.spiI)
    .bytes(header.spiR)
    .u8(nextPayload)
    .u8(version)
    .u8(header.exchange)
    .u8((header.fromInitiator ? flagInitiator : 0) | (header.response ? flagResponse : 0))
    .u32(header.messageId)
    .u32(length);
}
