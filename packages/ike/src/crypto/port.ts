/**
 * What IKE needs of cryptography, synchronously, so that the machine stays a machine. Numbers are IKEv2 transform ids.
 * Implementations throw on programming errors only (unknown algorithm, wrong key length); a peer's bad value is a return value.
 */
export interface IkeCrypto {
  random(length: number): Uint8Array;
  /** HMAC of RFC 7296 §2.13 with a PRF transform (2, 5, 6, 7). */
  prf(prf: number, key: Uint8Array, ...data: readonly Uint8Array[]): Uint8Array;
  /** Integrity check value, truncated as the transform says. */
  integrity(integ: number, key: Uint8Array, ...data: readonly Uint8Array[]): Uint8Array;
  /** AEAD: ciphertext and ICV (`iv` is the 8-octet explicit IV; the key ends in its salt). CBC, 3DES: ciphertext of the padded input. */
  encrypt(encr: number, key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array;
  /** The reverse; undefined when an AEAD does not authenticate. */
  decrypt(encr: number, key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array, aad: Uint8Array): Uint8Array | undefined;
  hash(name: HashName, ...data: readonly Uint8Array[]): Uint8Array;
  /** Whether this machine can do a key exchange method: ML-KEM is not in every OpenSSL. */
  canExchange(group: number): boolean;
  /** A fresh key pair of a key exchange method, as initiator; `publicValue` is in KE payload form (RFC 7296 §3.4, RFC 5903, RFC 8031). */
  generateKeyPair(group: number): KeyPair;
  /** g^ir, or what the responder encapsulated; undefined when its value is not acceptable (wrong length, off the curve, 0, 1, p−1, all-zero X25519 result). */
  sharedSecret(pair: KeyPair, peerPublicValue: Uint8Array): Uint8Array | undefined;
  /** The whole of a key exchange as its responder; undefined when the initiator's value is not acceptable. */
  answerKeyExchange(group: number, peerPublicValue: Uint8Array): KeyExchangeAnswer | undefined;
  /** Checks a signature with a DER SubjectPublicKeyInfo; strict encodings only; false for anything that is not right. */
  verify(spki: Uint8Array, scheme: SignatureScheme, data: Uint8Array, signature: Uint8Array): boolean;
}

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';

export interface KeyPair {
  readonly group: number;
  readonly publicValue: Uint8Array;
  /** Opaque to the machine. */
  readonly secret: unknown;
}

export interface KeyExchangeAnswer {
  readonly publicValue: Uint8Array;
  readonly sharedSecret: Uint8Array;
}

export type SignatureScheme =
  | 'rsa-pkcs1-sha1'
  | 'rsa-pkcs1-sha256'
  | 'rsa-pkcs1-sha384'
  | 'rsa-pkcs1-sha512'
  | 'rsa-pss-sha256'
  | 'rsa-pss-sha384'
  | 'rsa-pss-sha512'
  | 'ecdsa-sha256'
  | 'ecdsa-sha384'
  | 'ecdsa-sha512'
  | 'ed25519';
