import { concat, equal } from '@aovpn/bytes';
import type { IkeCrypto } from '../crypto/port.ts';
import { encrRow, integRow } from '../registry/transform-lookup.ts';
import { malformed } from './malformed.ts';
import type { DirectionKeys, IkeSuite } from './suite.ts';

/** Octets that protecting `length` octets of payloads takes: IV, ciphertext with its padding, integrity check value. */
export function protectedLength(suite: IkeSuite, length: number): number {
  const encr = encrRow(suite.encr);
  return encr.ivLength + roundUp(length + 1, encr.blockLength) + icvLength(suite);
}

/**
 * The content of an SK or SKF payload (RFC 7296 §3.14, RFC 5282 §3).
 * @param prefix everything of the message before it, final lengths included: it is authenticated too
 */
export function protect(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  prefix: Uint8Array,
  payloads: Uint8Array,
): Uint8Array {
  const encr = encrRow(suite.encr);
  // A CBC IV must be unpredictable (RFC 7296 §3.14); an AEAD IV must never come twice under one key (RFC 5282 §3.1). Random IVs give
  // both, without a counter that a message sealed anew could fall behind. 64 random bits are enough since a key protects few
  // messages: 10 000 of them, far more than an IKE SA sends between rekeys, collide with a probability below 2⁻³⁸.
  const iv = crypto.random(encr.ivLength);
  const padLength = roundUp(payloads.length + 1, encr.blockLength) - payloads.length - 1;
  const plaintext = concat(payloads, new Uint8Array(padLength), Uint8Array.of(padLength));
  const ciphertext = crypto.encrypt(suite.encr, keys.encryptionKey, iv, plaintext, prefix);
  if (encr.aead) return concat(iv, ciphertext);
  return concat(iv, ciphertext, crypto.integrity(suite.integ, keys.integrityKey, prefix, iv, ciphertext));
}

/**
 * The payloads inside an SK or SKF payload; undefined when it is not authentic. Nothing is decrypted, and no padding looked at,
 * before the integrity check value has been compared.
 * @throws {MalformedError} for what is authentic and yet cannot be read
 */
export function unprotect(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  prefix: Uint8Array,
  content: Uint8Array,
): Uint8Array | undefined {
  const encr = encrRow(suite.encr);
  const icv = icvLength(suite);
  if (content.length < encr.ivLength + icv) return undefined;
  const iv = content.subarray(0, encr.ivLength);
  let ciphertext = content.subarray(encr.ivLength);
  if (!encr.aead) {
    ciphertext = content.subarray(encr.ivLength, content.length - icv);
    const wanted = crypto.integrity(suite.integ, keys.integrityKey, prefix, iv, ciphertext);
    if (!equal(wanted, content.subarray(content.length - icv))) return undefined;
    if (ciphertext.length === 0 || ciphertext.length % encr.blockLength !== 0)
      malformed('ciphertext is not made of whole blocks');
  }
  const plaintext = crypto.decrypt(suite.encr, keys.encryptionKey, iv, ciphertext, prefix);
  if (!plaintext) return undefined;
  const padLength = plaintext.at(-1);
  if (padLength === undefined || padLength >= plaintext.length) malformed('padding longer than what it pads');
  return plaintext.slice(0, plaintext.length - padLength - 1);
}

function icvLength(suite: IkeSuite): number {
  const encr = encrRow(suite.encr);
  return encr.aead ? encr.icvLength : integRow(suite.integ).icvLength;
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
