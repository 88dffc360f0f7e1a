import { createDecipheriv, createHash, createHmac, createPrivateKey, pbkdf2, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import * as asn1js from 'asn1js';
import { concat, equal } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { keysError } from './keys-error.ts';

/** What a PKCS#12 file holds, in its order. */
export interface Pkcs12Content {
  readonly keys: readonly KeyObject[];
  readonly certificates: readonly Uint8Array[];
}

/** Iterations that we are willing to do; exporters use between 1 and 600 000. */
const iterationLimit = 5_000_000;

const oid = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  pbeSha1TripleDes: '1.2.840.113549.1.12.1.3',
} as const;

const hashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const hmacs: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};
const ciphers: Readonly<Record<string, { readonly name: string; readonly keyLength: number }>> = {
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyLength: 24 },
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyLength: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyLength: 24 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyLength: 32 },
};

/**
 * Opens a PKCS#12 file (RFC 7292) that is protected by a password: its MAC is checked first, then keys and certificates are
 * decrypted (PBES2 with AES or triple DES; the older SHA-1 with triple DES).
 * @throws {HostError} 120 wrong password, 121 not decodable, 122 protection that is not supported
 */
export async function openPkcs12(file: Uint8Array, password: string, path: string): Promise<Pkcs12Content> {
  const opener = new Opener(password, path);
  try {
    return await opener.open(file);
  } catch (error) {
    if (error instanceof HostError) throw error;
    throw keysError('AOV-HOST-121', `${path} cannot be decoded as PKCS#12`, { cause: error });
  } finally {
    opener.forget();
  }
}

class Opener {
  readonly #utf8: Buffer;
  /** BMPString with its final zero (RFC 7292 §B.1). */
  readonly #bmp: Uint8Array;
  readonly #path: string;
  readonly #keys: KeyObject[] = [];
  readonly #certificates: Uint8Array[] = [];

  constructor(password: string, path: string) {
    this.#utf8 = Buffer.from(password, 'utf8');
    this.#bmp = Uint8Array.from(Buffer.from(`${password}\0`, 'utf16le').swap16());
    this.#path = path;
  }

  async open(file: Uint8Array): Promise<Pkcs12Content> {
    const [version, authSafe, mac] = children(decode(file));
    if (!(version instanceof asn1js.Integer) || version.valueBlock.valueDec !== 3) throw new Error('version is not 3');
    const contents = contentOf(authSafe, oid.data);
    this.#checkMac(mac, contents);
    for (const info of children(decode(contents))) await this.#readContentInfo(info);
    return { keys: this.#keys, certificates: this.#certificates };
  }

  /** Overwrites the password. */
  forget(): void {
    this.#utf8.fill(0);
    this.#bmp.fill(0);
  }

  #checkMac(mac: unknown, contents: Uint8Array): void {
    if (mac === undefined) throw this.#unsupported('it has no MAC');
    const [digestInfo, salt, iterations] = children(mac);
    const [algorithm, digest] = children(digestInfo);
    const name = oidOf(children(algorithm)[0]);
    const hash = hashes[name];
    if (hash === undefined) throw this.#unsupported(`its MAC uses ${name}`);
    const key = this.#derive(hash, 3, octets(salt), this.#iterations(iterations), createHash(hash).digest().length);
    const expected = createHmac(hash, key).update(contents).digest();
    key.fill(0);
    if (!equal(octets(digest), expected)) {
      throw keysError('AOV-HOST-120', `the password does not open ${this.#path}`);
    }
  }

  async #readContentInfo(info: unknown): Promise<void> {
    const [type, wrapped] = children(info);
    const content = children(wrapped)[0];
    switch (oidOf(type)) {
      case oid.data:
        return this.#readSafeContents(octets(content));
      case oid.encryptedData: {
        const [, encrypted] = children(content);
        const [inner, algorithm, ciphertext] = children(encrypted);
        if (oidOf(inner) !== oid.data) throw new Error('encrypted content that is no data');
        return this.#readSafeContents(await this.#decrypt(algorithm, octets(ciphertext)));
      }
      default:
        // Public-key protected contents and anything newer: somebody else's.
        return undefined;
    }
  }

  async #readSafeContents(der: Uint8Array): Promise<void> {
    for (const bag of children(decode(der))) {
      const [type, wrapped] = children(bag);
      const value = children(wrapped)[0];
      switch (oidOf(type)) {
        case oid.keyBag:
          this.#keys.push(privateKey(new Uint8Array(block(value).valueBeforeDecodeView)));
          break;
        case oid.shroudedKeyBag: {
          const [algorithm, ciphertext] = children(value);
          const der = await this.#decrypt(algorithm, octets(ciphertext));
          this.#keys.push(privateKey(der));
          der.fill(0);
          break;
        }
        case oid.certBag: {
          const [kind, holder] = children(value);
          if (oidOf(kind) === oid.x509Certificate) this.#certificates.push(octets(children(holder)[0]));
          break;
        }
        case oid.safeContentsBag:
          await this.#readSafeContents(new Uint8Array(block(value).valueBeforeDecodeView));
          break;
      }
    }
  }

  async #decrypt(algorithm: unknown, ciphertext: Uint8Array): Promise<Uint8Array> {
    const [type, parameters] = children(algorithm);
    const name = oidOf(type);
    if (name === oid.pbes2) return this.#decryptPbes2(parameters, ciphertext);
    if (name !== oid.pbeSha1TripleDes) throw this.#unsupported(`a part is encrypted with ${name}`);
    const [salt, iterations] = children(parameters);
    const count = this.#iterations(iterations);
    const key = this.#derive('sha1', 1, octets(salt), count, 24);
    return decipher('des-ede3-cbc', key, this.#derive('sha1', 2, octets(salt), count, 8), ciphertext);
  }

  async #decryptPbes2(parameters: unknown, ciphertext: Uint8Array): Promise<Uint8Array> {
    const [derivation, scheme] = children(parameters);
    const [derivationName, derivationParameters] = children(derivation);
    if (oidOf(derivationName) !== oid.pbkdf2) throw this.#unsupported(`a key is derived with ${oidOf(derivationName)}`);
    const [schemeName, iv] = children(scheme);
    const cipher = ciphers[oidOf(schemeName)];
    if (!cipher) throw this.#unsupported(`a part is encrypted with ${oidOf(schemeName)}`);
    const [salt, iterations, ...rest] = children(derivationParameters);
    const prf = rest.find((part) => part instanceof asn1js.Sequence);
    const hash = prf === undefined ? 'sha1' : hmacs[oidOf(children(prf)[0])];
    if (hash === undefined) throw this.#unsupported('a key is derived with an unknown function');
    const key = await promisify(pbkdf2)(this.#utf8, octets(salt), this.#iterations(iterations), cipher.keyLength, hash);
    return decipher(cipher.name, key, octets(iv), ciphertext);
  }

  #iterations(value: unknown): number {
    if (value === undefined) return 1;
    const count = value instanceof asn1js.Integer && !value.valueBlock.isHexOnly ? value.valueBlock.valueDec : -1;
    if (count < 1) throw new Error('an iteration count that is none');
    if (count > iterationLimit) throw this.#unsupported(`its password is iterated ${count} times`);
    return count;
  }

  /** Key derivation of RFC 7292 §B.2; `purpose` 1: key, 2: IV, 3: MAC. */
  #derive(hash: string, purpose: 1 | 2 | 3, salt: Uint8Array, iterations: number, length: number): Uint8Array {
    const blockLength = hash === 'sha384' || hash === 'sha512' ? 128 : 64;
    const diversifier = new Uint8Array(blockLength).fill(purpose);
    const input = concat(fillTo(salt, blockLength), fillTo(this.#bmp, blockLength));
    const derived: Uint8Array[] = [];
    for (let got = 0; got < length; got += derived.at(-1)!.length) {
      let digest = createHash(hash).update(diversifier).update(input).digest();
      for (let i = 1; i < iterations; i++) digest = createHash(hash).update(digest).digest();
      derived.push(new Uint8Array(digest));
      const addend = fillTo(digest, blockLength).subarray(0, blockLength);
      for (let start = 0; start < input.length; start += blockLength) {
        let carry = 1;
        for (let i = blockLength - 1; i >= 0; i--) {
          carry += input[start + i]! + addend[i]!;
          input[start + i] = carry & 0xff;
          carry >>= 8;
        }
      }
    }
    input.fill(0);
    return concat(...derived).subarray(0, length);
  }

  #unsupported(what: string): HostError {
    return keysError('AOV-HOST-122', `${this.#path}: ${what}, which is not supported`);
  }
}

function decipher(name: string, key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const cipher = createDecipheriv(name, key, iv);
  const parts = [cipher.update(ciphertext), cipher.final()];
  const plain = concat(...parts);
  for (const secret of [key, ...parts]) secret.fill(0);
  return plain;
}

function privateKey(der: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(der.buffer, der.byteOffset, der.byteLength), format: 'der', type: 'pkcs8' });
}

/** `text` repeated to a whole number of blocks; nothing stays nothing. */
function fillTo(text: Uint8Array, blockLength: number): Uint8Array {
  const length = Math.ceil(text.length / blockLength) * blockLength;
  return Uint8Array.from({ length }, (_, i) => text[i % text.length]!);
}

type Block = asn1js.BaseBlock;

function decode(der: Uint8Array): Block {
  const { offset, result } = asn1js.fromBER(der);
  if (offset < 0) throw new Error(result.error);
  return result;
}

function block(value: unknown): Block {
  if (!(value instanceof asn1js.BaseBlock)) throw new Error('a part is missing');
  return value;
}

function children(value: unknown): readonly unknown[] {
  if (!(value instanceof asn1js.Constructed)) throw new Error('a structure was expected');
  return value.valueBlock.value;
}

function oidOf(value: unknown): string {
  if (!(value instanceof asn1js.ObjectIdentifier)) throw new Error('an object identifier was expected');
  return value.getValue();
}

/** An OCTET STRING, in one piece or several, or one with an implicit tag. */
function octets(value: unknown): Uint8Array {
  if (value instanceof asn1js.OctetString) return new Uint8Array(value.getValue()).slice();
  if (value instanceof asn1js.Primitive) return value.valueBlock.valueHexView.slice();
  if (value instanceof asn1js.Constructed) return concat(...value.valueBlock.value.map(octets));
  throw new Error('an octet string was expected');
}

function contentOf(info: unknown, type: string): Uint8Array {
  const [kind, wrapped] = children(info);
  if (oidOf(kind) !== type) throw new Error('the outer content is not data');
  return octets(children(wrapped)[0]);
}
