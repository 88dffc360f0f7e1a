import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { EnrolmentKey } from '@aovpn/policy';

const generate = promisify(generateKeyPair);

/** A new key; RSA takes a second or so, off the main thread. */
export async function newKey(kind: EnrolmentKey): Promise<KeyObject> {
  switch (kind) {
    case 'p256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'p384':
      return (await generate('ec', { namedCurve: 'P-384' })).privateKey;
    case 'rsa2048':
    case 'rsa3072':
    case 'rsa4096':
      return (await generate('rsa', { modulusLength: Number(kind.slice(3)) })).privateKey;
  }
}
