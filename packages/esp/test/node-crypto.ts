import { createCipheriv, createDecipheriv, createHmac, type CipherGCMTypes } from 'node:crypto';
import type { EspCrypto } from '../src/index.ts';

/** The primitives of `sealEsp` and `openEsp` by Node's crypto module: the oracle that fast planes are compared with. */
export const nodeCrypto: EspCrypto = {
  sealAead(cipher, key, nonce, aad, plaintext) {
    // Both kinds of AEAD have the same interface; Node's types tell them apart by name only.
    const seal = createCipheriv(cipher as CipherGCMTypes, key, nonce, { authTagLength: 16 });
    seal.setAAD(aad);
    return new Uint8Array(Buffer.concat([seal.update(plaintext), seal.final(), seal.getAuthTag()]));
  },
  openAead(cipher, key, nonce, aad, sealed) {
    const open = createDecipheriv(cipher as CipherGCMTypes, key, nonce, { authTagLength: 16 });
    open.setAAD(aad);
    open.setAuthTag(sealed.subarray(-16));
    try {
      return new Uint8Array(Buffer.concat([open.update(sealed.subarray(0, -16)), open.final()]));
    } catch {
      return undefined;
    }
  },
  encryptCbc(cipher, key, iv, plaintext) {
    const encrypt = createCipheriv(cipher, key, iv).setAutoPadding(false);
    return new Uint8Array(Buffer.concat([encrypt.update(plaintext), encrypt.final()]));
  },
  decryptCbc(cipher, key, iv, ciphertext) {
    const decrypt = createDecipheriv(cipher, key, iv).setAutoPadding(false);
    return new Uint8Array(Buffer.concat([decrypt.update(ciphertext), decrypt.final()]));
  },
  hmac: (digest, key, data) => new Uint8Array(createHmac(digest, key).update(data).digest()),
};
