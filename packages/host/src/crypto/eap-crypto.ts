import { createHash, createHmac, createSecretKey, randomBytes, type Hash, type Hmac } from 'node:crypto';
import type { EapCrypto } from '@aovpn/eap';

/** The cryptography of the EAP peer over OpenSSL (`node:crypto`). */
export function createEapCrypto(): EapCrypto {
  return {
    random: (length) => new Uint8Array(randomBytes(length)),
    sha1: (...data) => digest(createHash('sha1'), data),
    md5: (...data) => digest(createHash('md5'), data),
    hmacSha1: (key, ...data) => digest(createHmac('sha1', createSecretKey(key)), data),
  };
}

function digest(algorithm: Hash | Hmac, data: readonly Uint8Array[]): Uint8Array {
  for (const part of data) algorithm.update(part);
  return new Uint8Array(algorithm.digest());
}
