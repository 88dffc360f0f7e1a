import { createHash, X509Certificate } from 'node:crypto';

/** Of the SubjectPublicKeyInfo of a certificate, both in DER (RFC 7469 §2.4, RFC 9464 §5). */
export function keyDigest(leaf: Uint8Array, hash: 'sha256' | 'sha384' | 'sha512'): Buffer {
  const key = new X509Certificate(leaf).publicKey.export({ type: 'spki', format: 'der' });
  return createHash(hash).update(key).digest();
}
