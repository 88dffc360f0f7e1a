/** IANA "IKEv2 Authentication Method" (RFC 7296 §3.8, RFC 4754, RFC 7427). */
export const AuthMethod = {
  RSA_SIGNATURE: 1,
  SHARED_KEY: 2,
  ECDSA_SHA256_P256: 9,
  ECDSA_SHA384_P384: 10,
  ECDSA_SHA512_P521: 11,
  NULL: 13,
  DIGITAL_SIGNATURE: 14,
} as const;

const names: Readonly<Record<number, string>> = {
  1: 'RSA Digital Signature',
  2: 'Shared Key Message Integrity Code',
  3: 'DSS Digital Signature',
  9: 'ECDSA with SHA-256 on the P-256 curve',
  10: 'ECDSA with SHA-384 on the P-384 curve',
  11: 'ECDSA with SHA-512 on the P-521 curve',
  13: 'NULL Authentication',
  14: 'Digital Signature',
};

export function nameOfAuthMethod(method: number): string {
  return names[method] ?? `authentication method(${method})`;
}

/** IANA "IKEv2 Hash Algorithms" (RFC 7427 §7, RFC 8420 §3) for N(SIGNATURE_HASH_ALGORITHMS). */
export const SignatureHash = { SHA1: 1, SHA2_256: 2, SHA2_384: 3, SHA2_512: 4, IDENTITY: 5 } as const;

/** What we announce: never SHA-1. */
export const announcedSignatureHashes: readonly number[] = [
  SignatureHash.SHA2_256,
  SignatureHash.SHA2_384,
  SignatureHash.SHA2_512,
  SignatureHash.IDENTITY,
];
