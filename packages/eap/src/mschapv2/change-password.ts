import { concat, decodeUtf8, encodeUtf16le, wipe } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import { desEncrypt } from './des.ts';
import { rc4 } from './rc4.ts';

/** The calculations of a change of password (RFC 2759 §8.9 to §8.13). Names are the RFC's. */

/** Longest new password, in UTF-16 code units (RFC 2759 §8.9). */
const newPasswordLimit = 256;

/** Whether the protocol can carry this new password (UTF-8 octets). */
export function canBeNewPassword(password: Uint8Array): boolean {
  if (password.length === 0 || password.length > 4 * newPasswordLimit) return false;
  return decodeUtf8(password).length <= newPasswordLimit;
}

/**
 * NewPasswordEncryptedWithOldNtPasswordHash (RFC 2759 §8.9, §8.10): the new password (UTF-8 octets) at the end of a random block
 * with its length, 516 octets, under RC4 with the hash of the old one.
 * @throws {RangeError} when it is longer than 256 UTF-16 code units; see {@link canBeNewPassword}
 */
export function newPasswordEncryptedWithOldNtPasswordHash(
  crypto: EapCrypto,
  newPassword: Uint8Array,
  oldPasswordHash: Uint8Array,
): Uint8Array {
  const unicode = encodeUtf16le(decodeUtf8(newPassword));
  const room = 2 * newPasswordLimit;
  if (unicode.length > room) throw new RangeError('a new password longer than 256 characters');
  const block = concat(crypto.random(room - unicode.length), unicode, new Uint8Array(4));
  new DataView(block.buffer).setUint32(room, unicode.length, true);
  const encrypted = rc4(oldPasswordHash, block);
  wipe(unicode, block);
  return encrypted;
}

/** NtPasswordHashEncryptedWithBlock (RFC 2759 §8.13): the old hash, 16 octets, under two DES keys cut from the new one. */
export function oldNtPasswordHashEncryptedWithNewNtPasswordHash(
  oldPasswordHash: Uint8Array,
  newPasswordHash: Uint8Array,
): Uint8Array {
  return concat(
    desEncrypt(newPasswordHash.subarray(0, 7), oldPasswordHash.subarray(0, 8)),
    desEncrypt(newPasswordHash.subarray(7, 14), oldPasswordHash.subarray(8, 16)),
  );
}
