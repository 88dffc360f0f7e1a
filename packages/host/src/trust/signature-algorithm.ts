import { constants, verify, type KeyObject } from 'node:crypto';
import * as pkijs from 'pkijs';

interface Algorithm {
  readonly hash: string | null;
  readonly kind: 'rsa' | 'rsa-pss' | 'ec' | 'eddsa';
  readonly saltLength?: number;
}

/** Signature algorithms of certificates, CRLs and OCSP responses that are believed. SHA-1, MD5 and SHA-224 are not among them. */
const strong: Readonly<Record<string, Algorithm>> = {
  '1.2.840.113549.1.1.11': { hash: 'sha256', kind: 'rsa' },
  '1.2.840.113549.1.1.12': { hash: 'sha384', kind: 'rsa' },
  '1.2.840.113549.1.1.13': { hash: 'sha512', kind: 'rsa' },
  '1.2.840.10045.4.3.2': { hash: 'sha256', kind: 'ec' },
  '1.2.840.10045.4.3.3': { hash: 'sha384', kind: 'ec' },
  '1.2.840.10045.4.3.4': { hash: 'sha512', kind: 'ec' },
  '1.3.101.112': { hash: null, kind: 'eddsa' },
  '1.3.101.113': { hash: null, kind: 'eddsa' },
};
const rsaPss = '1.2.840.113549.1.1.10';
const hashes: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** The algorithm, or undefined when it is weak or unknown. */
export function strongAlgorithm(identifier: pkijs.AlgorithmIdentifier): Algorithm | undefined {
  if (identifier.algorithmId !== rsaPss) return strong[identifier.algorithmId];
  const parameters: unknown = identifier.algorithmParams;
  if (parameters === undefined) return undefined;
  try {
    // The defaults of RSASSA-PSS-params are SHA-1 (RFC 4055 §3.1), so only explicit parameters can be strong.
    const pss = new pkijs.RSASSAPSSParams({ schema: parameters });
    const hash = hashes[pss.hashAlgorithm.algorithmId];
    return hash === undefined ? undefined : { hash, kind: 'rsa-pss', saltLength: pss.saltLength };
  } catch {
    return undefined;
  }
}

/** Whether `signature` over `data` is by `key` with a believed algorithm. */
export function isSignedBy(
  key: KeyObject,
  identifier: pkijs.AlgorithmIdentifier,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const algorithm = strongAlgorithm(identifier);
  if (!algorithm) return false;
  const type = key.asymmetricKeyType;
  try {
    switch (algorithm.kind) {
      case 'rsa':
        return type === 'rsa' && verify(algorithm.hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
      case 'rsa-pss': {
        const { saltLength } = algorithm;
        if ((type !== 'rsa' && type !== 'rsa-pss') || saltLength === undefined) return false;
        return verify(algorithm.hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }, signature);
      }
      case 'ec':
        return type === 'ec' && verify(algorithm.hash, data, { key, dsaEncoding: 'der' }, signature);
      case 'eddsa':
        return (type === 'ed25519' || type === 'ed448') && verify(null, data, key, signature);
    }
  } catch {
    return false;
  }
}

const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Why a public key is too weak to be believed; undefined when it is not. */
export function weaknessOf(key: KeyObject): string | undefined {
  const details = key.asymmetricKeyDetails ?? {};
  const type: string = key.asymmetricKeyType ?? 'unknown';
  switch (type) {
    case 'rsa':
    case 'rsa-pss': {
      const bits = details.modulusLength ?? 0;
      const exponent = details.publicExponent ?? 0n;
      if (bits < 2048) return `an RSA key of ${bits} bits`;
      if (bits > 16384) return `an RSA key of ${bits} bits, which costs too much to use`;
      if (exponent < 3n || exponent % 2n === 0n) return `an RSA key with the exponent ${exponent}`;
      return undefined;
    }
    case 'ec':
      return curves.has(details.namedCurve ?? '')
        ? undefined
        : `an elliptic curve key on ${details.namedCurve ?? 'an unnamed curve'}`;
    case 'ed25519':
    case 'ed448':
      return undefined;
    default:
      return `a key of type ${type}`;
  }
}
