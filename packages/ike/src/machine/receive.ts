import { equal, sameAddress, type Endpoint, type IpAddress } from '@aovpn/bytes';
import { decodeHeader, ikeHeaderLength, type DecodedHeader } from '../message/header.ts';
import { openDatagram, type OpenOutcome } from '../message/open.ts';
import { decodePayloads } from '../message/payload-chain.ts';
import type { IkeHeader, Message, Payload } from '../message/payload.ts';
import { describeError, errorNotify, type IkeProtocolError } from '../registry/error.ts';
import { checkExchange, createChildTopic } from '../registry/exchange-rule.ts';
import { ExchangeType, nameOfExchange } from '../registry/exchange.ts';
import { NotifyType } from '../registry/notify.ts';
import { PayloadType } from '../registry/payload-type.ts';
import { refuse } from './auth.ts';
import { answerChildRekey, processChildResponse } from './child-rekey.ts';
import { messageIdEnd } from './choice.ts';
import { closeWith, processChildrenDeleted } from './delete.ts';
import { noteLife, processGoneHint, processProbeAnswer } from './dpd.ts';
import { processProof } from './eap-proof.ts';
import { processEapResponse } from './eap-round.ts';
import { answerFollowUp, processFollowUp } from './follow-up-ke.ts';
import { processAuth } from './gateway-proof.ts';
import { answerIkeRekey, processIkeDeleted, processIkeRekeyResponse } from './ike-rekey.ts';
import { answerInformational } from './informational.ts';
import { processInit } from './init.ts';
import { processIntermediate } from './intermediate.ts';
import { answerSync, isSync, mayBeSync } from './message-id-sync.ts';
import { processAddressUpdated } from './mobike.ts';
import { processNextRound } from './multi-auth.ts';
import { processCrashToken } from './crash.ts';
import { fallBack, processResume, processResumedAuth } from './resume.ts';
import { learnTicket } from './ticket.ts';
import type { Association, Conversation, Phase } from './state.ts';
import { debug, emit, fail, findAssociation, finish, info, updateAssociation, type Turn } from './turn.ts';
import { sendResponse, transmitAgain } from './window.ts';
import { recordReceived } from '../trace/message-record.ts';

/**
 * A datagram of any shape, at any time. What is not protected is looked at only while nothing else can be had (IKE_SA_INIT); after
 * that, nothing changes unless the datagram authenticates, belongs to an exchange that may happen now, and has the one message ID
 * that is next.
 */
export function processDatagram(turn: Turn, datagram: Uint8Array, from: IpAddress, fromPort: number): void {
  const before = turn.actions.length;
  judge(turn, datagram, from, fromPort);
  const done = turn.actions.slice(before);
  if (done.some((action) => action.kind === 'message' && action.record.direction === 'in')) return;
  const said = done.findLast((action) => action.kind === 'trace');
  const why = said?.kind === 'trace' ? said.what : 'nothing came of it';
  emit(turn, { kind: 'message', record: recordReceived(datagram, 'dropped', { why }) });
}

function judge(turn: Turn, datagram: Uint8Array, from: IpAddress, fromPort: number): void {
  const header = decodeHeader(datagram);
  if (!header) return debug(turn, 'not an IKEv2 message: ignored');
  const association = turn.sa.associations.find((candidate) => addresses(candidate, header));
  if (!association) return debug(turn, 'for another IKE SA: ignored');
  if (!association.protection) {
    if (turn.sa.phase.name === 'resume-await-response') return processResume(turn, datagram, header, from, fromPort);
    return processInit(turn, datagram, header, from, fromPort);
  }
  const gone = saysInvalidSpi(header, datagram);
  if (gone) return processCrashToken(turn, association, gone) ? undefined : processGoneHint(turn, association, header);
  if (header.response) return processResponseDatagram(turn, association, header, datagram);
  const { remote, remotePort } = turn.sa.path;
  const elsewhere = sameAddress(from, remote) && fromPort === remotePort ? undefined : { address: from, port: fromPort };
  processRequestDatagram(turn, association, header, datagram, elsewhere);
}

function addresses({ spiI, spiR, initiator, protection }: Association, header: DecodedHeader): boolean {
  return header.fromInitiator !== initiator && equal(header.spiI, spiI) && (!protection || equal(header.spiR, spiR));
}

/** An answer without protection that carries N(INVALID_IKE_SPI) first: what a peer says that has lost the SA (RFC 7296 §1.5). */
function saysInvalidSpi(header: DecodedHeader, datagram: Uint8Array): readonly Payload[] | undefined {
  if (!header.response || header.nextPayload !== PayloadType.N) return undefined;
  const chain = decodePayloads(header.nextPayload, datagram.subarray(ikeHeaderLength));
  if ('error' in chain) return undefined;
  const [first] = chain.payloads;
  return first?.kind === 'N' && first.type === NotifyType.INVALID_IKE_SPI ? chain.payloads : undefined;
}

function processResponseDatagram(turn: Turn, association: Association, header: DecodedHeader, datagram: Uint8Array): void {
  const { outstanding } = association;
  if (!outstanding || header.messageId !== outstanding.messageId || header.exchange !== outstanding.exchange) {
    return debug(turn, `an answer that nobody waits for (${nameOfExchange(header.exchange)} ${header.messageId}): ignored`);
  }
  const opened = open(turn, association, datagram);
  if (!opened) return;
  updateAssociation(turn, association.id, { outstanding: undefined });
  noteLife(turn);
  if ('error' in opened) return processMalformedResponse(turn, association, opened.error);
  processResponse(turn, association.id, outstanding.conversation, opened.message, opened.authenticated);
}

/**
 * @param from where its answer goes if it is authentic (RFC 7296 §2.11); undefined: to the gateway. Our own requests go where they went before: only
 *   MOBIKE changes that.
 */
function processRequestDatagram(
  turn: Turn,
  association: Association,
  header: DecodedHeader,
  datagram: Uint8Array,
  from: Endpoint | undefined,
): void {
  if (!hearsRequests(turn.sa.phase))
    return debug(turn, `a request (${nameOfExchange(header.exchange)}) before IKE_AUTH is done: ignored`);
  if (mayBeSync(turn, header)) {
    const opened = open(turn, association, datagram);
    if (opened && !('error' in opened) && isSync(opened.message)) {
      noteLife(turn);
      return answerSync(turn, association, opened.message, from);
    }
  }
  const { nextExpected, answer, answering } = association;
  if (header.messageId === nextExpected - 1 && answer?.messageId === header.messageId) {
    return repeatAnswer(turn, association, datagram, from);
  }
  if (header.messageId !== nextExpected || answering === nextExpected)
    return debug(turn, `request ${header.messageId} is not next: ignored`);
  const opened = open(turn, association, datagram);
  if (!opened) return;
  noteLife(turn);
  updateAssociation(turn, association.id, { askedFrom: from });
  if (header.messageId >= messageIdEnd) return fail(turn, { kind: 'protocol', detail: 'the peer’s message IDs are used up' });
  if ('error' in opened) return refuseRequest(turn, association, opened.header, opened.error);
  processRequest(turn, association, opened.message);
}

type Opened = Extract<OpenOutcome, { readonly kind: 'message' }>;

/** Opens with the association's keys; undefined when nothing came of it (yet). */
function open(
  turn: Turn,
  association: Association,
  datagram: Uint8Array,
): Opened | { readonly header: IkeHeader; readonly error: IkeProtocolError } | undefined {
  const { protection, reassembly } = association;
  const outcome = openDatagram(turn.crypto, datagram, { suite: protection?.suite, keys: protection?.receive, reassembly });
  const { outstanding } = association;
  const isAnswer = outcome.kind === 'message' && outcome.message.header.response && outstanding !== undefined;
  const tookMs = isAnswer ? turn.now - outstanding.firstSentAt : undefined;
  switch (outcome.kind) {
    case 'ignore':
      debug(turn, `ignored: ${outcome.why}`);
      return undefined;
    case 'partial':
      emit(turn, { kind: 'message', record: recordReceived(datagram, 'fragment') });
      updateAssociation(turn, association.id, { reassembly: outcome.reassembly });
      return undefined;
    case 'refuse':
      emit(turn, { kind: 'message', record: recordReceived(datagram, 'refused', { why: describeError(outcome.error) }) });
      updateAssociation(turn, association.id, { reassembly: outcome.reassembly });
      return { header: outcome.header, error: outcome.error };
    case 'message':
      if (!outcome.protected) {
        debug(turn, 'without protection: ignored');
        return undefined;
      }
      emit(turn, {
        kind: 'message',
        record: recordReceived(datagram, 'believed', { payloads: outcome.message.payloads, tookMs }),
      });
      updateAssociation(turn, association.id, { reassembly: outcome.reassembly });
      return outcome;
  }
}

/** The peer did not get our answer. Only an authentic repetition is answered, a fragmented one once (RFC 7383 §2.6.1). */
function repeatAnswer(turn: Turn, association: Association, datagram: Uint8Array, from: Endpoint | undefined): void {
  const { protection, answer } = association;
  const outcome = openDatagram(turn.crypto, datagram, { suite: protection?.suite, keys: protection?.receive, reassembly: {} });
  const whole = (outcome.kind === 'message' && outcome.protected) || outcome.kind === 'refuse';
  const firstFragment = outcome.kind === 'partial' && datagram[32] === 0 && datagram[33] === 1;
  if (!answer || (!whole && !firstFragment)) return;
  debug(turn, `the same request again, the same answer (${answer.messageId})`);
  emit(turn, { kind: 'message', record: recordReceived(datagram, 'repeated') });
  transmitAgain(turn, answer.datagrams, { to: from });
}

function processResponse(
  turn: Turn,
  id: number,
  conversation: Conversation,
  message: Message,
  authenticated: Uint8Array | undefined,
): void {
  const association = findAssociation(turn, id)!;
  if (turn.sa.phase.name === 'closing-await-response') {
    if (conversation.kind === 'delete-ike' && association.role === 'current') finish(turn, turn.sa.phase.end);
    // What the peer has made for us is to be deleted, too.
    if (!mayHaveMadeIke(conversation)) return;
  }
  switch (conversation.kind) {
    case 'init':
      return;
    case 'intermediate': {
      const { phase } = turn.sa;
      if (phase.name !== 'intermediate-await-response' || !authenticated) return;
      return processIntermediate(turn, phase.run, message, authenticated);
    }
    case 'auth':
      return processAuthResponse(turn, message);
    case 'follow-up':
      return processFollowUp(turn, conversation, message);
    case 'child':
      return processChildResponse(turn, conversation, message);
    case 'ike-rekey':
      return processIkeRekeyResponse(turn, conversation, message);
    case 'delete-child':
      return processChildrenDeleted(turn, conversation.spisIn);
    case 'delete-ike':
      return processIkeDeleted(turn, association);
    case 'liveness':
      return processProbeAnswer(turn, message.payloads);
    case 'ticket':
      return learnTicket(turn, message.payloads);
    case 'address':
      return processAddressUpdated(turn, conversation.path, message.payloads);
  }
}

function mayHaveMadeIke(conversation: Conversation): boolean {
  if (conversation.kind === 'follow-up') return conversation.rekey.kind === 'ike' && conversation.rest.length === 0;
  return conversation.kind === 'ike-rekey';
}

function processAuthResponse(turn: Turn, message: Message): void {
  const { phase } = turn.sa;
  switch (phase.name) {
    case 'auth-await-response':
      return processAuth(turn, phase.handshake, message);
    case 'round-await-response':
      return processNextRound(turn, phase.handshake, message);
    case 'resume-await-proof':
      return processResumedAuth(turn, phase.handshake, phase.ticket, message);
    case 'eap-await-response':
      return processEapResponse(turn, phase.handshake, phase.eap, message);
    case 'proof-await-response':
      return processProof(turn, phase.handshake, phase.msk, message);
    case 'resume-await-response':
    case 'init-await-response':
    case 'init-await-better':
    case 'intermediate-await-response':
    case 'auth-await-puzzle':
    case 'auth-await-signature':
    case 'auth-await-verdict':
    case 'eap-await-host':
    case 'child-await-response':
    case 'child-await-install':
    case 'open':
    case 'closing-await-response':
    case 'ended':
      return undefined;
  }
}

/** An authentic answer that is not well-formed: there is no way to go on with this peer (RFC 7296 §2.21). */
function processMalformedResponse(turn: Turn, association: Association, error: IkeProtocolError): void {
  info(turn, `a malformed answer: ${describeError(error)}`);
  if (association.role !== 'current') return updateAssociation(turn, association.id, { until: turn.now });
  const failure = { kind: 'invalid-syntax', detail: describeError(error) } as const;
  const { name } = turn.sa.phase;
  if (name === 'resume-await-proof') return fallBack(turn, describeError(error));
  if (name === 'open' || name === 'child-await-response' || name === 'child-await-install')
    return closeWith(turn, { kind: 'failed', failure });
  if (name === 'closing-await-response') return finish(turn, turn.sa.phase.end);
  refuse(turn, failure);
}

function processRequest(turn: Turn, association: Association, message: Message): void {
  const { exchange, messageId } = message.header;
  switch (exchange) {
    case ExchangeType.INFORMATIONAL:
      return answerInformational(turn, association, message);
    case ExchangeType.CREATE_CHILD_SA: {
      const answer = answerCreateChild(turn, association, message);
      if (answer) sendResponse(turn, association.id, exchange, messageId, answer);
      return;
    }
    case ExchangeType.IKE_FOLLOWUP_KE: {
      const answer = answerFollowUp(turn, association, message);
      if (answer) sendResponse(turn, association.id, exchange, messageId, answer);
      return;
    }
    default:
      // IKE_SA_INIT and IKE_AUTH come from an initiator only, and that is us.
      return refuseRequest(turn, association, message.header, { kind: 'INVALID_SYNTAX', detail: nameOfExchange(exchange) });
  }
}

/** CREATE_CHILD_SA of the peer; undefined when it is, or will be, answered elsewhere. */
function answerCreateChild(turn: Turn, association: Association, message: Message): readonly Payload[] | undefined {
  const topic = createChildTopic(message);
  const violation = checkExchange(message, topic)[0];
  if (violation) {
    info(turn, `CREATE_CHILD_SA of the peer: ${violation.payload} ${violation.what}`);
    return [errorNotify({ kind: 'INVALID_SYNTAX', detail: violation.what })];
  }
  switch (topic) {
    case 'rekey-child':
      return answerChildRekey(turn, association, message);
    case 'rekey-ike':
      return answerIkeRekey(turn, association, message);
    case 'create-child':
      // A client has one tunnel; more of them are the gateway's wish only.
      return [errorNotify({ kind: 'NO_ADDITIONAL_SAS' })];
  }
}

function refuseRequest(turn: Turn, association: Association, header: IkeHeader, error: IkeProtocolError): void {
  info(turn, `a request of the peer is refused: ${describeError(error)}`);
  sendResponse(turn, association.id, header.exchange, header.messageId, [errorNotify(error)]);
}

/** Requests of the peer are heard once both sides have authenticated. */
function hearsRequests({ name }: Phase): boolean {
  switch (name) {
    case 'resume-await-response':
    case 'resume-await-proof':
    case 'init-await-response':
    case 'init-await-better':
    case 'intermediate-await-response':
    case 'auth-await-puzzle':
    case 'auth-await-signature':
    case 'auth-await-response':
    case 'auth-await-verdict':
    case 'round-await-response':
    case 'eap-await-host':
    case 'eap-await-response':
    case 'proof-await-response':
    case 'ended':
      return false;
    case 'child-await-response':
    case 'child-await-install':
    case 'open':
    case 'closing-await-response':
      return true;
  }
}
