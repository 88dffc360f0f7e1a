import type { Endpoint } from '@aovpn/bytes';
import type { Payload } from '../message/payload.ts';
import { sealMessage } from '../message/seal.ts';
import { ExchangeType, nameOfExchange } from '../registry/exchange.ts';
import { recordAgain, recordSent } from '../trace/message-record.ts';
import { eapRetransmitMs, hintPatienceMs, messageIdEnd, messageIdHigh, resumeTries } from './choice.ts';
import { noteEapQuiet } from './eap-round.ts';
import { adoptHeir } from './ike-rekey.ts';
import { fallBack } from './resume.ts';
import type { Association, Conversation } from './state.ts';
import { debug, emit, fail, findAssociation, finish, type Turn, update, updateAssociation, want } from './turn.ts';

/** Message IDs, the window of one, retransmission and its back-off (RFC 7296 §2.1–2.3). */

/** Sends a protected request. The window must be free. */
export function sendRequest(
  turn: Turn,
  id: number,
  exchange: number,
  payloads: readonly Payload[],
  conversation: Conversation,
  patienceMs = 0,
): void {
  const association = findAssociation(turn, id);
  if (!association) return;
  if (association.outstanding) throw new Error(`a second request (${conversation.kind}) while one is out`);
  const messageId = association.nextRequest;
  if (messageId >= messageIdEnd) return fail(turn, { kind: 'protocol', detail: 'message IDs are used up' });
  if (messageId >= messageIdHigh && association.role === 'current') want(turn, { kind: 'ike-rekey' });
  const datagrams = seal(turn, association, exchange, messageId, false, payloads);
  updateAssociation(turn, id, { nextRequest: messageId + 1 });
  sendFirst(turn, id, messageId, exchange, datagrams, conversation, patienceMs);
}

/** Sends datagrams of a new request and remembers them. */
export function sendFirst(
  turn: Turn,
  id: number,
  messageId: number,
  exchange: number,
  datagrams: readonly Uint8Array[],
  conversation: Conversation,
  patienceMs = 0,
): void {
  const { now } = turn;
  updateAssociation(turn, id, {
    outstanding: {
      messageId,
      exchange,
      datagrams,
      conversation,
      firstSentAt: now,
      dueAt: now + turn.sa.config.retransmit.firstMs,
      attempt: 0,
      patientUntil: now + patienceMs,
    },
  });
  debug(turn, `${nameOfExchange(exchange)} request ${messageId} (${conversation.kind})`);
  transmit(turn, datagrams);
}

/** Answers the peer's request and remembers the answer for retransmissions. */
export function sendResponse(turn: Turn, id: number, exchange: number, messageId: number, payloads: readonly Payload[]): void {
  const association = findAssociation(turn, id);
  if (!association) return;
  const datagrams = seal(turn, association, exchange, messageId, true, payloads);
  updateAssociation(turn, id, { answer: { messageId, datagrams }, answering: undefined, nextExpected: messageId + 1 });
  debug(turn, `${nameOfExchange(exchange)} response ${messageId}`);
  transmit(turn, datagrams, association.askedFrom);
}

/** An answer that stands outside of the window: message IDs stay as they are. */
export function sendAside(
  turn: Turn,
  id: number,
  exchange: number,
  messageId: number,
  payloads: readonly Payload[],
  to: Endpoint | undefined,
): void {
  const association = findAssociation(turn, id);
  if (association) transmit(turn, seal(turn, association, exchange, messageId, true, payloads), to);
}

/** A request that nobody waits for: the last words of an SA that ends now. */
export function sendLastWords(turn: Turn, association: Association, exchange: number, payloads: readonly Payload[]): void {
  if (!association.protection) return;
  transmit(turn, seal(turn, association, exchange, association.nextRequest, false, payloads));
}

/** Retransmits what is due, everywhere. */
export function retransmitDue(turn: Turn): void {
  for (const { id, outstanding } of turn.sa.associations) {
    if (turn.sa.phase.name !== 'ended' && outstanding && outstanding.dueAt <= turn.now) retransmit(turn, id);
  }
}

/**
 * Sends the outstanding requests again at once. On a new path their patience begins anew; moves that follow each other closer than it lasts keep no key
 * in use beyond its limit, though.
 */
export function retransmitNow(turn: Turn, { anew }: { readonly anew: boolean }): void {
  const patient = anew && turn.now < keysExpireAt(turn);
  for (const { id, outstanding } of turn.sa.associations) {
    if (!outstanding) continue;
    if (patient) {
      updateAssociation(turn, id, {
        outstanding: { ...outstanding, attempt: 0, dueAt: turn.now + turn.sa.config.retransmit.firstMs },
      });
    }
    transmitAgain(turn, outstanding.datagrams);
  }
}

function keysExpireAt({ sa }: Turn): number {
  const inUse = sa.children.filter(({ stage }) => stage.name === 'active');
  return Math.min(sa.ikeExpiresAt, ...inUse.map(({ expiresAt }) => expiresAt));
}

/** Sends the outstanding request a last time and shortens its patience; once for each request. */
export function hurry(turn: Turn, id: number): void {
  const outstanding = findAssociation(turn, id)?.outstanding;
  const { tries } = turn.sa.config.retransmit;
  if (!outstanding || outstanding.attempt >= tries) return;
  const dueAt = turn.now + hintPatienceMs;
  updateAssociation(turn, id, { outstanding: { ...outstanding, attempt: tries, dueAt, patientUntil: turn.now } });
  debug(turn, `the peer, or somebody in its name, does not know this SA: request ${outstanding.messageId} a last time`);
  transmitAgain(turn, outstanding.datagrams);
}

/** The same octets as before. */
export function transmitAgain(
  turn: Turn,
  datagrams: readonly Uint8Array[],
  { attempt, to }: { readonly attempt?: number; readonly to?: Endpoint | undefined } = {},
): void {
  emit(turn, { kind: 'message', record: recordAgain(datagrams, attempt) });
  transmit(turn, datagrams, to);
}

/** @param to undefined: the gateway */
function transmit(turn: Turn, datagrams: readonly Uint8Array[], to?: Endpoint): void {
  for (const datagram of datagrams) emit(turn, { kind: 'send', datagram, ...(to && { to }) });
}

function retransmit(turn: Turn, id: number): void {
  const association = findAssociation(turn, id);
  const outstanding = association?.outstanding;
  if (!association || !outstanding) return;
  const { firstMs, factor, tries: usual, initTries = usual } = turn.sa.config.retransmit;
  const tries = triesOf(turn, outstanding.exchange, usual, initTries);
  const exhausted = outstanding.attempt >= tries;
  if (exhausted && turn.now >= outstanding.patientUntil) return giveUp(turn, association);
  const attempt = outstanding.attempt + 1;
  // Beyond the usual tries the other side has the request as a rule, and a person is thinking: sparingly, then.
  const usualInterval = firstMs * factor ** Math.min(attempt, tries);
  const interval = exhausted ? Math.max(usualInterval, Math.min(eapRetransmitMs, firstMs * factor ** attempt)) : usualInterval;
  const dueAt = exhausted ? Math.min(turn.now + interval, Math.max(outstanding.patientUntil, turn.now + 1)) : turn.now + interval;
  updateAssociation(turn, id, { outstanding: { ...outstanding, attempt, dueAt } });
  debug(turn, `retransmission ${attempt} of ${nameOfExchange(outstanding.exchange)} request ${outstanding.messageId}`);
  transmitAgain(turn, outstanding.datagrams, { attempt });
  if (association.role === 'current') noteEapQuiet(turn, outstanding.firstSentAt);
  const { liveness, phase } = turn.sa;
  if (association.role !== 'current' || phase.name !== 'open') return;
  emit(turn, { kind: 'probe-gateway' });
  if (liveness.unresponsiveSince === undefined) {
    update(turn, { liveness: { ...liveness, unresponsiveSince: outstanding.firstSentAt } });
    emit(turn, { kind: 'unresponsive', since: outstanding.firstSentAt });
  }
}

function triesOf({ sa }: Turn, exchange: number, usual: number, initTries: number): number {
  if (sa.phase.name === 'resume-await-response' || sa.phase.name === 'resume-await-proof') return resumeTries;
  return exchange === ExchangeType.IKE_SA_INIT ? initTries : usual;
}

function giveUp(turn: Turn, association: Association): void {
  const { phase } = turn.sa;
  if (association.role !== 'current') {
    updateAssociation(turn, association.id, { outstanding: undefined, until: turn.now });
    return;
  }
  const seconds = Math.round((turn.now - association.outstanding!.firstSentAt) / 1000);
  switch (phase.name) {
    case 'init-await-better':
      return fail(turn, phase.failure);
    case 'init-await-response':
      return fail(turn, { kind: 'no-answer', phase: 'init', seconds });
    case 'resume-await-response':
    case 'resume-await-proof':
      return fallBack(turn, `no answer within ${seconds} s`);
    case 'intermediate-await-response':
    case 'auth-await-puzzle':
    case 'auth-await-signature':
    case 'auth-await-response':
    case 'auth-await-verdict':
    case 'round-await-response':
    case 'eap-await-host':
    case 'eap-await-response':
    case 'proof-await-response':
      return fail(turn, { kind: 'no-answer', phase: 'auth', seconds });
    case 'open':
      if (adoptHeir(turn)) return want(turn, { kind: 'liveness' });
      return fail(turn, { kind: 'no-answer', phase: 'established', seconds });
    case 'child-await-response':
    case 'child-await-install':
      return fail(turn, { kind: 'no-answer', phase: 'established', seconds });
    case 'closing-await-response':
      return finish(turn, phase.end);
    case 'ended':
      return undefined;
  }
}

function seal(
  turn: Turn,
  association: Association,
  exchange: number,
  messageId: number,
  response: boolean,
  payloads: readonly Payload[],
): Uint8Array[] {
  const { protection, spiI, spiR, initiator } = association;
  if (!protection) throw new Error('no keys yet');
  const message = { header: { spiI, spiR, exchange, fromInitiator: initiator, response, messageId }, payloads };
  const { fragmentSize } = turn.sa.config;
  const datagrams = turn.sa.peer.fragmentation
    ? sealMessage(turn.crypto, protection.suite, protection.send, message, fragmentSize)
    : sealMessage(turn.crypto, protection.suite, protection.send, message);
  emit(turn, { kind: 'message', record: recordSent(message.header, payloads, datagrams) });
  return datagrams;
}
