import { concat, equal, wipe } from '@aovpn/bytes';
import { derivePpkIkeKeys, mixPpk, ppkConfirmation, ppkConfirmationLength, type IkeKeyInput } from '../crypto/keymat.ts';
import type { Payload } from '../message/payload.ts';
import { NotifyType } from '../registry/notify.ts';
import type { NamedPpk } from './contract.ts';
import { notify, pickAll, pickNonce, pickNotify } from './pick.ts';
import type { Association, AuthData, Handshake, IkeProofKeys } from './state.ts';
import { currentOf, info, type MachineCrypto, type Turn, updateAssociation } from './turn.ts';

/**
 * A preshared key that a quantum computer cannot help with, mixed into SK_d and the keys of AUTH (RFC 8784 §3). Everything up to the AUTH
 * payloads of the last round goes without it; that round says which key was meant.
 */
export function mixPpkKeys(turn: Turn): IkeProofKeys | undefined {
  const { config, peer } = turn.sa;
  const { protection } = currentOf(turn.sa);
  if (!config.ppk || !peer.ppk || peer.ppkEarly || !protection) return undefined;
  return mixPpk(turn.crypto, protection.suite.prf, config.ppk.key, protection);
}

/** PPK_ID, and our AUTH without the PPK for a gateway that does not know it. */
export function buildPpk({ sa }: Turn, handshake: Handshake, authWithoutPpk: AuthData | undefined): Payload[] {
  const { ppk } = sa.config;
  if (!ppk || !handshake.withPpk) return [];
  return [
    notify(NotifyType.PPK_IDENTITY, ppk.identity),
    ...(authWithoutPpk ? [notify(NotifyType.NO_PPK_AUTH, authWithoutPpk.data)] : []),
  ];
}

/**
 * What the answer to the last AUTH says of the PPK. From here on the keys are those that both sides use; whether it is the gateway that said
 * so its AUTH, made with them, will show.
 * @returns false when the gateway goes without although that is not allowed
 */
export function settlePpk(turn: Turn, handshake: Handshake, payloads: readonly Payload[]): boolean {
  const { ppk } = turn.sa.config;
  if (!ppk || turn.sa.peer.ppkEarly) return true;
  const { id, protection } = currentOf(turn.sa);
  if (!handshake.withPpk || !protection || !pickNotify(payloads, NotifyType.PPK_IDENTITY)) {
    if (!ppk.required) info(turn, 'the gateway does not have our PPK: connected without it');
    return !ppk.required;
  }
  const { skD, skPi, skPr } = protection;
  updateAssociation(turn, id, { protection: { ...protection, ...handshake.withPpk }, ppk });
  wipe(skD, skPi, skPr);
  return true;
}

/** Whether the gateway mixes the PPK in before IKE_AUTH, so that the identities are as safe as the traffic (RFC 9867 §3.1). */
export function mixesPpkEarly({ sa }: Turn, payloads: readonly Payload[]): boolean {
  return (
    sa.config.ppk !== undefined &&
    pickNotify(payloads, NotifyType.USE_PPK_INT) !== undefined &&
    pickNotify(payloads, NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) !== undefined
  );
}

/** N(PPK_IDENTITY_KEY) for the last IKE_INTERMEDIATE: our PPK_ID, and what shows that we have that PPK. */
export function buildEarlyPpk({ crypto, sa }: Turn, nonces: Pick<IkeKeyInput, 'nonceI' | 'nonceR'>): Payload {
  const { identity, key } = sa.config.ppk!;
  const { protection, spiI, spiR } = currentOf(sa);
  const confirmation = ppkConfirmation(crypto, protection!.suite.prf, key, { ...nonces, spiI, spiR });
  return notify(NotifyType.PPK_IDENTITY_KEY, concat(identity, confirmation));
}

/**
 * The answer to it: with our PPK_ID, all keys of the IKE SA are new from here on.
 * @returns false when the gateway goes without although that is not allowed, or names another PPK
 */
export function settleEarlyPpk(
  turn: Turn,
  nonces: Pick<IkeKeyInput, 'nonceI' | 'nonceR'>,
  payloads: readonly Payload[],
): boolean {
  const ppk = turn.sa.config.ppk!;
  const named = pickNotify(payloads, NotifyType.PPK_IDENTITY);
  if (!named) {
    if (!ppk.required) info(turn, 'the gateway does not have our PPK: connecting without it');
    return !ppk.required;
  }
  if (!equal(named.data, ppk.identity)) return false;
  const { id, protection, spiI, spiR } = currentOf(turn.sa);
  const { suite, skD, skPi, skPr, send, receive } = protection!;
  const keys = derivePpkIkeKeys(turn.crypto, suite, ppk.key, skD, { ...nonces, spiI, spiR });
  const { initiator, responder, ...proof } = keys;
  updateAssociation(turn, id, { protection: { suite, send: initiator, receive: responder, ...proof }, ppk });
  wipe(skD, skPi, skPr, send.encryptionKey, send.integrityKey, receive.encryptionKey, receive.integrityKey);
  return true;
}

/** A PPK for a CREATE_CHILD_SA of ours: one that came after the IKE SA was made, and is in none of its keys yet (RFC 9867 §3.2). */
export function ppkToOffer({ sa }: Turn): NamedPpk | undefined {
  const { freshPpk } = sa;
  const mixed = currentOf(sa).ppk;
  const known = mixed && freshPpk && equal(mixed.identity, freshPpk.identity) && equal(mixed.key, freshPpk.key);
  return known ? undefined : freshPpk;
}

/** N(PPK_IDENTITY_KEY) for a CREATE_CHILD_SA with this nonce (RFC 9867 §3.2). */
export function buildPpkOffer({ crypto, sa }: Turn, ppk: NamedPpk | undefined, nonceI: Uint8Array): Payload[] {
  if (!ppk) return [];
  return [notify(NotifyType.PPK_IDENTITY_KEY, concat(ppk.identity, confirmationIn(crypto, currentOf(sa), ppk, nonceI)))];
}

/**
 * Which PPK the answer to our offer takes; undefined: none, and the SA is made as without (RFC 9867 §3.2).
 * @returns `'unknown'` when it names one that was not offered: it has keys that we do not know
 */
export function readPpkAnswer(
  turn: Turn,
  offered: NamedPpk | undefined,
  payloads: readonly Payload[],
): NamedPpk | 'unknown' | undefined {
  const named = pickNotify(payloads, NotifyType.PPK_IDENTITY);
  if (named) return offered && equal(named.data, offered.identity) ? offered : 'unknown';
  if (offered) info(turn, 'the peer does not take the fresh PPK: the new SA has the keys that it would have without');
  return undefined;
}

/** Of the PPKs that the peer offers in a CREATE_CHILD_SA the one that we have too: by its name, and the same key by that name (RFC 9867 §3.2). */
export function takePpkOffer(turn: Turn, association: Association, payloads: readonly Payload[]): NamedPpk | undefined {
  const { freshPpk, config } = turn.sa;
  const nonceI = pickNonce(payloads);
  const offers = pickAll(payloads, 'N').filter(({ type }) => type === NotifyType.PPK_IDENTITY_KEY);
  if (!nonceI || offers.length === 0) return undefined;
  const ours = [freshPpk, config.ppk].filter((ppk) => ppk !== undefined);
  for (const ppk of ours) {
    const expected = confirmationIn(turn.crypto, association, ppk, nonceI);
    const named = offers.filter(({ data }) => equal(data.subarray(0, -ppkConfirmationLength), ppk.identity));
    if (named.some(({ data }) => equal(data.subarray(-ppkConfirmationLength), expected))) return ppk;
    if (named.length > 0) info(turn, 'the peer has another PPK by the name of ours');
  }
  return undefined;
}

/** For the answer that takes it. */
export function buildPpkAnswer(ppk: NamedPpk | undefined): Payload[] {
  return ppk ? [notify(NotifyType.PPK_IDENTITY, ppk.identity)] : [];
}

function confirmationIn(
  crypto: MachineCrypto,
  { protection, spiI, spiR }: Association,
  { key }: NamedPpk,
  nonceI: Uint8Array,
): Uint8Array {
  return ppkConfirmation(crypto, protection!.suite.prf, key, { nonceI, spiI, spiR });
}

/** PPK_ID of type PPK_ID_FIXED (RFC 8784 §5.1). */
export function fixedPpkIdentity(value: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(2), value);
}
