import { concat, Reader, TruncatedError, Writer } from '@aovpn/bytes';

/**
 * Flags of EAP-TLS (RFC 5216 §3.1), PEAP and EAP-TTLS (RFC 5281 §9.1). In the latter two the low bits are the version of the
 * method; in EAP-TLS they are reserved and ignored on receipt.
 */
const tlsFlag = { length: 0x80, more: 0x40, start: 0x20, version: 0x07 } as const;

/** Largest TLS message (one flight) that is taken or sent, octets. Real flights with long chains stay below 20 000. */
export const flightLimit = 0x10000;
/** TLS octets in one of our packets: with EAP, IKE and IP headers still below 1280. */
export const fragmentSize = 1000;
/** The same for TLS inside of a tunnel: with the tunnel's own record around it still one fragment. */
export const innerFragmentSize = 900;

/** The part of a server's flight that has arrived. */
export interface Assembly {
  /** TLS Message Length as announced; undefined when the first fragment carried none. */
  readonly total: number | undefined;
  readonly parts: readonly Uint8Array[];
  readonly size: number;
}

export type TlsPacket =
  | { readonly kind: 'start'; readonly version: number }
  /** Flags 0 and no data: an acknowledgement. */
  | { readonly kind: 'acknowledgement'; readonly version: number }
  | {
      readonly kind: 'fragment';
      readonly version: number;
      readonly total: number | undefined;
      readonly more: boolean;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'malformed'; readonly problem: string };

/** Reads the Type-Data of a Request. */
export function readTlsPacket(typeData: Uint8Array): TlsPacket {
  try {
    const reader = new Reader(typeData, 'EAP-TLS packet');
    const flags = reader.u8();
    const version = flags & tlsFlag.version;
    const more = (flags & tlsFlag.more) !== 0;
    const total = (flags & tlsFlag.length) === 0 ? undefined : reader.u32();
    const data = reader.rest();
    if ((flags & tlsFlag.start) !== 0) {
      if (more || data.length > 0) return malformed('a Start with data');
      return { kind: 'start', version };
    }
    if (data.length === 0 && !more && (total ?? 0) === 0) return { kind: 'acknowledgement', version };
    if (data.length === 0) return malformed('a fragment without data');
    if (total !== undefined && total > flightLimit) return malformed(`a message of ${total} octets; the limit is ${flightLimit}`);
    return { kind: 'fragment', version, total, more, data };
  } catch (error) {
    if (error instanceof TruncatedError) return malformed(error.message);
    throw error;
  }
}

export type Assembled =
  | { readonly kind: 'more'; readonly assembly: Assembly }
  | { readonly kind: 'whole'; readonly records: Uint8Array }
  | { readonly kind: 'malformed'; readonly problem: string };

/** Adds a fragment. EAP is a lock-step protocol: fragments cannot overtake each other, so any disagreement is an error. */
export function assemble(assembly: Assembly | undefined, fragment: Extract<TlsPacket, { kind: 'fragment' }>): Assembled {
  const total = assembly ? assembly.total : fragment.total;
  if (fragment.total !== undefined && fragment.total !== total)
    return malformed('fragments disagree about the length of the message');
  // RFC 5216 §3.1: the first of several fragments carries the length.
  if (!assembly && fragment.more && total === undefined) return malformed('a first fragment without the length of the message');
  const size = (assembly?.size ?? 0) + fragment.data.length;
  if (size > (total ?? flightLimit)) return malformed(`fragments of ${size} octets are longer than the message`);
  const parts = [...(assembly?.parts ?? []), fragment.data.slice()];
  if (fragment.more) {
    if (size === total) return malformed('more fragments announced after the whole message');
    return { kind: 'more', assembly: { total, parts, size } };
  }
  if (total !== undefined && size !== total) return malformed(`a message of ${size} octets was announced with ${total}`);
  return { kind: 'whole', records: concat(...parts) };
}

/**
 * Type-Data of the packet that carries `records` from `offset` on, at most `size` octets of them. The length goes with the first
 * of several fragments, and with a single one if `announceLength`.
 */
export function writeFragment(
  records: Uint8Array,
  offset: number,
  size = fragmentSize,
  announceLength = false,
): { readonly typeData: Uint8Array; readonly next: number } {
  const next = Math.min(records.length, offset + size);
  const more = next < records.length;
  const first = (more || announceLength) && offset === 0;
  const writer = new Writer(next - offset + 8).u8((first ? tlsFlag.length : 0) | (more ? tlsFlag.more : 0));
  if (first) writer.u32(records.length);
  return { typeData: writer.bytes(records.subarray(offset, next)).finish(), next };
}

/** Type-Data of an acknowledgement. */
export function writeAcknowledgement(): Uint8Array {
  return Uint8Array.of(0);
}

/** The protected success indication of TLS 1.3: application data of one octet 0x00 (RFC 9190 §2.1.1). */
export function isCommitment(applicationData: Uint8Array): boolean {
  return applicationData.length === 1 && applicationData[0] === 0;
}

function malformed(problem: string): { readonly kind: 'malformed'; readonly problem: string } {
  return { kind: 'malformed', problem };
}
