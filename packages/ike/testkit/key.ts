import { generateKeyPairSync, sign } from 'node:crypto';

/** A key for tests. Its SubjectPublicKeyInfo plays the certificate: what a certificate proves is the host's matter, not the machine's. */
export interface TestKey {
  readonly spki: Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

export function createTestKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    /** ECDSA with SHA-256, as DER. */
    sign: (data) => new Uint8Array(sign('sha256', data, privateKey)),
  };
}
