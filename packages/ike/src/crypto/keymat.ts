import { concat, encodeUtf8, wipe } from '@aovpn/bytes';
import type { ChildSuite, DirectionKeys, IkeSuite } from '../message/suite.ts';
import { encrRow, integRow, prfRow } from '../registry/transform-lookup.ts';
import type { IkeCrypto } from './port.ts';

/** The keys of an IKE SA (RFC 7296 §2.14). `initiator` protects what the initiator of this IKE SA sends. */
export interface IkeKeys {
  readonly skD: Uint8Array;
  readonly initiator: DirectionKeys;
  readonly responder: DirectionKeys;
  readonly skPi: Uint8Array;
  readonly skPr: Uint8Array;
}

export interface IkeKeyInput {
  /** g^ir as the port gives it. */
  readonly sharedSecret: Uint8Array;
  /** Secrets of IKE_FOLLOWUP_KE exchanges, in order (RFC 9370 §2.2.4); for rekeys only. */
  readonly additionalSecrets?: readonly Uint8Array[] | undefined;
  /** The PPK that both sides have for this rekey (RFC 9867 §3.2). */
  readonly ppk?: Uint8Array | undefined;
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  /** SPIs of the SA that is being made, 8 octets each. */
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
}

export interface ChildKeyInput {
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  /** g^ir of the CREATE_CHILD_SA exchange, when it had one. */
  readonly sharedSecret?: Uint8Array | undefined;
  /** Those of the IKE_FOLLOWUP_KE exchanges after it, in order (RFC 9370 §2.2.4). */
  readonly additionalSecrets?: readonly Uint8Array[] | undefined;
  /** The PPK that both sides have for this exchange (RFC 9867 §3.2). */
  readonly ppk?: Uint8Array | undefined;
}

/** RFC 7296 §2.14: SKEYSEED = prf(Ni | Nr, g^ir). */
export function deriveIkeKeys(crypto: IkeCrypto, suite: IkeSuite, input: IkeKeyInput): IkeKeys {
  const skeyseed = crypto.prf(suite.prf, concat(input.nonceI, input.nonceR), input.sharedSecret);
  return expandIkeKeys(crypto, suite, skeyseed, input);
}

/**
 * After each additional key exchange: SKEYSEED(n) = prf(SK_d(n−1), SK(n) | Ni | Nr) (RFC 9370 §2.2.2).
 * @param skD that of the keys so far
 */
export function deriveNextIkeKeys(crypto: IkeCrypto, suite: IkeSuite, skD: Uint8Array, input: IkeKeyInput): IkeKeys {
  const skeyseed = crypto.prf(suite.prf, skD, input.sharedSecret, input.nonceI, input.nonceR);
  return expandIkeKeys(crypto, suite, skeyseed, input);
}

/**
 * RFC 7296 §2.18, RFC 9370 §2.2.4: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr | SK(1) | … SK(n)) with the old SA's PRF; all that
 * follows with the new one's. With a PPK SK_d' stands for SK_d (RFC 9867 §3.2.1).
 */
export function deriveRekeyedIkeKeys(
  crypto: IkeCrypto,
  old: { readonly prf: number; readonly skD: Uint8Array },
  suite: IkeSuite,
  input: IkeKeyInput,
): IkeKeys {
  const { sharedSecret, nonceI, nonceR, additionalSecrets = [] } = input;
  const skeyseed = withPpk(crypto, old.prf, old.skD, input.ppk, (skD) =>
    crypto.prf(old.prf, skD, sharedSecret, nonceI, nonceR, ...additionalSecrets),
  );
  return expandIkeKeys(crypto, suite, skeyseed, input);
}

/** RFC 5723 §5.1: SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr); all algorithms are those of the old SA. */
export function deriveResumedIkeKeys(
  crypto: IkeCrypto,
  suite: IkeSuite,
  skD: Uint8Array,
  input: Omit<IkeKeyInput, 'sharedSecret'>,
): IkeKeys {
  const skeyseed = crypto.prf(suite.prf, skD, encodeUtf8('Resumption'), input.nonceI, input.nonceR);
  return expandIkeKeys(crypto, suite, skeyseed, input);
}

/** RFC 5723 §5.1: AUTH = prf(SK_px, the sender's own IKE_SESSION_RESUME message). */
export function resumedAuth(crypto: IkeCrypto, prf: number, skP: Uint8Array, realMessage: Uint8Array): Uint8Array {
  return crypto.prf(prf, skP, realMessage);
}

/** RFC 8784 §3: SK_d, SK_pi and SK_pr = prf+(PPK, the same without it). */
export function mixPpk(
  crypto: IkeCrypto,
  prf: number,
  ppk: Uint8Array,
  keys: Pick<IkeKeys, 'skD' | 'skPi' | 'skPr'>,
): Pick<IkeKeys, 'skD' | 'skPi' | 'skPr'> {
  const mix = (key: Uint8Array): Uint8Array => prfPlus(crypto, prf, ppk, key, key.length);
  return { skD: mix(keys.skD), skPi: mix(keys.skPi), skPr: mix(keys.skPr) };
}

/** RFC 9867 §3.1: SKEYSEED' = prf+(PPK, SK_d), and all keys of the IKE SA anew from it. */
export function derivePpkIkeKeys(
  crypto: IkeCrypto,
  suite: IkeSuite,
  ppk: Uint8Array,
  skD: Uint8Array,
  input: Omit<IkeKeyInput, 'sharedSecret'>,
): IkeKeys {
  return expandIkeKeys(crypto, suite, prfPlus(crypto, suite.prf, ppk, skD, prfRow(suite.prf).length), input);
}

/** Octets of a PPK Confirmation. */
export const ppkConfirmationLength = 8;

/**
 * Shows that two peers mean the same PPK by a name: the first 8 octets of prf(PPK, Ni | Nr | SPIi | SPIr) in IKE_INTERMEDIATE (RFC 9867 §3.1), of
 * prf(PPK, Ni | SPIi | SPIr) in CREATE_CHILD_SA, where Nr is not known yet (§3.2).
 * The SPIs are those of the IKE SA in which it is said.
 */
export function ppkConfirmation(
  crypto: IkeCrypto,
  prf: number,
  ppk: Uint8Array,
  { nonceI, nonceR, spiI, spiR }: Pick<IkeKeyInput, 'nonceI' | 'spiI' | 'spiR'> & { readonly nonceR?: Uint8Array },
): Uint8Array {
  return crypto.prf(prf, ppk, nonceI, ...(nonceR ? [nonceR] : []), spiI, spiR).slice(0, ppkConfirmationLength);
}

/**
 * RFC 7296 §2.17, RFC 9370 §2.2.4: KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr [| SK(1) | … SK(n)]). `initiator` protects what the initiator of this exchange sends.
 * With a PPK SK_d' stands for SK_d (RFC 9867 §3.2.1). The encryption key of an AEAD ends in its salt (RFC 4106 §8.1, RFC 7634 §2).
 */
export function deriveChildKeys(
  crypto: IkeCrypto,
  prf: number,
  skD: Uint8Array,
  esp: ChildSuite,
  input: ChildKeyInput,
): { readonly initiator: DirectionKeys; readonly responder: DirectionKeys } {
  const seed = concat(input.sharedSecret ?? new Uint8Array(0), input.nonceI, input.nonceR, ...(input.additionalSecrets ?? []));
  const [encryption, integrity] = keyLengths(esp);
  const length = 2 * (encryption + integrity);
  const take = cutter(withPpk(crypto, prf, skD, input.ppk, (key) => prfPlus(crypto, prf, key, seed, length)));
  const initiator = { encryptionKey: take(encryption), integrityKey: take(integrity) };
  const responder = { encryptionKey: take(encryption), integrityKey: take(integrity) };
  return { initiator, responder };
}

/**
 * What a peer signs (RFC 7296 §2.15, RFC 9242 §3.3.2): RealMessage | the other's nonce | prf(SK_p, RestOfIDPayload) [| IntAuth].
 * @param skP SK_pi for the initiator's octets, SK_pr for the responder's
 * @param realMessage the signer's own IKE_SA_INIT message as it was on the wire
 * @param idBody body of the signer's ID payload
 * @param intAuth what binds IKE_INTERMEDIATE exchanges to it; empty without any
 */
export function signedOctets(
  crypto: IkeCrypto,
  prf: number,
  skP: Uint8Array,
  realMessage: Uint8Array,
  peerNonce: Uint8Array,
  idBody: Uint8Array,
  intAuth: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return concat(realMessage, peerNonce, crypto.prf(prf, skP, idBody), intAuth);
}

/** AUTH by a shared key, which after EAP is its MSK, or else SK_pi or SK_pr (RFC 7296 §2.15, §2.16). */
export function sharedKeyAuth(crypto: IkeCrypto, prf: number, secret: Uint8Array, octets: Uint8Array): Uint8Array {
  return crypto.prf(prf, crypto.prf(prf, secret, encodeUtf8('Key Pad for IKEv2')), octets);
}

/** RFC 7296 §2.13. @throws {RangeError} beyond its 255 blocks */
export function prfPlus(crypto: IkeCrypto, prf: number, key: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let block = new Uint8Array(0);
  for (let offset = 0, counter = 1; offset < length; offset += block.length, counter++) {
    if (counter > 255) throw new RangeError('prf+ ends after 255 blocks');
    block = new Uint8Array(crypto.prf(prf, key, block, seed, Uint8Array.of(counter)));
    out.set(block.subarray(0, length - offset), offset);
  }
  return out;
}

function expandIkeKeys(
  crypto: IkeCrypto,
  suite: IkeSuite,
  skeyseed: Uint8Array,
  input: Omit<IkeKeyInput, 'sharedSecret'>,
): IkeKeys {
  const prfLength = prfRow(suite.prf).length;
  const [encryption, integrity] = keyLengths(suite);
  const seed = concat(input.nonceI, input.nonceR, input.spiI, input.spiR);
  const keymat = prfPlus(crypto, suite.prf, skeyseed, seed, 3 * prfLength + 2 * (integrity + encryption));
  const take = cutter(keymat);
  const skD = take(prfLength);
  const [skAi, skAr] = [take(integrity), take(integrity)];
  const [skEi, skEr] = [take(encryption), take(encryption)];
  const [skPi, skPr] = [take(prfLength), take(prfLength)];
  return {
    skD,
    initiator: { encryptionKey: skEi, integrityKey: skAi },
    responder: { encryptionKey: skEr, integrityKey: skAr },
    skPi,
    skPr,
  };
}

/** RFC 9867 §3.2.1: SK_d' = prf+(PPK, SK_d), with the PRF of the IKE SA, and as long as SK_d. It is needed once. */
function withPpk(
  crypto: IkeCrypto,
  prf: number,
  skD: Uint8Array,
  ppk: Uint8Array | undefined,
  derive: (skD: Uint8Array) => Uint8Array,
): Uint8Array {
  if (!ppk) return derive(skD);
  const mixed = prfPlus(crypto, prf, ppk, skD, skD.length);
  const derived = derive(mixed);
  wipe(mixed);
  return derived;
}

/** Octets of an encryption key with its salt, and of an integrity key. */
function keyLengths(suite: ChildSuite): readonly [number, number] {
  const encr = encrRow(suite.encr);
  return [suite.keyBits / 8 + encr.saltLength, encr.aead ? 0 : integRow(suite.integ).keyLength];
}

/** Hands out consecutive parts, each a copy, so that one can be wiped without the others. */
function cutter(octets: Uint8Array): (length: number) => Uint8Array {
  let offset = 0;
  return (length) => octets.slice(offset, (offset += length));
}
