import type { EspSuite } from './data-plane.ts';

export type EspCipher =
  | 'aes-128-gcm'
  | 'aes-192-gcm'
  | 'aes-256-gcm'
  | 'chacha20-poly1305'
  | 'aes-128-cbc'
  | 'aes-192-cbc'
  | 'aes-256-cbc'
  | 'des-ede3-cbc';

export type EspDigest = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** All that ESP needs to know of a suite. Lengths are octets. */
export interface EspTransform {
  /** Such as `AES-GCM-16-128` or `AES-CBC-256/HMAC-SHA2-256-128`. */
  readonly name: string;
  readonly cipher: EspCipher;
  /** undefined with an AEAD. */
  readonly digest: EspDigest | undefined;
  /** Without the salt. */
  readonly keyLength: number;
  /** Salt at the end of the key material, the nonce's beginning (RFC 4106 §4, RFC 7634 §2); 0 unless AEAD. */
  readonly saltLength: number;
  readonly integrityKeyLength: number;
  /** The explicit IV on the wire. */
  readonly ivLength: number;
  /** What plaintext, padding and trailer together are a multiple of: the cipher's block, and 4 at least (RFC 4303 §2.4). */
  readonly alignment: number;
  readonly icvLength: number;
  /** Octets under one key after which a rekey is due, where the cipher's block is short (RFC 2451, RFC 8221 §5). */
  readonly softByteLimit: number;
  readonly reference: string;
}

interface CipherRow {
  readonly encr: number;
  readonly keyBits: number;
  readonly name: string;
  readonly cipher: EspCipher;
  readonly aead: boolean;
  readonly ivLength: number;
  readonly alignment: number;
  readonly softByteLimit: number;
  readonly reference: string;
}

/** ENCR numbers of IANA "IKEv2 Parameters". 3DES: 2³² blocks of 8 octets are the birthday bound; a rekey comes 32 times earlier. */
const ciphers: readonly CipherRow[] = [
  {
    encr: 3,
    keyBits: 192,
    name: '3DES',
    cipher: 'des-ede3-cbc',
    aead: false,
    ivLength: 8,
    alignment: 8,
    softByteLimit: 2 ** 30,
    reference: 'RFC 2451',
  },
  {
    encr: 12,
    keyBits: 128,
    name: 'AES-CBC-128',
    cipher: 'aes-128-cbc',
    aead: false,
    ivLength: 16,
    alignment: 16,
    softByteLimit: Infinity,
    reference: 'RFC 3602',
  },
  {
    encr: 12,
    keyBits: 192,
    name: 'AES-CBC-192',
    cipher: 'aes-192-cbc',
    aead: false,
    ivLength: 16,
    alignment: 16,
    softByteLimit: Infinity,
    reference: 'RFC 3602',
  },
  {
    encr: 12,
    keyBits: 256,
    name: 'AES-CBC-256',
    cipher: 'aes-256-cbc',
    aead: false,
    ivLength: 16,
    alignment: 16,
    softByteLimit: Infinity,
    reference: 'RFC 3602',
  },
  {
    encr: 20,
    keyBits: 128,
    name: 'AES-GCM-16-128',
    cipher: 'aes-128-gcm',
    aead: true,
    ivLength: 8,
    alignment: 4,
    softByteLimit: Infinity,
    reference: 'RFC 4106',
  },
  {
    encr: 20,
    keyBits: 192,
    name: 'AES-GCM-16-192',
    cipher: 'aes-192-gcm',
    aead: true,
    ivLength: 8,
    alignment: 4,
    softByteLimit: Infinity,
    reference: 'RFC 4106',
  },
  {
    encr: 20,
    keyBits: 256,
    name: 'AES-GCM-16-256',
    cipher: 'aes-256-gcm',
    aead: true,
    ivLength: 8,
    alignment: 4,
    softByteLimit: Infinity,
    reference: 'RFC 4106',
  },
  {
    encr: 28,
    keyBits: 256,
    name: 'ChaCha20-Poly1305',
    cipher: 'chacha20-poly1305',
    aead: true,
    ivLength: 8,
    alignment: 4,
    softByteLimit: Infinity,
    reference: 'RFC 7634',
  },
];

interface DigestRow {
  readonly integ: number;
  readonly name: string;
  readonly digest: EspDigest;
  readonly keyLength: number;
  readonly icvLength: number;
  readonly reference: string;
}

/** INTEG numbers of IANA "IKEv2 Parameters". */
const digests: readonly DigestRow[] = [
  { integ: 2, name: 'HMAC-SHA1-96', digest: 'sha1', keyLength: 20, icvLength: 12, reference: 'RFC 2404' },
  { integ: 12, name: 'HMAC-SHA2-256-128', digest: 'sha256', keyLength: 32, icvLength: 16, reference: 'RFC 4868' },
  { integ: 13, name: 'HMAC-SHA2-384-192', digest: 'sha384', keyLength: 48, icvLength: 24, reference: 'RFC 4868' },
  { integ: 14, name: 'HMAC-SHA2-512-256', digest: 'sha512', keyLength: 64, icvLength: 32, reference: 'RFC 4868' },
];

/**
 * The facts of a suite; undefined for one that we do not speak, which includes a cipher without integrity and an AEAD with it.
 * A key length of 0 bits means the only one that the cipher has.
 */
export function espTransform(suite: EspSuite): EspTransform | undefined {
  const fitting = ciphers.filter((row) => row.encr === suite.encr && (suite.keyBits === 0 || row.keyBits === suite.keyBits));
  const cipher = fitting.length === 1 ? fitting[0]! : undefined;
  if (!cipher) return undefined;
  const shared = {
    cipher: cipher.cipher,
    keyLength: cipher.keyBits / 8,
    ivLength: cipher.ivLength,
    alignment: cipher.alignment,
    softByteLimit: cipher.softByteLimit,
  };
  if (cipher.aead) {
    if (suite.integ !== 0) return undefined;
    const aead = { digest: undefined, saltLength: 4, integrityKeyLength: 0, icvLength: 16 };
    return { ...shared, ...aead, name: cipher.name, reference: cipher.reference };
  }
  const digest = digests.find((row) => row.integ === suite.integ);
  if (!digest) return undefined;
  return {
    ...shared,
    digest: digest.digest,
    saltLength: 0,
    integrityKeyLength: digest.keyLength,
    icvLength: digest.icvLength,
    name: `${cipher.name}/${digest.name}`,
    reference: `${cipher.reference}, ${digest.reference}`,
  };
}

/** Every suite that {@link espTransform} knows. */
export const espSuites: readonly EspSuite[] = ciphers.flatMap(({ encr, keyBits, aead }) =>
  aead ? [{ encr, keyBits, integ: 0 }] : digests.map(({ integ }) => ({ encr, keyBits, integ })),
);
