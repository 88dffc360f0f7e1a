import {
  createDiffieHellmanGroup,
  createECDH,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  type DiffieHellman,
  type DiffieHellmanGroup,
  type ECDH,
  type KeyObject,
} from 'node:crypto';
import { createSubgroupKey, isInSubgroup } from './modp-subgroup.ts';
import { Ke, keRows, type KeyExchangeAnswer, type KeRow, type KeyPair } from '@aovpn/ike';

const modpNames: Readonly<Record<number, string>> = {
  [Ke.MODP1024]: 'modp2',
  [Ke.MODP2048]: 'modp14',
  [Ke.MODP3072]: 'modp15',
  [Ke.MODP4096]: 'modp16',
};

const curveNames: Readonly<Record<number, string>> = {
  [Ke.ECP256]: 'prime256v1',
  [Ke.ECP384]: 'secp384r1',
  [Ke.ECP521]: 'secp521r1',
};

/** DER before the 32 octets of an X25519 SubjectPublicKeyInfo (RFC 8410 §4). */
const x25519SpkiPrefix = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00);

/** Name for OpenSSL and last arc of the object identifier 2.16.840.1.101.3.4.4.x (FIPS 203). */
const kemNames: Readonly<Record<number, { readonly name: 'ml-kem-768' | 'ml-kem-1024'; readonly arc: number }>> = {
  [Ke.ML_KEM_768]: { name: 'ml-kem-768', arc: 2 },
  [Ke.ML_KEM_1024]: { name: 'ml-kem-1024', arc: 3 },
};

let kemAvailable: boolean | undefined;

/** ML-KEM came with OpenSSL 3.5 and Node 24.7. */
export function canExchange(group: number): boolean {
  if (!kemNames[group]) return keRows.some(({ id }) => id === group);
  if (kemAvailable === undefined) {
    try {
      generateKeyPairSync('ml-kem-768');
      kemAvailable = typeof encapsulate === 'function';
    } catch {
      kemAvailable = false;
    }
  }
  return kemAvailable;
}

/** A fresh pair; `secret` is OpenSSL's own object and never octets of ours. */
export function generateKeyPair(group: number): KeyPair {
  const modp = modpNames[group];
  if (modp) {
    const secret = createDiffieHellmanGroup(modp);
    return { group, publicValue: leftPad(secret.generateKeys(), publicLength(group)), secret };
  }
  if (group === Ke.MODP2048_256) {
    const secret = createSubgroupKey();
    return { group, publicValue: leftPad(secret.generateKeys(), publicLength(group)), secret };
  }
  const curve = curveNames[group];
  if (curve) {
    const secret = createECDH(curve);
    // RFC 5903 §7: x and y without the octet that says "uncompressed".
    return { group, publicValue: new Uint8Array(secret.generateKeys().subarray(1)), secret };
  }
  if (group === Ke.X25519) {
    const { publicKey, privateKey } = generateKeyPairSync('x25519');
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return { group, publicValue: new Uint8Array(spki.subarray(x25519SpkiPrefix.length)), secret: privateKey };
  }
  const kem = kemNames[group];
  if (kem) {
    const { publicKey, privateKey } = generateKeyPairSync(kem.name as 'ml-kem-768');
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return { group, publicValue: new Uint8Array(spki.subarray(spki.length - publicLength(group))), secret: privateKey };
  }
  throw new RangeError(`no key exchange method ${group}`);
}

/** As responder: a pair of our own and its secret, or for ML-KEM a ciphertext and what is in it. */
export function answerKeyExchange(group: number, peerPublicValue: Uint8Array): KeyExchangeAnswer | undefined {
  if (kemNames[group]) return kemAnswer(group, peerPublicValue);
  const pair = generateKeyPair(group);
  const secret = sharedSecret(pair, peerPublicValue);
  return secret && { publicValue: pair.publicValue, sharedSecret: secret };
}

/** The tests that each group's RFC demands of the peer's value come first (RFC 6989 §2, RFC 7748 §6.1). */
export function sharedSecret(pair: KeyPair, peerPublicValue: Uint8Array): Uint8Array | undefined {
  if (peerPublicValue.length !== answerLength(pair.group)) return undefined;
  // A ciphertext that is not for this key gives a secret that nobody else has (FIPS 203 §6.3): authentication fails then.
  if (kemNames[pair.group]) return new Uint8Array(decapsulate(pair.secret as KeyObject, peerPublicValue));
  if (modpNames[pair.group]) return modpSecret(pair.secret as DiffieHellmanGroup, peerPublicValue);
  if (pair.group === Ke.MODP2048_256)
    return isInSubgroup(toNumber(peerPublicValue)) ? modpSecret(pair.secret as DiffieHellman, peerPublicValue) : undefined;
  if (curveNames[pair.group]) return curveSecret(pair.secret as ECDH, peerPublicValue);
  return x25519Secret(pair.secret as KeyObject, peerPublicValue);
}

function modpSecret(secret: DiffieHellman | DiffieHellmanGroup, peer: Uint8Array): Uint8Array | undefined {
  // With a safe prime 1 < y < p − 1 is the whole test (RFC 6989 §2.1).
  const prime = secret.getPrime();
  const value = toNumber(peer);
  if (value <= 1n || value >= toNumber(prime) - 1n) return undefined;
  // RFC 7296 §2.14: g^ir is padded to the length of the modulus.
  return leftPad(secret.computeSecret(peer), prime.length);
}

function curveSecret(secret: ECDH, peer: Uint8Array): Uint8Array | undefined {
  try {
    // Throws for a point that is not on the curve; infinity has no such form. RFC 5903 §9: the secret is x alone.
    return new Uint8Array(secret.computeSecret(Buffer.concat([Uint8Array.of(4), peer])));
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY') return undefined;
    throw error;
  }
}

function x25519Secret(privateKey: KeyObject, peer: Uint8Array): Uint8Array | undefined {
  const publicKey = createPublicKey({ key: Buffer.concat([x25519SpkiPrefix, peer]), format: 'der', type: 'spki' });
  let result: Uint8Array;
  try {
    result = new Uint8Array(diffieHellman({ privateKey, publicKey }));
  } catch {
    // OpenSSL refuses points of small order by the all-zero result (RFC 7748 §6.1, a MUST in RFC 8031 §4).
    return undefined;
  }
  return result.some((octet) => octet !== 0) ? result : undefined;
}

function kemAnswer(group: number, peer: Uint8Array): KeyExchangeAnswer | undefined {
  if (peer.length !== publicLength(group)) return undefined;
  let publicKey: KeyObject;
  try {
    // OpenSSL checks that every coefficient is reduced, as FIPS 203 §7.2 demands.
    publicKey = createPublicKey({ key: Buffer.concat([kemSpkiPrefix(group), peer]), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
  const { ciphertext, sharedKey } = encapsulate(publicKey);
  return { publicValue: new Uint8Array(ciphertext), sharedSecret: new Uint8Array(sharedKey) };
}

/** DER before the octets of an ML-KEM SubjectPublicKeyInfo. */
function kemSpkiPrefix(group: number): Uint8Array {
  const length = publicLength(group);
  const u16 = (value: number): number[] => [value >> 8, value & 0xff];
  const algorithm = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, kemNames[group]!.arc];
  const bits = [0x03, 0x82, ...u16(length + 1), 0x00];
  return Uint8Array.of(0x30, 0x82, ...u16(algorithm.length + bits.length + length), ...algorithm, ...bits);
}

function publicLength(group: number): number {
  return row(group).publicLength;
}

function answerLength(group: number): number {
  const { answerLength: other, publicLength: same } = row(group);
  return other ?? same;
}

function row(group: number): KeRow {
  const found = keRows.find((candidate) => candidate.id === group);
  if (!found) throw new RangeError(`no key exchange method ${group}`);
  return found;
}

function leftPad(octets: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(length);
  padded.set(octets, length - octets.length);
  return padded;
}

function toNumber(octets: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(octets).toString('hex')}`);
}
