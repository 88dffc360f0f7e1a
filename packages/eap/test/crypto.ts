import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import type { EapCrypto } from '../src/peer-contract.ts';

/** The crypto port over node:crypto, with random octets that the test chooses. */
export function testCrypto(random: (length: number) => Uint8Array = (length) => new Uint8Array(length).fill(0x5a)): EapCrypto {
  return {
    random,
    sha1: (...data) => digest(createHash('sha1'), data),
    md5: (...data) => digest(createHash('md5'), data),
    hmacSha1: (key, ...data) => digest(createHmac('sha1', key), data),
  };
}

function digest(algorithm: Hash | Hmac, data: readonly Uint8Array[]): Uint8Array {
  for (const part of data) algorithm.update(part);
  return new Uint8Array(algorithm.digest());
}
