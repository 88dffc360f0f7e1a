import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { equal } from '@aovpn/bytes';
import { parseEcdsaSignature, type HashName, type SignatureScheme } from '@aovpn/ike';
import { maxRsaExponent, maxRsaModulusBits, minRsaModulusBits } from './strength.ts';

/** Octets of one coordinate of the curves of RFC 4754. */
const curves: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48, secp521r1: 66 };

const hashes: Readonly<Record<SignatureScheme, HashName | undefined>> = {
  'rsa-pkcs1-sha1': 'sha1',
  'rsa-pkcs1-sha256': 'sha256',
  'rsa-pkcs1-sha384': 'sha384',
  'rsa-pkcs1-sha512': 'sha512',
  'rsa-pss-sha256': 'sha256',
  'rsa-pss-sha384': 'sha384',
  'rsa-pss-sha512': 'sha512',
  'ecdsa-sha256': 'sha256',
  'ecdsa-sha384': 'sha384',
  'ecdsa-sha512': 'sha512',
  ed25519: undefined,
};

const hashLengths: Readonly<Record<HashName, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** Keys of good signatures that stay read: a gateway has the same one at every handshake, and reading it takes as long as verifying. */
const known = new Map<string, KeyObject>();
const knownLimit = 16;

/**
 * Whether `signature` is that of the key in `spki` (DER) over `data`. Weak keys, other curves, loose encodings of the key or of
 * the signature, and schemes that do not belong to the key are all just false.
 */
export function verifySignature(spki: Uint8Array, scheme: SignatureScheme, data: Uint8Array, signature: Uint8Array): boolean {
  try {
    const id = Buffer.from(spki).toString('base64');
    const key = known.get(id) ?? publicKeyOf(spki);
    if (!key || !isGood(key, scheme, data, signature)) return false;
    known.delete(id);
    known.set(id, key);
    const [oldest] = known.keys();
    if (known.size > knownLimit && oldest !== undefined) known.delete(oldest);
    return true;
  } catch {
    // OpenSSL throws for keys and signatures that it cannot even read: a peer's bad value.
    return false;
  }
}

/** @throws {Error} of OpenSSL */
function isGood(key: KeyObject, scheme: SignatureScheme, data: Uint8Array, signature: Uint8Array): boolean {
  const hash = hashes[scheme];
  if (scheme.startsWith('rsa-pkcs1-')) {
    // OpenSSL rebuilds the whole padded block and compares it, so nothing can hide behind the digest (the e = 3 forgeries).
    if (key.asymmetricKeyType !== 'rsa' || !goodRsaKey(key)) return false;
    // PKCS #1 v1.5 is what Node takes for a key of this type.
    return verify(hash, data, key, signature);
  }
  if (scheme.startsWith('rsa-pss-')) {
    if (!(key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'rsa-pss') || !goodRsaKey(key)) return false;
    const saltLength = hashLengths[hash!];
    return verify(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }, signature);
  }
  if (scheme.startsWith('ecdsa-')) {
    const size = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
    if (key.asymmetricKeyType !== 'ec' || !size || !parseEcdsaSignature(signature, size)) return false;
    return verify(hash, data, key, signature);
  }
  return key.asymmetricKeyType === 'ed25519' && signature.length === 64 && verify(null, data, key, signature);
}

/** undefined unless the octets are exactly what the key is written as: no other encoding, nothing behind it. */
function publicKeyOf(spki: Uint8Array): KeyObject | undefined {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  return equal(key.export({ type: 'spki', format: 'der' }), spki) ? key : undefined;
}

function goodRsaKey(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return (
    modulusLength >= minRsaModulusBits &&
    modulusLength <= maxRsaModulusBits &&
    publicExponent >= 3n &&
    publicExponent <= maxRsaExponent &&
    publicExponent % 2n === 1n
  );
}
