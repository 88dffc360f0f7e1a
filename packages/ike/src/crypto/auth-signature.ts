import { concat, equal, fromHex } from '@aovpn/bytes';
import type { AuthAnnouncement } from '../message/auth-announcement.ts';
import { AuthMethod, SignatureHash, announcedSignatureHashes } from '../registry/auth-method.ts';
import { ecdsaSignatureToDer, parseEcdsaSignature } from './ecdsa-signature.ts';
import type { SignatureScheme } from './port.ts';

/** What a SubjectPublicKeyInfo holds, as far as signature methods care. */
export type SpkiKind = 'rsa' | 'rsa-pss' | 'p256' | 'p384' | 'p521' | 'ed25519';

interface SchemeRow {
  readonly scheme: SignatureScheme;
  readonly hash: number;
  readonly keys: readonly SpkiKind[];
  /** DER AlgorithmIdentifiers by which the scheme may be named; the first is the one that we send. */
  readonly identifiers: readonly Uint8Array[];
  readonly reference: string;
}

interface ClassicRow {
  readonly method: number;
  readonly scheme: SignatureScheme;
  readonly key: SpkiKind;
  /** Octets of one half of r | s; undefined for RSA. */
  readonly half?: number;
  readonly reference: string;
}

/** RFC 7427 appendix A and RFC 8420 appendix A. Compared octet for octet: another encoding of the same thing is not the same thing. */
const schemeRows: readonly SchemeRow[] = [
  pkcs1('rsa-pkcs1-sha1', SignatureHash.SHA1, '300d06092a864886f70d0101050500'),
  pkcs1('rsa-pkcs1-sha256', SignatureHash.SHA2_256, '300d06092a864886f70d01010b0500'),
  pkcs1('rsa-pkcs1-sha384', SignatureHash.SHA2_384, '300d06092a864886f70d01010c0500'),
  pkcs1('rsa-pkcs1-sha512', SignatureHash.SHA2_512, '300d06092a864886f70d01010d0500'),
  pss('rsa-pss-sha256', SignatureHash.SHA2_256, '0609608648016503040201', 32),
  pss('rsa-pss-sha384', SignatureHash.SHA2_384, '0609608648016503040202', 48),
  pss('rsa-pss-sha512', SignatureHash.SHA2_512, '0609608648016503040203', 64),
  ecdsa('ecdsa-sha256', SignatureHash.SHA2_256, '300a06082a8648ce3d040302'),
  ecdsa('ecdsa-sha384', SignatureHash.SHA2_384, '300a06082a8648ce3d040303'),
  ecdsa('ecdsa-sha512', SignatureHash.SHA2_512, '300a06082a8648ce3d040304'),
  {
    scheme: 'ed25519',
    hash: SignatureHash.IDENTITY,
    keys: ['ed25519'],
    identifiers: [fromHex('300506032b6570')],
    reference: 'RFC 8420 §2',
  },
];

/** The methods that name hash and curve by themselves. */
const classicRows: readonly ClassicRow[] = [
  { method: AuthMethod.RSA_SIGNATURE, scheme: 'rsa-pkcs1-sha1', key: 'rsa', reference: 'RFC 7296 §3.8' },
  { method: AuthMethod.ECDSA_SHA256_P256, scheme: 'ecdsa-sha256', key: 'p256', half: 32, reference: 'RFC 4754 §7' },
  { method: AuthMethod.ECDSA_SHA384_P384, scheme: 'ecdsa-sha384', key: 'p384', half: 48, reference: 'RFC 4754 §7' },
  { method: AuthMethod.ECDSA_SHA512_P521, scheme: 'ecdsa-sha512', key: 'p521', half: 66, reference: 'RFC 4754 §7' },
];

/**
 * The AUTH payload of a signature. At the crypto port an ECDSA signature is always DER (ECDSA-Sig-Value), which RFC 7427 carries
 * as it is; the methods of RFC 4754 carry r | s instead, and the conversion is here.
 * @throws {RangeError} for a scheme that has no such method, or an ECDSA signature that is not DER
 */
export function encodeSignatureAuth(
  scheme: SignatureScheme,
  signature: Uint8Array,
  rfc7427: boolean,
): { readonly method: number; readonly data: Uint8Array } {
  if (rfc7427) {
    const identifier = rowOf(scheme).identifiers[0]!;
    return { method: AuthMethod.DIGITAL_SIGNATURE, data: concat(Uint8Array.of(identifier.length), identifier, signature) };
  }
  const row = classicRows.find((candidate) => candidate.scheme === scheme);
  if (!row) throw new RangeError(`${scheme} can only be sent as RFC 7427 says`);
  if (row.half === undefined) return { method: row.method, data: signature };
  const pair = parseEcdsaSignature(signature, row.half);
  if (!pair) throw new RangeError(`not an ECDSA signature in DER for ${scheme}`);
  return { method: row.method, data: concat(pair.r, pair.s) };
}

/**
 * The signature inside a peer's AUTH payload, in the port's form. With `spkiKind` the method must also fit the key:
 * RFC 4754 binds its methods to curves. SHA-1 is accepted only where it is the method's only hash (method 1), never by RFC 7427.
 */
export function decodeSignatureAuth(
  method: number,
  data: Uint8Array,
  spkiKind?: SpkiKind,
): { readonly scheme: SignatureScheme; readonly signature: Uint8Array } | { readonly problem: string } {
  if (method === AuthMethod.DIGITAL_SIGNATURE) return decodeRfc7427(data, spkiKind);
  const row = classicRows.find((candidate) => candidate.method === method);
  if (!row) return { problem: `authentication method ${method} is no signature that we know` };
  if (spkiKind !== undefined && spkiKind !== row.key) return { problem: `method ${method} does not go with a ${spkiKind} key` };
  if (row.half === undefined) return { scheme: row.scheme, signature: data.slice() };
  if (data.length !== 2 * row.half) return { problem: `a signature of ${data.length} octets instead of ${2 * row.half}` };
  return { scheme: row.scheme, signature: ecdsaSignatureToDer(data) };
}

/**
 * How to sign, given what our key can do (most wanted first) and what the peer can check.
 * @param peerHashes content of the peer's N(SIGNATURE_HASH_ALGORITHMS); undefined when it sent none
 * @param announced content of the peer's N(SUPPORTED_AUTH_METHODS); undefined when it sent none
 * @returns undefined when nothing of ours can be understood by the peer
 */
export function chooseScheme(
  own: readonly SignatureScheme[],
  peerHashes: readonly number[] | undefined,
  announced?: readonly AuthAnnouncement[],
): { readonly scheme: SignatureScheme; readonly rfc7427: boolean } | undefined {
  const modern = own.filter((scheme) => peerHashes?.includes(rowOf(scheme).hash));
  const classic = own.filter((scheme) => classicRows.some((row) => row.scheme === scheme));
  // RFC 9593 §3.2: what the peer says it understands comes first; a list without anything of ours is no reason not to try.
  const saidModern = modern.find((scheme) => announced?.some((said) => announces(said, scheme)));
  if (saidModern) return { scheme: saidModern, rfc7427: true };
  const methodOf = (scheme: SignatureScheme): number => classicRows.find((row) => row.scheme === scheme)!.method;
  const saidClassic = classic.find((scheme) => announced?.some(({ method }) => method === methodOf(scheme)));
  if (saidClassic) return { scheme: saidClassic, rfc7427: false };
  if (modern[0]) return { scheme: modern[0], rfc7427: true };
  return classic[0] && { scheme: classic[0], rfc7427: false };
}

/** What we understand from a gateway, for N(SUPPORTED_AUTH_METHODS): every signature scheme but SHA-1. */
export function ownAnnouncements(): AuthAnnouncement[] {
  return schemeRows
    .filter(({ hash }) => announcedSignatureHashes.includes(hash))
    .map(({ identifiers }) => ({ method: AuthMethod.DIGITAL_SIGNATURE, certificateLink: 0, algorithm: identifiers[0]! }));
}

/** Method 14 without algorithms is any algorithm whose hash was announced. */
function announces({ method, algorithm }: AuthAnnouncement, scheme: SignatureScheme): boolean {
  if (method !== AuthMethod.DIGITAL_SIGNATURE) return false;
  return algorithm === undefined || rowOf(scheme).identifiers.some((known) => equal(known, algorithm));
}

/** What key a DER SubjectPublicKeyInfo holds, by its AlgorithmIdentifier; undefined for keys that no method of ours can use. */
export function spkiKindOf(spki: Uint8Array): SpkiKind | undefined {
  const start = spki[1] === 0x82 ? 4 : spki[1] === 0x81 ? 3 : 2;
  if (spki[0] !== 0x30) return undefined;
  return spkiAlgorithms.find(({ prefix }) => equal(prefix, spki.subarray(start, start + prefix.length)))?.kind;
}

/** AlgorithmIdentifiers of keys (RFC 3279 §2.3, RFC 4055 §1.2, RFC 5480 §2.1.1, RFC 8410 §3); the one of PSS may have parameters. */
const spkiAlgorithms: readonly { readonly kind: SpkiKind; readonly prefix: Uint8Array }[] = [
  { kind: 'rsa', prefix: fromHex('300d06092a864886f70d0101010500') },
  { kind: 'rsa-pss', prefix: fromHex('300b06092a864886f70d01010a') },
  { kind: 'rsa-pss', prefix: fromHex('304106092a864886f70d01010a') },
  { kind: 'rsa-pss', prefix: fromHex('303d06092a864886f70d01010a') },
  { kind: 'p256', prefix: fromHex('301306072a8648ce3d020106082a8648ce3d030107') },
  { kind: 'p384', prefix: fromHex('301006072a8648ce3d020106052b81040022') },
  { kind: 'p521', prefix: fromHex('301006072a8648ce3d020106052b81040023') },
  { kind: 'ed25519', prefix: fromHex('300506032b6570') },
];

function decodeRfc7427(
  data: Uint8Array,
  spkiKind: SpkiKind | undefined,
): { readonly scheme: SignatureScheme; readonly signature: Uint8Array } | { readonly problem: string } {
  const length = data[0] ?? 0;
  const identifier = data.subarray(1, 1 + length);
  const signature = data.slice(1 + length);
  if (length === 0 || identifier.length !== length || signature.length === 0) return { problem: 'truncated signature' };
  const row = schemeRows.find((candidate) => candidate.identifiers.some((known) => equal(known, identifier)));
  if (!row) return { problem: 'unknown signature algorithm, or not in its canonical encoding' };
  if (!announcedSignatureHashes.includes(row.hash)) return { problem: `${row.scheme} was not announced by us` };
  if (spkiKind !== undefined && !row.keys.includes(spkiKind))
    return { problem: `${row.scheme} does not go with a ${spkiKind} key` };
  return { scheme: row.scheme, signature };
}

function rowOf(scheme: SignatureScheme): SchemeRow {
  return schemeRows.find((row) => row.scheme === scheme)!;
}

function pkcs1(scheme: SignatureScheme, hash: number, identifier: string): SchemeRow {
  return { scheme, hash, keys: ['rsa'], identifiers: [fromHex(identifier)], reference: 'RFC 7427 §A.1' };
}

function ecdsa(scheme: SignatureScheme, hash: number, identifier: string): SchemeRow {
  return { scheme, hash, keys: ['p256', 'p384', 'p521'], identifiers: [fromHex(identifier)], reference: 'RFC 7427 §A.3' };
}

/** RSASSA-PSS-params with the hash also in MGF1 and a salt as long as the hash; NULL parameters of a hash may be left out (RFC 4055 §2.1). */
function pss(scheme: SignatureScheme, hash: number, hashOid: string, salt: number): SchemeRow {
  const identifier = (nullParameter: string): Uint8Array => {
    const hashAlgorithm = sequence(0x30, fromHex(hashOid + nullParameter));
    const mgf1 = sequence(0x30, concat(fromHex('06092a864886f70d010108'), hashAlgorithm));
    const saltLength = sequence(0xa2, Uint8Array.of(0x02, 0x01, salt));
    const parameters = sequence(0x30, concat(sequence(0xa0, hashAlgorithm), sequence(0xa1, mgf1), saltLength));
    return sequence(0x30, concat(fromHex('06092a864886f70d01010a'), parameters));
  };
  return {
    scheme,
    hash,
    keys: ['rsa', 'rsa-pss'],
    identifiers: [identifier('0500'), identifier('')],
    reference: 'RFC 7427 §A.4',
  };
}

/** A DER value shorter than 128 octets. */
function sequence(tag: number, content: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(tag, content.length), content);
}
