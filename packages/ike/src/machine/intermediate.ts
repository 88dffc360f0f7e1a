import { concat, wipe } from '@aovpn/bytes';
import { deriveNextIkeKeys } from '../crypto/keymat.ts';
import type { KeyPair } from '../crypto/port.ts';
import { intermediateOctetsOf } from '../message/intermediate-octets.ts';
import type { Message, Payload } from '../message/payload.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { nameOfNotify } from '../registry/notify.ts';
import { refuse } from './auth.ts';
import { readAuthMethods } from './init.ts';
import { pick, pickError } from './pick.ts';
import { buildEarlyPpk, settleEarlyPpk } from './ppk.ts';
import { startAuthSolved } from './puzzle.ts';
import type { InitOffer, IntermediateRun, Protection } from './state.ts';
import { currentOf, fail, info, update, updateAssociation, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/**
 * IKE_INTERMEDIATE (RFC 9242): the additional key exchanges that IKE_SA_INIT agreed upon (RFC 9370 §2.2.2), one an exchange, and in the last
 * one the PPK of a gateway that wants it early (RFC 9867). Each makes new keys for everything after it. Nothing of it is authenticated until
 * AUTH, which covers all of it, is verified.
 */
export function startIntermediate(turn: Turn, init: InitOffer, nonceR: Uint8Array, initResponse: Uint8Array): void {
  const none = new Uint8Array(0);
  const { additionalKe = [] } = protectionOf(turn).suite;
  const so = { init, nonceR, initResponse, saidByUs: none, saidByGateway: none, offersPpk: false };
  next(turn, so, additionalKe);
}

/** @param authenticated what AUTH will cover of the answer */
export function processIntermediate(turn: Turn, run: IntermediateRun, message: Message, authenticated: Uint8Array): void {
  const { payloads } = message;
  const error = pickError(payloads);
  if (error) return fail(turn, { kind: 'notify', type: error.type, name: nameOfNotify(error.type), phase: 'IKE_INTERMEDIATE' });
  const violation = checkExchange(message, run.keyPair ? 'ike-intermediate' : 'ike-intermediate-ppk')[0];
  const detail = violation && `IKE_INTERMEDIATE answer: ${violation.payload} ${violation.what}`;
  if (detail !== undefined) return refuse(turn, { kind: 'invalid-syntax', detail });
  const { suite, skPr } = protectionOf(turn);
  const saidByGateway = turn.crypto.prf(suite.prf, skPr, run.saidByGateway, authenticated);
  if (run.keyPair && !mixKeyExchange(turn, run, run.keyPair, payloads))
    return refuse(turn, { kind: 'protocol', detail: 'IKE_INTERMEDIATE: the public value is not acceptable' });
  // What both have done in the exchange comes first, the PPK last (RFC 9867 §3.1).
  learnAuthMethods(turn, payloads);
  const nonces = { nonceI: run.init.nonce, nonceR: run.nonceR };
  if (run.offersPpk && !settleEarlyPpk(turn, nonces, payloads)) return refuse(turn, { kind: 'not-supported', what: 'ppk' });
  next(turn, { ...run, saidByGateway }, run.rest);
}

/** The list that an empty one in IKE_SA_INIT promised (RFC 9593 §3.1). */
function learnAuthMethods(turn: Turn, payloads: readonly Payload[]): void {
  const authMethods = readAuthMethods(payloads);
  if (authMethods) update(turn, { peer: { ...turn.sa.peer, authMethods } });
}

/** New keys from an additional key exchange. Returns false when the gateway's value is not acceptable. */
function mixKeyExchange(turn: Turn, run: IntermediateRun, keyPair: KeyPair, payloads: readonly Payload[]): boolean {
  const ke = pick(payloads, 'KE');
  const sharedSecret = ke?.group === keyPair.group ? turn.crypto.sharedSecret(keyPair, ke.data) : undefined;
  if (!sharedSecret) return false;
  const { init, nonceR } = run;
  const current = currentOf(turn.sa);
  const old = protectionOf(turn);
  const { spiI, spiR } = current;
  const keys = deriveNextIkeKeys(turn.crypto, old.suite, old.skD, { sharedSecret, nonceI: init.nonce, nonceR, spiI, spiR });
  const { send, receive, skD, skPi, skPr } = old;
  wipe(sharedSecret, skD, skPi, skPr);
  wipe(send.encryptionKey, send.integrityKey, receive.encryptionKey, receive.integrityKey);
  const { initiator, responder, ...proof } = keys;
  updateAssociation(turn, current.id, { protection: { suite: old.suite, send: initiator, receive: responder, ...proof } });
  return true;
}

function next(turn: Turn, so: Omit<IntermediateRun, 'keyPair' | 'rest'>, methods: readonly number[]): void {
  const [method, ...rest] = methods;
  const { id, spiI, spiR, nextRequest: messageId } = currentOf(turn.sa);
  const { init, nonceR, initResponse, saidByUs, saidByGateway } = so;
  const offersPpk = turn.sa.peer.ppkEarly && !so.offersPpk && rest.length === 0;
  if (method === undefined && !offersPpk) {
    // RFC 9242 §3.3.2: IntAuth_i | IntAuth_r | message ID of the first IKE_AUTH request, if there was any exchange at all.
    const number = Uint8Array.of(messageId >>> 24, (messageId >>> 16) & 0xff, (messageId >>> 8) & 0xff, messageId & 0xff);
    const intAuth = saidByUs.length > 0 ? concat(saidByUs, saidByGateway, number) : new Uint8Array(0);
    return startAuthSolved(turn, init, nonceR, initResponse, intAuth);
  }
  const { suite, skPi } = protectionOf(turn);
  const keyPair = method === undefined ? undefined : turn.crypto.generateKeyPair(method);
  const exchange = ExchangeType.IKE_INTERMEDIATE;
  const payloads: Payload[] = [
    ...(keyPair ? [{ kind: 'KE', group: keyPair.group, data: keyPair.publicValue } as const] : []),
    ...(offersPpk ? [buildEarlyPpk(turn, { nonceI: init.nonce, nonceR })] : []),
  ];
  const header = { spiI, spiR, exchange, fromInitiator: true, response: false, messageId };
  const said = turn.crypto.prf(suite.prf, skPi, saidByUs, intermediateOctetsOf({ header, payloads }));
  if (method !== undefined) info(turn, `additional key exchange with method ${method}`);
  update(turn, { phase: { name: 'intermediate-await-response', run: { ...so, saidByUs: said, keyPair, rest, offersPpk } } });
  sendRequest(turn, id, exchange, payloads, { kind: 'intermediate' });
}

function protectionOf(turn: Turn): Protection {
  const { protection } = currentOf(turn.sa);
  if (!protection) throw new Error('IKE_INTERMEDIATE without keys');
  return protection;
}
