/** IANA "IKEv2 Certificate Encodings" (RFC 7296 §3.6) that we understand. */
export const CertEncoding = {
  X509_SIGNATURE: 4,
  CRL: 7,
  HASH_AND_URL: 12,
  HASH_AND_URL_BUNDLE: 13,
  OCSP_CONTENT: 14,
  RAW_PUBLIC_KEY: 15,
} as const;

const names: Readonly<Record<number, string>> = {
  1: 'PKCS #7 wrapped X.509 certificate',
  4: 'X.509 Certificate - Signature',
  7: 'Certificate Revocation List',
  12: 'Hash and URL of X.509 certificate',
  13: 'Hash and URL of X.509 bundle',
  14: 'OCSP Content',
  15: 'Raw Public Key',
};

export function nameOfCertEncoding(encoding: number): string {
  return names[encoding] ?? `certificate encoding(${encoding})`;
}
