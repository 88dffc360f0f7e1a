import { constants, sign, type KeyObject, type SignKeyObjectInput } from 'node:crypto';
import { promisify } from 'node:util';
import type { SignatureScheme } from '@aovpn/ike';
import { weaknessOf } from '../trust/signature-algorithm.ts';
import { keysError } from './keys-error.ts';
import type { PrivateKey } from './private-key.ts';

/**
 * A key from a file.
 * @param place where it is from, for errors
 * @throws {HostError} 115 for a weak key or one of another kind
 */
export function softwareKey(key: KeyObject, place: string): PrivateKey {
  const schemes = schemesOf(key, place);
  return {
    onToken: false,
    schemes,
    unlock: () => Promise.resolve(),
    sign: (scheme, data) => signWith(key, schemes, scheme, data),
    tlsOptions: () => ({ key: key.export({ type: 'pkcs8', format: 'pem' }) }),
    takeFailure: () => undefined,
  };
}

const pssSchemes = ['rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'] as const;
const pkcs1Schemes = ['rsa-pkcs1-sha256', 'rsa-pkcs1-sha384', 'rsa-pkcs1-sha512', 'rsa-pkcs1-sha1'] as const;
const curveSchemes: Readonly<Record<string, SignatureScheme>> = {
  prime256v1: 'ecdsa-sha256',
  secp384r1: 'ecdsa-sha384',
  secp521r1: 'ecdsa-sha512',
};

/**
 * What a private key or the private half of this public key can sign with, most wanted first.
 * @throws {HostError} 115
 */
export function schemesOf(key: KeyObject, place: string): readonly SignatureScheme[] {
  const weakness = weaknessOf(key);
  if (weakness !== undefined) throw keysError('AOV-HOST-115', `${place}: ${weakness}`);
  const type: string = key.asymmetricKeyType ?? 'unknown';
  switch (type) {
    case 'rsa':
      return [...pssSchemes, ...pkcs1Schemes];
    case 'rsa-pss':
      return pssSchemes;
    case 'ec':
      return [curveSchemes[key.asymmetricKeyDetails?.namedCurve ?? '']!];
    case 'ed25519':
      return ['ed25519'];
    default:
      throw keysError('AOV-HOST-115', `${place}: a key of type ${type}`);
  }
}

async function signWith(
  key: KeyObject,
  schemes: readonly SignatureScheme[],
  scheme: SignatureScheme,
  data: Uint8Array,
): Promise<Uint8Array> {
  if (!schemes.includes(scheme)) throw keysError('AOV-HOST-130', `this key cannot sign with ${scheme}`);
  const hash = scheme === 'ed25519' ? null : scheme.slice(scheme.lastIndexOf('-') + 1);
  // For ECDSA the key alone: the signature is DER then, and Node need not find out that an object around it is no key.
  const input: SignKeyObjectInput = scheme.startsWith('rsa-pss')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : scheme.startsWith('rsa')
      ? { key, padding: constants.RSA_PKCS1_PADDING }
      : { key };
  try {
    // With a callback, signing runs outside of the main thread: worth it for RSA, while on a curve the way there takes longer than signing.
    const signature = scheme.startsWith('rsa')
      ? await promisify<string | null, Uint8Array, SignKeyObjectInput, Buffer>(sign)(hash, data, input)
      : sign(hash, data, key);
    return new Uint8Array(signature);
  } catch (error) {
    throw keysError('AOV-HOST-130', `signing with ${scheme} failed`, { cause: error });
  }
}
