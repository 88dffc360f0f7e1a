import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { Encr, encrRows, integRows, Integ, Prf, type EncrRow, type HashName, type IkeCrypto } from '@aovpn/ike';
import { answerKeyExchange, canExchange, generateKeyPair, sharedSecret } from './key-exchange.ts';
import { verifySignature } from './signature.ts';

const prfHashes: Readonly<Record<number, HashName>> = {
  [Prf.HMAC_SHA1]: 'sha1',
  [Prf.HMAC_SHA2_256]: 'sha256',
  [Prf.HMAC_SHA2_384]: 'sha384',
  [Prf.HMAC_SHA2_512]: 'sha512',
};

const integHashes: Readonly<Record<number, HashName>> = {
  [Integ.HMAC_SHA1_96]: 'sha1',
  [Integ.HMAC_SHA2_256_128]: 'sha256',
  [Integ.HMAC_SHA2_384_192]: 'sha384',
  [Integ.HMAC_SHA2_512_256]: 'sha512',
};

/**
 * The cryptography of IKE over OpenSSL (`node:crypto`). Every octet string that leaves is a plain Uint8Array of its own:
 * a Buffer from the pool would alias its neighbours, and its `slice` does not copy.
 * Keys are handed over as key objects: Node finds out that octets are none by an error that it throws and catches, which takes five times as long as
 * the rest of the call. The ESP data plane has its own way.
 */
export function createIkeCrypto(): IkeCrypto {
  return {
    random: (length) => plain(randomBytes(length)),
    prf: (prf, key, ...data) => hmac(hashOf(prfHashes, prf, 'PRF'), key, data),
    integrity(integ, key, ...data) {
      const row = integRows.find((candidate) => candidate.id === integ);
      if (!row) throw new RangeError(`no integrity transform ${integ}`);
      checkLength(`key of ${row.name}`, key, row.keyLength);
      return hmac(hashOf(integHashes, integ, 'integrity'), key, data).slice(0, row.icvLength);
    },
    encrypt(encr, key, iv, plaintext, aad) {
      const cipher = cipherOf(encr, key, iv);
      if (!cipher.row.aead) {
        if (plaintext.length % cipher.row.blockLength !== 0) throw new RangeError('the plaintext is not padded to whole blocks');
        const encryptor = createCipheriv(cipher.name, cipher.key, cipher.nonce).setAutoPadding(false);
        return plain(Buffer.concat([encryptor.update(plaintext), encryptor.final()]));
      }
      const options = { authTagLength: cipher.row.icvLength };
      const encryptor = createCipheriv(cipher.name as 'aes-256-gcm', cipher.key, cipher.nonce, options);
      encryptor.setAAD(aad);
      return plain(Buffer.concat([encryptor.update(plaintext), encryptor.final(), encryptor.getAuthTag()]));
    },
    decrypt(encr, key, iv, ciphertext, aad) {
      const cipher = cipherOf(encr, key, iv);
      if (!cipher.row.aead) {
        if (ciphertext.length === 0 || ciphertext.length % cipher.row.blockLength !== 0) return undefined;
        const decryptor = createDecipheriv(cipher.name, cipher.key, cipher.nonce).setAutoPadding(false);
        return plain(Buffer.concat([decryptor.update(ciphertext), decryptor.final()]));
      }
      const tagAt = ciphertext.length - cipher.row.icvLength;
      if (tagAt < 0) return undefined;
      const options = { authTagLength: cipher.row.icvLength };
      const decryptor = createDecipheriv(cipher.name as 'aes-256-gcm', cipher.key, cipher.nonce, options);
      decryptor.setAAD(aad);
      decryptor.setAuthTag(ciphertext.subarray(tagAt));
      const plaintext = decryptor.update(ciphertext.subarray(0, tagAt));
      try {
        decryptor.final();
      } catch {
        plaintext.fill(0);
        return undefined;
      }
      return plain(plaintext);
    },
    hash(name, ...data) {
      const hash = createHash(name);
      for (const part of data) hash.update(part);
      return plain(hash.digest());
    },
    canExchange,
    generateKeyPair,
    sharedSecret,
    answerKeyExchange,
    verify: verifySignature,
  };
}

interface Cipher {
  readonly row: EncrRow;
  readonly name: string;
  readonly key: KeyObject;
  readonly nonce: Uint8Array;
}

function cipherOf(encr: number, keyAndSalt: Uint8Array, iv: Uint8Array): Cipher {
  const row = encrRows.find((candidate) => candidate.id === encr);
  if (!row) throw new RangeError(`no encryption transform ${encr}`);
  checkLength(`IV of ${row.name}`, iv, row.ivLength);
  const keyLength = keyAndSalt.length - row.saltLength;
  if (!row.keyBits.includes(keyLength * 8)) throw new RangeError(`a key of ${keyLength} octets does not fit ${row.name}`);
  const key = createSecretKey(keyAndSalt.subarray(0, keyLength));
  const salt = keyAndSalt.subarray(keyLength);
  return { row, name: cipherName(row.id, keyLength * 8), key, nonce: Buffer.concat([salt, iv]) };
}

function cipherName(encr: number, keyBits: number): string {
  switch (encr) {
    case Encr.DES3:
      return 'des-ede3-cbc';
    case Encr.AES_CBC:
      return `aes-${keyBits}-cbc`;
    case Encr.AES_GCM_16:
      return `aes-${keyBits}-gcm`;
    case Encr.CHACHA20_POLY1305:
      return 'chacha20-poly1305';
    default:
      throw new RangeError(`no cipher for encryption transform ${encr}`);
  }
}

function hashOf(table: Readonly<Record<number, HashName>>, id: number, what: string): HashName {
  const name = table[id];
  if (!name) throw new RangeError(`no ${what} transform ${id}`);
  return name;
}

function hmac(hash: HashName, key: Uint8Array, data: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(hash, createSecretKey(key));
  for (const part of data) mac.update(part);
  return plain(mac.digest());
}

function checkLength(what: string, octets: Uint8Array, wanted: number): void {
  if (octets.length !== wanted) throw new RangeError(`${what}: ${octets.length} octets instead of ${wanted}`);
}

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer);
}
