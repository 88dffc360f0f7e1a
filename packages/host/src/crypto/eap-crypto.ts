import { createHash, randomBytes } from 'node:crypto';
import type { EapCrypto } from '@aovpn/eap';

/** The cryptography of the EAP peer over OpenSSL (`node:crypto`). */
export function createEapCrypto(): EapCrypto {
  return {
    random: (length) => new Uint8Array(randomBytes(length)),
    sha1(...data) {
      const hash = createHash('sha1');
      for (const part of data) hash.update(part);
      return new Uint8Array(hash.digest());
    },
  };
}
