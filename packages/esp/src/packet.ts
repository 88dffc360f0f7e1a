import { concat, equal } from '@aovpn/bytes';
import type { EspSa } from './data-plane.ts';
import type { EspCipher, EspDigest, EspTransform } from './transform.ts';

/** SPI and sequence number, RFC 4303 §2. */
export const espHeaderLength = 8;
/** Pad length and next header. */
export const espTrailerLength = 2;

/** RFC 4303 §2.6: what is inside. 59 is a dummy packet, to be dropped without a word. */
export const NextHeader = { IPV4: 4, IPV6: 41, NONE: 59 } as const;

/** Symmetric primitives, handed in. */
export interface EspCrypto {
  /** Ciphertext and tag. */
  sealAead(cipher: EspCipher, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** undefined when the tag does not fit. */
  openAead(cipher: EspCipher, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** No padding of its own. */
  encryptCbc(cipher: EspCipher, key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array;
  decryptCbc(cipher: EspCipher, key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array;
  hmac(digest: EspDigest, key: Uint8Array, data: Uint8Array): Uint8Array;
}

/** Octets of padding that bring payload and trailer to the alignment, which is a power of two. */
export function paddingLength(payloadLength: number, alignment: number): number {
  return -(payloadLength + espTrailerLength) & (alignment - 1);
}

/** Octets of the whole ESP packet around a payload. */
export function sealedLength(transform: EspTransform, payloadLength: number): number {
  const padded = payloadLength + paddingLength(payloadLength, transform.alignment) + espTrailerLength;
  return espHeaderLength + transform.ivLength + padded + transform.icvLength;
}

/** The shortest ESP packet that can be authentic. */
export function shortestSealed(transform: EspTransform): number {
  return espHeaderLength + transform.ivLength + transform.alignment + transform.icvLength;
}

/**
 * Seals a payload in ESP (RFC 4303 §3.3), transport-free: what comes out is what UDP or IP carries. With `esn` the upper half of the sequence
 * number does not travel, but is authenticated (RFC 4303 §2.2.1, RFC 4106 §5).
 * @param iv explicit IV: unpredictable with CBC (RFC 3602 §3), never used twice with an AEAD (RFC 4106 §3.1)
 */
export function sealEsp(
  transform: EspTransform,
  sa: EspSa,
  sequence: number,
  nextHeader: number,
  payload: Uint8Array,
  iv: Uint8Array,
  crypto: EspCrypto,
  esn = false,
): Uint8Array {
  const padding = paddingLength(payload.length, transform.alignment);
  const trailer = Uint8Array.from({ length: padding + espTrailerLength }, (_, i) => i + 1);
  trailer[padding] = padding;
  trailer[padding + 1] = nextHeader;
  const plaintext = concat(payload, trailer);
  const header = new Uint8Array(espHeaderLength);
  const view = new DataView(header.buffer);
  view.setUint32(0, sa.spi);
  view.setUint32(4, sequence % 2 ** 32);
  const high = esn ? upperHalf(sequence) : undefined;
  if (!transform.digest) {
    const { key, nonce } = aeadKey(transform, sa, iv);
    return concat(header, iv, crypto.sealAead(transform.cipher, key, nonce, additionalData(header, high), plaintext));
  }
  const ciphertext = crypto.encryptCbc(transform.cipher, sa.encryptionKey, iv, plaintext);
  const covered = concat(header, iv, ciphertext);
  const hashed = concat(covered, high ?? new Uint8Array());
  return concat(covered, crypto.hmac(transform.digest, sa.integrityKey, hashed).subarray(0, transform.icvLength));
}

export type Opened =
  | { readonly ok: true; readonly sequence: number; readonly nextHeader: number; readonly payload: Uint8Array }
  | { readonly ok: false; readonly why: 'malformed' | 'authentication' };

/**
 * Opens an ESP packet (RFC 4303 §3.4). The replay window is the caller's; lengths that cannot be are refused before any cryptography.
 * @param infer the whole sequence number for its lower half, with extended sequence numbers; absent: the packet carries it whole
 */
export function openEsp(
  transform: EspTransform,
  sa: EspSa,
  packet: Uint8Array,
  crypto: EspCrypto,
  infer?: (low: number) => number,
): Opened {
  const { ivLength, icvLength, alignment } = transform;
  const ciphertextLength = packet.length - espHeaderLength - ivLength - icvLength;
  if (ciphertextLength < alignment || ciphertextLength % alignment !== 0) return { ok: false, why: 'malformed' };
  const header = packet.subarray(0, espHeaderLength);
  const iv = packet.subarray(espHeaderLength, espHeaderLength + ivLength);
  const sealed = packet.subarray(espHeaderLength + ivLength);
  const low = new DataView(header.buffer, header.byteOffset).getUint32(4);
  const sequence = infer ? infer(low) : low;
  const high = infer && upperHalf(sequence);
  let plaintext: Uint8Array | undefined;
  if (!transform.digest) {
    const { key, nonce } = aeadKey(transform, sa, iv);
    plaintext = crypto.openAead(transform.cipher, key, nonce, additionalData(header, high), sealed);
  } else {
    const covered = packet.subarray(0, packet.length - icvLength);
    const hashed = concat(covered, high ?? new Uint8Array());
    const icv = crypto.hmac(transform.digest, sa.integrityKey, hashed).subarray(0, icvLength);
    if (equal(icv, packet.subarray(packet.length - icvLength))) {
      plaintext = crypto.decryptCbc(transform.cipher, sa.encryptionKey, iv, sealed.subarray(0, ciphertextLength));
    }
  }
  if (!plaintext) return { ok: false, why: 'authentication' };
  const payloadLength = unpaddedLength(plaintext, 0, plaintext.length);
  if (payloadLength < 0) return { ok: false, why: 'malformed' };
  return {
    ok: true,
    sequence,
    nextHeader: plaintext[plaintext.length - 1]!,
    payload: plaintext.subarray(0, payloadLength),
  };
}

/** Octets of payload before padding and trailer, or −1 when the padding is not 1, 2, 3, … (RFC 4303 §2.4). */
export function unpaddedLength(octets: Uint8Array, at: number, length: number): number {
  const end = at + length - espTrailerLength;
  const padding = octets[end]!;
  if (padding > length - espTrailerLength) return -1;
  for (let i = 1; i <= padding; i++) if (octets[end - padding + i - 1] !== i) return -1;
  return length - espTrailerLength - padding;
}

/** What an AEAD authenticates beside the text: SPI and sequence number, 32 or 64 bits of it (RFC 4106 §5). */
function additionalData(header: Uint8Array, high: Uint8Array | undefined): Uint8Array {
  return high ? concat(header.subarray(0, 4), high, header.subarray(4)) : header;
}

function upperHalf(sequence: number): Uint8Array {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setUint32(0, Math.floor(sequence / 2 ** 32));
  return octets;
}

function aeadKey(transform: EspTransform, sa: EspSa, iv: Uint8Array): { readonly key: Uint8Array; readonly nonce: Uint8Array } {
  const key = sa.encryptionKey.subarray(0, transform.keyLength);
  return { key, nonce: concat(sa.encryptionKey.subarray(transform.keyLength, transform.keyLength + transform.saltLength), iv) };
}
