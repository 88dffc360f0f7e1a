import { concat, wipe } from '@aovpn/bytes';
import { mixPpk } from '../crypto/keymat.ts';
import type { Payload } from '../message/payload.ts';
import { NotifyType } from '../registry/notify.ts';
import { notify, pickNotify } from './pick.ts';
import type { AuthData, Handshake, IkeProofKeys } from './state.ts';
import { currentOf, info, update, updateAssociation, type Turn } from './turn.ts';

/**
 * A preshared key that a quantum computer cannot help with, mixed into SK_d and the keys of AUTH (RFC 8784 §3). Everything up to the AUTH
 * payloads of the last round goes without it; that round says which key was meant.
 */
export function mixPpkKeys(turn: Turn): IkeProofKeys | undefined {
  const { config, peer } = turn.sa;
  const { protection } = currentOf(turn.sa);
  if (!config.ppk || !peer.ppk || !protection) return undefined;
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
  if (!ppk) return true;
  const { id, protection } = currentOf(turn.sa);
  if (!handshake.withPpk || !protection || !pickNotify(payloads, NotifyType.PPK_IDENTITY)) {
    if (!ppk.required) info(turn, 'the gateway does not have our PPK: connected without it');
    return !ppk.required;
  }
  const { skD, skPi, skPr } = protection;
  updateAssociation(turn, id, { protection: { ...protection, ...handshake.withPpk } });
  update(turn, { peer: { ...turn.sa.peer, ppkAgreed: true } });
  wipe(skD, skPi, skPr);
  return true;
}

/** PPK_ID of type PPK_ID_FIXED (RFC 8784 §5.1). */
export function fixedPpkIdentity(value: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(2), value);
}
