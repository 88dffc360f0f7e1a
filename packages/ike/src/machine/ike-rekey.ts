import { compareOctets, wipe } from '@aovpn/bytes';
import { deriveRekeyedIkeKeys, type IkeKeys } from '../crypto/keymat.ts';
import type { Message, Payload } from '../message/payload.ts';
import { acceptIkeProposal, buildIkeProposals, ikeSuiteOf, selectIkeProposal } from '../message/proposal.ts';
import { emptyReassembly } from '../message/reassembly.ts';
import type { IkeSuite } from '../message/suite.ts';
import { errorNotify, type IkeProtocolError } from '../registry/error.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { expiryTime, rekeyTime, retryTime } from './child.ts';
import { wantChildRekey } from './child-rekey.ts';
import { formerMs, lastCallMs, nonceLength, refusalLimit, sleptMs, standbyMs } from './choice.ts';
import type { IkeFailure, NamedPpk } from './contract.ts';
import { closeWith, startDeleteIke } from './delete.ts';
import { factsOf } from './facts.ts';
import { learnCrashToken } from './crash.ts';
import { awaitFollowUp, forgetPeerFollowUp, readLink, speakable, startFollowUp } from './follow-up-ke.ts';
import { lowerNonce, notify, pick, pickError, pickNonce } from './pick.ts';
import { buildPpkAnswer, buildPpkOffer, ppkToOffer, readPpkAnswer, takePpkOffer } from './ppk.ts';
import type { AgreedIke, Association, IkeRekeyConversation, PeerIkeRekey, Protection } from './state.ts';
import { learnTicket } from './ticket.ts';
import {
  addAssociation,
  currentOf,
  dropAssociation,
  emit,
  findAssociation,
  info,
  unwant,
  update,
  updateAssociation,
  updateConversation,
  want,
  type Turn,
} from './turn.ts';
import { sendRequest, sendResponse } from './window.ts';

/** Rekeys of the IKE SA (RFC 7296 §1.3.2, §2.8, §2.18, §2.25.2): new SPIs and message IDs, the CHILD_SAs stay as they are. */

export function startIkeRekey(turn: Turn): void {
  const group = currentOf(turn.sa).protection?.suite.ke;
  if (group !== undefined) start(turn, group, []);
}

/** The answer to our rekey. */
export function processIkeRekeyResponse(turn: Turn, conversation: IkeRekeyConversation, message: Message): void {
  const { payloads } = message;
  const error = pickError(payloads);
  if (error && !pick(payloads, 'SA')) return processIkeRekeyError(turn, conversation, error.type, error.data);
  const agreed = accept(turn, conversation, message);
  if (!('problem' in agreed) && agreed.suite.additionalKe) {
    // The peer has made nothing yet.
    if (turn.sa.phase.name !== 'open') return;
    const link = readLink(payloads);
    if (link) return startFollowUp(turn, { kind: 'ike', conversation, agreed }, agreed.suite.additionalKe, link);
  }
  // The peer has a new IKE SA that we cannot reach, and takes the old one for replaced: there is no way on.
  if ('problem' in agreed || agreed.suite.additionalKe) {
    const problem = 'problem' in agreed ? agreed.problem : 'no ADDITIONAL_KEY_EXCHANGE';
    return closeWith(turn, { kind: 'failed', failure: { kind: 'protocol', detail: `IKE rekey: ${problem}` } });
  }
  completeIkeRekey(turn, conversation, agreed, [], payloads);
}

/** Everything that our rekey needs is here: the keys, and what became of a collision. `payloads`: the last answer. */
export function completeIkeRekey(
  turn: Turn,
  conversation: IkeRekeyConversation,
  agreed: AgreedIke,
  additionalSecrets: readonly Uint8Array[],
  payloads: readonly Payload[],
): void {
  const old = currentOf(turn.sa);
  const { suite, spiR, nonceR, sharedSecret, ppk } = agreed;
  const spis = { spiI: conversation.spi, spiR };
  const input = { sharedSecret, additionalSecrets, ppk: ppk?.key, nonceI: conversation.nonce, nonceR, ...spis };
  const keys = deriveRekeyedIkeKeys(turn.crypto, keySource(old), suite, input);
  wipe(sharedSecret, ...additionalSecrets);
  const id = addAssociation(turn, fresh(spis, true, protect(suite, keys, true), ppk ?? old.ppk));
  learnCrashToken(turn, id, payloads);
  const rival = conversation.rival && findAssociation(turn, conversation.rival.association);
  if (conversation.rival && rival?.role === 'rival') {
    if (compareOctets(lowerNonce(conversation.nonce, nonceR), conversation.rival.lowestNonce) < 0) {
      info(turn, 'both rekeyed the IKE SA, ours has the lowest nonce: the peer’s stays (RFC 7296 §2.8.2)');
      updateAssociation(turn, rival.id, { role: 'successor', until: turn.now + standbyMs });
      updateAssociation(turn, id, { until: turn.now + formerMs });
      return startDeleteIke(turn, findAssociation(turn, id)!);
    }
    info(turn, 'both rekeyed the IKE SA, the peer’s has the lowest nonce: ours stays (RFC 7296 §2.8.2)');
    updateAssociation(turn, rival.id, { role: 'former', until: turn.now + formerMs });
  }
  adopt(turn, id);
  learnTicket(turn, payloads);
  startDeleteIke(turn, findAssociation(turn, old.id)!);
}

/** The peer rekeys the IKE SA. Answers, and returns nothing to answer any more, or the error to answer. */
export function answerIkeRekey(turn: Turn, association: Association, message: Message): readonly Payload[] | undefined {
  const conversation = association.outstanding?.conversation;
  // RFC 7296 §2.25.2: not while a CHILD_SA is being made, rekeyed or closed.
  const busy =
    turn.sa.phase.name !== 'open' ||
    association.role !== 'current' ||
    turn.sa.associations.some(isHeir) ||
    conversation?.kind === 'child' ||
    conversation?.kind === 'follow-up' ||
    conversation?.kind === 'delete-child' ||
    turn.sa.children.some(({ stage }) => stage.name === 'installing');
  if (busy) return [errorNotify({ kind: 'TEMPORARY_FAILURE' })];
  forgetPeerFollowUp(turn);
  const rekeying = conversation?.kind === 'ike-rekey' ? conversation : undefined;
  const answer = respond(turn, association, message, rekeying !== undefined);
  if ('kind' in answer) return [errorNotify(answer)];
  if (!answer.association) return answer.payloads;
  const id = addAssociation(turn, {
    ...answer.association,
    role: rekeying ? 'rival' : 'successor',
    until: turn.now + standbyMs,
  });
  learnCrashToken(turn, id, message.payloads);
  if (rekeying)
    updateConversation(turn, association.id, { ...rekeying, rival: { association: id, lowestNonce: answer.lowestNonce } });
  sendResponse(turn, association.id, ExchangeType.CREATE_CHILD_SA, message.header.messageId, answer.payloads);
  return undefined;
}

/**
 * The peer deleted an association (its answer is sent). Returns false when that was the end of the SA: the current one, without
 * anything to take over.
 */
export function deleteOfAssociation(turn: Turn, association: Association): boolean {
  // RFC 7296 §2.25.2: our own rekey of it, if any, is forgotten.
  if (association.role === 'current' && !adoptHeir(turn)) return false;
  // Retransmissions of the Delete are still answered for a while.
  updateAssociation(turn, association.id, { role: 'former', outstanding: undefined, until: turn.now + formerMs });
  return true;
}

/**
 * What the peer's rekey has made takes over: the peer has deleted the current IKE SA, or answers on it no more. In the latter case the new one may be
 * all that it has left, after a Delete that did not get through. Returns whether there is one.
 */
export function adoptHeir(turn: Turn): boolean {
  const heir = turn.sa.associations.find(isHeir);
  if (heir) adopt(turn, heir.id);
  return heir !== undefined;
}

/** Our Delete of an association was answered. */
export function processIkeDeleted(turn: Turn, association: Association): void {
  dropAssociation(turn, association.id);
}

/** Time is up for a successor that the peer does not make current, or for a former one that is kept for retransmissions. */
export function processAssociationDeadline(turn: Turn, association: Association): void {
  if (association.role === 'successor') {
    if (!association.lastCall || turn.now > (association.until ?? turn.now) + sleptMs)
      return updateAssociation(turn, association.id, { until: turn.now + lastCallMs, lastCall: true });
    info(turn, 'the peer did not delete the IKE SA that it rekeyed');
    const old = currentOf(turn.sa);
    adopt(turn, association.id);
    updateAssociation(turn, old.id, { outstanding: undefined });
    startDeleteIke(turn, findAssociation(turn, old.id)!);
  } else if (association.role === 'former') {
    dropAssociation(turn, association.id);
  } else {
    updateAssociation(turn, association.id, { until: undefined });
  }
}

/** The new IKE SA takes over; what was being talked about on the old one is talked about again. */
function adopt(turn: Turn, id: number): void {
  const old = currentOf(turn.sa);
  const conversation = old.outstanding?.conversation;
  updateAssociation(turn, old.id, { role: 'former', outstanding: undefined, until: turn.now + formerMs });
  const madeElsewhere = findAssociation(turn, id)?.madeElsewhere === true;
  updateAssociation(turn, id, { role: 'current', until: undefined });
  if (madeElsewhere && turn.sa.peer.mobike) want(turn, { kind: 'address' });
  const { ikeRekeyMs } = turn.sa.config;
  update(turn, { ikeRekeyAt: rekeyTime(turn, ikeRekeyMs), ikeExpiresAt: expiryTime(turn, ikeRekeyMs), ikeRefusals: 0 });
  unwant(turn, ({ kind }) => kind === 'ike-rekey');
  switch (conversation?.kind) {
    case 'delete-child':
      for (const spiIn of conversation.spisIn) want(turn, { kind: 'delete-child', spiIn });
      break;
    case 'address':
      want(turn, { kind: 'address' });
      break;
    case 'child':
      if (conversation.replaces === undefined) want(turn, { kind: 'child-create', tsi: conversation.tsi, tsr: conversation.tsr });
      else want(turn, { kind: 'child-rekey', spiIn: conversation.replaces });
      break;
    case 'follow-up':
      if (conversation.rekey.kind === 'child' && conversation.rekey.conversation.replaces !== undefined)
        want(turn, { kind: 'child-rekey', spiIn: conversation.rekey.conversation.replaces });
      break;
    case 'ticket':
    case 'liveness':
    case 'ike-rekey':
    case 'delete-ike':
    case 'init':
    case 'intermediate':
    case 'auth':
    case undefined:
      break;
  }
  emit(turn, { kind: 'rekeyed', what: 'ike', facts: factsOf(turn.sa) });
  if (turn.sa.ticketAt !== Infinity) {
    // RFC 5723 §6.2: a ticket goes with the IKE SA that it stands for. Our own rekey asks for the next one, the peer's cannot.
    emit(turn, { kind: 'ticket', ticket: undefined, lifetimeMs: 0 });
    update(turn, { ticketAt: turn.now });
  }
  if (!turn.sa.resumed) return;
  update(turn, { resumed: false });
  for (const { spiIn } of turn.sa.children) wantChildRekey(turn, spiIn);
}

function start(turn: Turn, group: number, triedGroups: readonly number[]): void {
  const { config } = turn.sa;
  const spi = newIkeSpi(turn);
  const keyPair = turn.crypto.generateKeyPair(group);
  const conversation: IkeRekeyConversation = {
    kind: 'ike-rekey',
    spi,
    proposals: buildIkeProposals(speakable(config.ikeProposals, currentOf(turn.sa)), spi),
    nonce: turn.crypto.random(nonceLength),
    keyPair,
    triedGroups: [...triedGroups, group],
    ppk: ppkToOffer(turn),
    rival: undefined,
  };
  sendRequest(
    turn,
    currentOf(turn.sa).id,
    ExchangeType.CREATE_CHILD_SA,
    [
      { kind: 'SA', proposals: conversation.proposals },
      { kind: 'NONCE', data: conversation.nonce },
      { kind: 'KE', group, data: keyPair.publicValue },
      ...buildPpkOffer(turn, conversation.ppk, conversation.nonce),
      ...(config.askTicket ? [notify(NotifyType.TICKET_REQUEST)] : []),
    ],
    conversation,
  );
}

function accept(turn: Turn, conversation: IkeRekeyConversation, message: Message): AgreedIke | { readonly problem: string } {
  const { payloads } = message;
  const violation = checkExchange(message, 'rekey-ike')[0];
  if (violation) return { problem: `${violation.payload} ${violation.what}` };
  const suite = acceptIkeProposal(conversation.proposals, pick(payloads, 'SA')?.proposals ?? []);
  const nonceR = pickNonce(payloads);
  const ke = pick(payloads, 'KE');
  if ('problem' in suite) return suite;
  if (!nonceR || !isIkeSpi(suite.spi)) return { problem: 'no usable nonce or SPI' };
  if (!ke || ke.group !== suite.ke || suite.ke !== conversation.keyPair.group)
    return { problem: `key exchange with group ${ke?.group ?? 0}` };
  const ppk = readPpkAnswer(turn, conversation.ppk, payloads);
  if (ppk === 'unknown') return { problem: 'a PPK that was not offered' };
  const sharedSecret = turn.crypto.sharedSecret(conversation.keyPair, ke.data);
  if (!sharedSecret) return { problem: 'the public value is not acceptable' };
  return { suite: ikeSuiteOf(suite), spiR: suite.spi.slice(), nonceR: nonceR.slice(), sharedSecret, ppk };
}

function respond(
  turn: Turn,
  old: Association,
  { payloads: asked }: Message,
  contested: boolean,
):
  | IkeProtocolError
  | {
      /** Undefined while more key exchanges are to come. */
      readonly association: Omit<Association, 'id'> | undefined;
      readonly payloads: readonly Payload[];
      readonly lowestNonce: Uint8Array;
    } {
  const nonceI = pickNonce(asked);
  const ke = pick(asked, 'KE');
  if (!nonceI || !ke) return { kind: 'INVALID_SYNTAX', detail: 'IKE rekey without nonce or key exchange' };
  const chosen = selectIkeProposal(turn.sa.config.ikeProposals, pick(asked, 'SA')?.proposals ?? [], ke.group);
  if ('problem' in chosen || !isIkeSpi(chosen.spi)) {
    info(turn, `the peer’s IKE rekey is refused: ${'problem' in chosen ? chosen.problem : 'SPI'}`);
    return { kind: 'NO_PROPOSAL_CHOSEN' };
  }
  if (chosen.ke !== ke.group) return { kind: 'INVALID_KE_PAYLOAD', group: chosen.ke };
  if (contested && chosen.additionalKe) return { kind: 'TEMPORARY_FAILURE' };
  const exchange = turn.crypto.answerKeyExchange(chosen.ke, ke.data);
  if (!exchange) return { kind: 'INVALID_SYNTAX', detail: 'the public value is not acceptable' };
  const { sharedSecret } = exchange;
  const nonceR = turn.crypto.random(nonceLength);
  const spis = { spiI: chosen.spi.slice(), spiR: newIkeSpi(turn) };
  const lowestNonce = lowerNonce(nonceI, nonceR).slice();
  const ppk = takePpkOffer(turn, old, asked);
  const payloads: Payload[] = [
    { kind: 'SA', proposals: [{ ...chosen.reply, spi: spis.spiR }] },
    { kind: 'NONCE', data: nonceR },
    { kind: 'KE', group: chosen.ke, data: exchange.publicValue },
    ...buildPpkAnswer(ppk),
  ];
  if (chosen.additionalKe) {
    const rekey = { kind: 'ike', suite: ikeSuiteOf(chosen), ...spis, nonceI: nonceI.slice(), nonceR, sharedSecret, ppk } as const;
    const link = awaitFollowUp(turn, old, rekey, chosen.additionalKe);
    return { association: undefined, lowestNonce, payloads: [...payloads, link] };
  }
  const input = { sharedSecret, ppk: ppk?.key, nonceI, nonceR, ...spis };
  const keys = deriveRekeyedIkeKeys(turn.crypto, keySource(old), chosen, input);
  wipe(sharedSecret);
  return {
    association: fresh(spis, false, protect(chosen, keys, false), ppk ?? old.ppk),
    lowestNonce,
    payloads,
  };
}

/** The last of the peer's IKE_FOLLOWUP_KE requests: its IKE SA can be made. */
export function completePeerIkeRekey(turn: Turn, old: Association, rekey: PeerIkeRekey, secrets: readonly Uint8Array[]): void {
  const { suite, spiI, spiR, nonceI, nonceR, sharedSecret, ppk } = rekey;
  const input = { sharedSecret, additionalSecrets: secrets, ppk: ppk?.key, nonceI, nonceR, spiI, spiR };
  const keys = deriveRekeyedIkeKeys(turn.crypto, keySource(old), suite, input);
  wipe(sharedSecret, ...secrets);
  const made = fresh({ spiI, spiR }, false, protect(suite, keys, false), ppk ?? old.ppk);
  addAssociation(turn, { ...made, role: 'successor', until: turn.now + standbyMs });
}

/** The peer ends our rekey with an error, at once or in an IKE_FOLLOWUP_KE. */
export function processIkeRekeyError(turn: Turn, conversation: IkeRekeyConversation, type: number, data: Uint8Array): void {
  info(turn, `the peer answers our IKE rekey with ${nameOfNotify(type)}`);
  const { rival, triedGroups } = conversation;
  const heir = rival && findAssociation(turn, rival.association);
  if (heir?.role === 'rival') return updateAssociation(turn, heir.id, { role: 'successor' });
  if (turn.sa.phase.name !== 'open') return;
  if (type === NotifyType.INVALID_KE_PAYLOAD) {
    const group = data.length === 2 ? (data[0]! << 8) | data[1]! : 0;
    const offered = turn.sa.config.ikeProposals.some(({ ke }) => ke.includes(group));
    if (offered && !triedGroups.includes(group)) return start(turn, group, triedGroups);
  }
  // RFC 9370 §2.2.4: STATE_NOT_FOUND is borne for a few times, not for ever.
  const refusals = turn.sa.ikeRefusals + (type === NotifyType.TEMPORARY_FAILURE ? 0 : 1);
  update(turn, { ikeRefusals: refusals, ikeRekeyAt: retryTime(turn) });
  if (refusals < refusalLimit && turn.now < turn.sa.ikeExpiresAt) return;
  const failure: IkeFailure =
    type === NotifyType.NO_PROPOSAL_CHOSEN
      ? { kind: 'no-proposal-chosen', what: 'ike' }
      : { kind: 'notify', type, name: nameOfNotify(type), phase: 'CREATE_CHILD_SA' };
  closeWith(turn, { kind: 'failed', failure });
}

/** The keys of an IKE SA, by who begins. */
export function protect(suite: IkeSuite, keys: IkeKeys, initiator: boolean): Protection {
  return {
    suite: ikeSuiteOf(suite),
    send: initiator ? keys.initiator : keys.responder,
    receive: initiator ? keys.responder : keys.initiator,
    skD: keys.skD,
    skPi: keys.skPi,
    skPr: keys.skPr,
  };
}

function fresh(
  spis: { readonly spiI: Uint8Array; readonly spiR: Uint8Array },
  initiator: boolean,
  protection: Protection,
  ppk: NamedPpk | undefined,
): Omit<Association, 'id'> {
  return {
    ...spis,
    role: 'former',
    initiator,
    protection,
    nextRequest: 0,
    nextExpected: 0,
    outstanding: undefined,
    answer: undefined,
    askedFrom: undefined,
    answering: undefined,
    reassembly: emptyReassembly,
    crashToken: undefined,
    ppk,
    until: undefined,
  };
}

/** One of our own that has no keys yet. */
export function freshAssociation(spiI: Uint8Array): Omit<Association, 'id'> {
  return {
    role: 'current',
    spiI,
    spiR: new Uint8Array(8),
    initiator: true,
    protection: undefined,
    ppk: undefined,
    nextRequest: 0,
    nextExpected: 0,
    outstanding: undefined,
    answer: undefined,
    askedFrom: undefined,
    answering: undefined,
    reassembly: emptyReassembly,
    crashToken: undefined,
    until: undefined,
  };
}

/** Made by a rekey of the peer, and not in use yet. */
export function isHeir({ role }: Association): boolean {
  return role === 'successor' || role === 'rival';
}

function keySource({ protection }: Association): { readonly prf: number; readonly skD: Uint8Array } {
  if (!protection) throw new Error('a rekey without keys');
  return { prf: protection.suite.prf, skD: protection.skD };
}

function isIkeSpi(spi: Uint8Array): boolean {
  return spi.length === 8 && spi.some((octet) => octet !== 0);
}

/** 8 random octets, never all zero, never ours already. */
export function newIkeSpi(turn: Turn): Uint8Array {
  for (;;) {
    const spi = turn.crypto.random(8);
    if (isIkeSpi(spi)) return spi;
  }
}
