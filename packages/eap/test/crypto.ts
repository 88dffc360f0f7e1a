import { createHash } from 'node:crypto';
import type { EapCrypto } from '../src/peer-contract.ts';

/** The crypto port over node:crypto, with random octets that the test chooses. */
export function testCrypto(random: (length: number) => Uint8Array = (length) => new Uint8Array(length).fill(0x5a)): EapCrypto {
  return {
    random,
    sha1: (...data) => {
      const hash = createHash('sha1');
      for (const part of data) hash.update(part);
      return new Uint8Array(hash.digest());
    },
  };
}
