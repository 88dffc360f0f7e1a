import { createPublicKey, type KeyObject } from 'node:crypto';
import type { SignatureScheme } from '@aovpn/ike';
import { weaknessOf } from '../trust/signature-algorithm.ts';
import { readPrivateKey } from './certificate-file.ts';
import { keysError } from './keys-error.ts';
import { readPemBlocks } from './pem.ts';
import { readKeyFile } from './secret-file.ts';
import { softwareKey } from './software-key.ts';

/** A key of ours that no certificate speaks for (RFC 7670). */
export interface RawKey {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly schemes: readonly SignatureScheme[];
  /** @throws {HostError} 130 */
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
}

/** @throws {HostError} 100–104, 111, 113, 115 */
export async function loadRawKey(path: string): Promise<RawKey> {
  const file = await readKeyFile(path);
  try {
    const key = readPrivateKey(file, path);
    const software = softwareKey(key, path);
    return {
      spki: spkiOf(createPublicKey(key)),
      schemes: software.schemes,
      sign: (scheme, data) => software.sign(scheme, data),
    };
  } finally {
    file.fill(0);
  }
}

/** The public keys of a PEM file, as DER SubjectPublicKeyInfo. @throws {HostError} 111, 115 */
export function readPublicKeys(text: string, path: string): readonly Uint8Array[] {
  const blocks = readPemBlocks(text).filter(({ label }) => label === 'PUBLIC KEY');
  if (blocks.length === 0) throw keysError('AOV-HOST-111', `${path} holds no public key`);
  return blocks.map(({ der }) => {
    let key: KeyObject;
    try {
      key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
    } catch (error) {
      throw keysError('AOV-HOST-111', `a public key in ${path} cannot be decoded`, { cause: error });
    }
    const weakness = weaknessOf(key);
    if (weakness !== undefined) throw keysError('AOV-HOST-115', `${path}: ${weakness}`);
    return spkiOf(key);
  });
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }));
}
