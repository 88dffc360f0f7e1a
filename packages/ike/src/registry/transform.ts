/** IANA "IKEv2 Parameters", transform types and ids that we implement. One row a code point; nothing else knows bare numbers. */

/** RFC 7296 §3.3.2; additional key exchanges are types 6 to 12 (RFC 9370 §2.2.1). */
export const TransformType = { ENCR: 1, PRF: 2, INTEG: 3, KE: 4, ESN: 5, ADDKE1: 6, ADDKE7: 12 } as const;

/** Whether a transform type is one of ADDKE1 to ADDKE7. */
export function isAdditionalKe(type: number): boolean {
  return type >= TransformType.ADDKE1 && type <= TransformType.ADDKE7;
}

export interface EncrRow {
  readonly id: number;
  readonly name: string;
  readonly aead: boolean;
  /** Octets of the explicit IV on the wire. */
  readonly ivLength: number;
  readonly blockLength: number;
  readonly icvLength: number;
  readonly saltLength: number;
  /** Allowed key lengths in bits; fixed-length ciphers have one and send no Key Length attribute. */
  readonly keyBits: readonly number[];
  readonly fixedKey: boolean;
  readonly weak: boolean;
  readonly reference: string;
}

export const Encr = { DES3: 3, AES_CBC: 12, AES_GCM_16: 20, CHACHA20_POLY1305: 28 } as const;

export const encrRows: readonly EncrRow[] = [
  {
    id: 3,
    name: '3DES',
    aead: false,
    ivLength: 8,
    blockLength: 8,
    icvLength: 0,
    saltLength: 0,
    keyBits: [192],
    fixedKey: true,
    weak: true,
    reference: 'RFC 2451',
  },
  {
    id: 12,
    name: 'AES-CBC',
    aead: false,
    ivLength: 16,
    blockLength: 16,
    icvLength: 0,
    saltLength: 0,
    keyBits: [128, 192, 256],
    fixedKey: false,
    weak: false,
    reference: 'RFC 3602',
  },
  {
    id: 20,
    name: 'AES-GCM-16',
    aead: true,
    ivLength: 8,
    blockLength: 1,
    icvLength: 16,
    saltLength: 4,
    keyBits: [128, 192, 256],
    fixedKey: false,
    weak: false,
    reference: 'RFC 4106, RFC 5282',
  },
  {
    id: 28,
    name: 'ChaCha20-Poly1305',
    aead: true,
    ivLength: 8,
    blockLength: 1,
    icvLength: 16,
    saltLength: 4,
    keyBits: [256],
    fixedKey: true,
    weak: false,
    reference: 'RFC 7634',
  },
];

export const Prf = { HMAC_SHA1: 2, HMAC_SHA2_256: 5, HMAC_SHA2_384: 6, HMAC_SHA2_512: 7 } as const;

export interface PrfRow {
  readonly id: number;
  readonly name: string;
  /** Octets of output, which is also the preferred key length (RFC 7296 §2.13). */
  readonly length: number;
  readonly weak: boolean;
  readonly reference: string;
}

export const prfRows: readonly PrfRow[] = [
  { id: 2, name: 'PRF-HMAC-SHA1', length: 20, weak: false, reference: 'RFC 2104' },
  { id: 5, name: 'PRF-HMAC-SHA2-256', length: 32, weak: false, reference: 'RFC 4868' },
  { id: 6, name: 'PRF-HMAC-SHA2-384', length: 48, weak: false, reference: 'RFC 4868' },
  { id: 7, name: 'PRF-HMAC-SHA2-512', length: 64, weak: false, reference: 'RFC 4868' },
];

export const Integ = { NONE: 0, HMAC_SHA1_96: 2, HMAC_SHA2_256_128: 12, HMAC_SHA2_384_192: 13, HMAC_SHA2_512_256: 14 } as const;

export interface IntegRow {
  readonly id: number;
  readonly name: string;
  readonly keyLength: number;
  readonly icvLength: number;
  readonly weak: boolean;
  readonly reference: string;
}

export const integRows: readonly IntegRow[] = [
  { id: 2, name: 'HMAC-SHA1-96', keyLength: 20, icvLength: 12, weak: true, reference: 'RFC 2404' },
  { id: 12, name: 'HMAC-SHA2-256-128', keyLength: 32, icvLength: 16, weak: false, reference: 'RFC 4868' },
  { id: 13, name: 'HMAC-SHA2-384-192', keyLength: 48, icvLength: 24, weak: false, reference: 'RFC 4868' },
  { id: 14, name: 'HMAC-SHA2-512-256', keyLength: 64, icvLength: 32, weak: false, reference: 'RFC 4868' },
];

export const Ke = {
  NONE: 0,
  MODP1024: 2,
  MODP2048: 14,
  MODP3072: 15,
  MODP4096: 16,
  ECP256: 19,
  ECP384: 20,
  ECP521: 21,
  MODP2048_256: 24,
  X25519: 31,
  ML_KEM_768: 36,
  ML_KEM_1024: 37,
} as const;

export interface KeRow {
  readonly id: number;
  readonly name: string;
  /** Octets of the KE payload's data. */
  readonly publicLength: number;
  /** The same in the answer, where that differs: a key encapsulation mechanism answers with a ciphertext. */
  readonly answerLength?: number;
  readonly weak: boolean;
  readonly reference: string;
}

export const keRows: readonly KeRow[] = [
  { id: 2, name: 'MODP1024', publicLength: 128, weak: true, reference: 'RFC 7296' },
  { id: 14, name: 'MODP2048', publicLength: 256, weak: false, reference: 'RFC 3526' },
  { id: 15, name: 'MODP3072', publicLength: 384, weak: false, reference: 'RFC 3526' },
  { id: 16, name: 'MODP4096', publicLength: 512, weak: false, reference: 'RFC 3526' },
  { id: 19, name: 'ECP256', publicLength: 64, weak: false, reference: 'RFC 5903' },
  { id: 20, name: 'ECP384', publicLength: 96, weak: false, reference: 'RFC 5903' },
  { id: 21, name: 'ECP521', publicLength: 132, weak: false, reference: 'RFC 5903' },
  { id: 24, name: 'MODP2048-256', publicLength: 256, weak: true, reference: 'RFC 5114' },
  { id: 31, name: 'X25519', publicLength: 32, weak: false, reference: 'RFC 8031' },
  kem(36, 'ML-KEM-768', 1184, 1088),
  kem(37, 'ML-KEM-1024', 1568, 1568),
];

export const Esn = { NONE: 0, YES: 1 } as const;

/** FIPS 203 §8: lengths of the encapsulation key and of the ciphertext. */
function kem(id: number, name: string, publicLength: number, answerLength: number): KeRow {
  return { id, name, publicLength, answerLength, weak: false, reference: 'draft-ietf-ipsecme-ikev2-mlkem' };
}
