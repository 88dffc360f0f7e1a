import { equal, wipe } from '@aovpn/bytes';
import type { Message, NotifyPayload, Payload } from '../message/payload.ts';
import { errorNotify } from '../registry/error.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { NotifyType } from '../registry/notify.ts';
import { findChild, installChild } from './child.ts';
import { completeChildRekey, processChildError } from './child-rekey.ts';
import { followUpMs } from './choice.ts';
import { closeWith } from './delete.ts';
import { completeIkeRekey, completePeerIkeRekey, processIkeRekeyError } from './ike-rekey.ts';
import { notify, pick, pickError, pickNotify } from './pick.ts';
import type { Association, FollowUpConversation, PeerFollowUp } from './state.ts';
import { currentOf, update, updateAssociation, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/**
 * IKE_FOLLOWUP_KE (RFC 9370 §2.2.4): the additional key exchanges of a rekey, one an exchange, after its CREATE_CHILD_SA. The SA is
 * made with the last one. What belongs together is known by the link that the responder gave: `N(ADDITIONAL_KEY_EXCHANGE)`.
 */

/** Octets of our own links: nobody guesses one. */
const linkLength = 16;
/** Of a peer's link we send back what it gave, within reason. */
const longestLink = 256;

/** The link of an answer; undefined without a usable one. */
export function readLink(payloads: readonly Payload[]): Uint8Array | undefined {
  const data = pickNotify(payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE)?.data;
  return data && data.length > 0 && data.length <= longestLink ? data.slice() : undefined;
}

/** Of the proposals of a rekey those that the peer understands: additional key exchanges only where the IKE SA was made with some. */
export function speakable<T extends { readonly additionalKe?: readonly (readonly number[])[] }>(
  configs: readonly T[],
  { protection }: Association,
): readonly T[] {
  if (protection?.suite.additionalKe) return configs;
  const plain = configs.filter(({ additionalKe }) => !additionalKe);
  return plain.length > 0 ? plain : configs;
}

/** Our rekey goes on. */
export function startFollowUp(
  turn: Turn,
  rekey: FollowUpConversation['rekey'],
  methods: readonly number[],
  link: Uint8Array,
): void {
  send(turn, rekey, methods, [], link);
}

/** The answer to one of our requests. */
export function processFollowUp(turn: Turn, conversation: FollowUpConversation, message: Message): void {
  const { rekey, keyPair, rest, secrets } = conversation;
  const { payloads } = message;
  const error = pickError(payloads);
  if (error) {
    forgetSecrets(conversation);
    if (rekey.kind === 'child') return processChildError(turn, rekey.conversation, error.type, error.data);
    return processIkeRekeyError(turn, rekey.conversation, error.type, error.data);
  }
  const ke = checkExchange(message, 'ike-followup-ke').length === 0 ? pick(payloads, 'KE') : undefined;
  const secret = ke?.group === keyPair.group ? turn.crypto.sharedSecret(keyPair, ke.data) : undefined;
  const link = readLink(payloads);
  // The peer may have made the SA with its last answer; without the secret we never can. The IKE SA ends, and with it what the peer has
  // (draft-ietf-ipsecme-ikev2-mlkem §2.2).
  if (!secret || (rest.length > 0 && !link)) {
    forgetSecrets(conversation);
    const detail = 'IKE_FOLLOWUP_KE answer without an acceptable value or link';
    return closeWith(turn, { kind: 'failed', failure: { kind: 'protocol', detail } });
  }
  const known = [...secrets, secret];
  if (rest.length > 0) return send(turn, rekey, rest, known, link!);
  if (rekey.kind === 'child') completeChildRekey(turn, rekey.conversation, rekey.agreed, known);
  else completeIkeRekey(turn, rekey.conversation, rekey.agreed, known, payloads);
}

/** A rekey of the peer is to go on: remembers it, and returns the link for the answer. */
export function awaitFollowUp(
  turn: Turn,
  { id }: Association,
  rekey: PeerFollowUp['rekey'],
  rest: readonly number[],
): NotifyPayload {
  const link = turn.crypto.random(linkLength);
  update(turn, { peerFollowUp: { association: id, link, rest, secrets: [], until: turn.now + followUpMs, rekey } });
  return notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, link);
}

/** An IKE_FOLLOWUP_KE request. Returns what to answer at once; undefined when the answer waits for the host. */
export function answerFollowUp(turn: Turn, association: Association, message: Message): readonly Payload[] | undefined {
  const { payloads, header } = message;
  const pending = turn.sa.peerFollowUp;
  const violation = checkExchange(message, 'ike-followup-ke')[0];
  if (violation) return [errorNotify({ kind: 'INVALID_SYNTAX', detail: violation.what })];
  const link = readLink(payloads);
  if (!pending || pending.association !== association.id || !link || !equal(link, pending.link))
    return [errorNotify({ kind: 'STATE_NOT_FOUND' })];
  const ke = pick(payloads, 'KE')!;
  const [method, ...rest] = pending.rest;
  const exchange = method === ke.group ? turn.crypto.answerKeyExchange(method, ke.data) : undefined;
  if (!exchange) {
    forgetPeerFollowUp(turn);
    return [errorNotify({ kind: 'INVALID_SYNTAX', detail: 'the public value is not acceptable' })];
  }
  const secrets = [...pending.secrets, exchange.sharedSecret];
  const value: Payload = { kind: 'KE', group: ke.group, data: exchange.publicValue };
  if (rest.length > 0) {
    const next = turn.crypto.random(linkLength);
    update(turn, { peerFollowUp: { ...pending, link: next, rest, secrets, until: turn.now + followUpMs } });
    return [value, notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, next)];
  }
  update(turn, { peerFollowUp: undefined });
  const { rekey } = pending;
  if (rekey.kind === 'ike') {
    completePeerIkeRekey(turn, association, rekey, secrets);
    return [value];
  }
  const { old, spiIn, accepted, tsi, tsr, nonceI, nonceR, sharedSecret, ppk } = rekey;
  if (findChild(turn, old)?.stage.name !== 'active') {
    wipe(sharedSecret, ...secrets);
    return [errorNotify({ kind: 'TEMPORARY_FAILURE' })];
  }
  const { exchange: type, messageId } = header;
  installChild(turn, association, {
    spiIn,
    accepted,
    tsi,
    tsr,
    ours: false,
    keyInput: { nonceI, nonceR, sharedSecret, additionalSecrets: secrets, ppk: ppk?.key },
    sendNow: false,
    after: { kind: 'answer', exchange: type, association: association.id, messageId, replaces: old, payloads: [value] },
  });
  updateAssociation(turn, association.id, { answering: messageId });
  return undefined;
}

/** The peer does not go on with its rekey, or has begun another. */
export function forgetPeerFollowUp(turn: Turn): void {
  const pending = turn.sa.peerFollowUp;
  if (!pending) return;
  wipe(pending.rekey.sharedSecret, ...pending.secrets);
  update(turn, { peerFollowUp: undefined });
}

function send(
  turn: Turn,
  rekey: FollowUpConversation['rekey'],
  [method, ...rest]: readonly number[],
  secrets: readonly Uint8Array[],
  link: Uint8Array,
): void {
  const keyPair = turn.crypto.generateKeyPair(method!);
  sendRequest(
    turn,
    currentOf(turn.sa).id,
    ExchangeType.IKE_FOLLOWUP_KE,
    [{ kind: 'KE', group: keyPair.group, data: keyPair.publicValue }, notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, link)],
    { kind: 'follow-up', keyPair, rest, secrets, rekey },
  );
}

function forgetSecrets({ rekey, secrets }: FollowUpConversation): void {
  wipe(rekey.agreed.sharedSecret, ...secrets);
}
