import { compareOctets, wipe } from '@aovpn/bytes';
import type { Message, Payload, TrafficSelector } from '../message/payload.ts';
import { acceptChildProposal, buildChildProposals, selectChildProposal } from '../message/proposal.ts';
import { errorNotify, type IkeProtocolError } from '../registry/error.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { ProtocolId } from '../registry/protocol.ts';
import { childError } from './auth.ts';
import {
  addUnwantedChild,
  findChild,
  hasLivingChild,
  installChild,
  newSpi,
  postponeRekey,
  removeChild,
  setStage,
  updateChild,
} from './child.ts';
import { createRetryMs, nonceLength, refusalLimit, standbyMs } from './choice.ts';
import type { ChildProposalConfig, IkeFailure } from './contract.ts';
import { closeWith } from './delete.ts';
import { awaitFollowUp, forgetPeerFollowUp, readLink, speakable, startFollowUp } from './follow-up-ke.ts';
import { windowsError, windowsErrorOf } from './microsoft.ts';
import { lowerNonce, notify, pick, pickError, pickNonce, pickNotify, spiNumber, spiOctets } from './pick.ts';
import { buildPpkAnswer, buildPpkOffer, ppkToOffer, readPpkAnswer, takePpkOffer } from './ppk.ts';
import { isNarrowed, narrow } from './selector.ts';
import type { AgreedChild, Association, ChildConversation, ChildSa } from './state.ts';
import { currentOf, info, update, updateAssociation, updateConversation, want, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/** CREATE_CHILD_SA for CHILD_SAs: rekeys by us and by the peer, collisions of both, and a new one where the peer lost ours. */

/** Asks for a rekey of an active pair; anything else has one coming already, or is on its way out. */
export function wantChildRekey(turn: Turn, spiIn: number): void {
  const conversation = currentOf(turn.sa).outstanding?.conversation;
  if (findChild(turn, spiIn)?.stage.name !== 'active') return;
  const child = conversation?.kind === 'follow-up' ? conversation.rekey.conversation : conversation;
  if (child?.kind === 'child' && child.replaces === spiIn) return;
  if (turn.sa.children.some(({ stage }) => successorOf(stage, spiIn))) return;
  updateChild(turn, spiIn, { rekeyAt: Infinity });
  want(turn, { kind: 'child-rekey', spiIn });
}

export function startChildRekey(turn: Turn, spiIn: number): void {
  const child = findChild(turn, spiIn);
  // The peer may have been faster, since it was wanted.
  if (child?.stage.name !== 'active' || turn.sa.children.some(({ stage }) => successorOf(stage, spiIn))) return;
  start(turn, spiIn, child.tsi, child.tsr, firstGroup(turn), []);
}

export function startChildCreate(
  turn: Turn,
  tsi: readonly TrafficSelector[],
  tsr: readonly TrafficSelector[],
  putOff: number,
): void {
  start(turn, undefined, tsi, tsr, firstGroup(turn), [], putOff);
}

/** The answer to our CREATE_CHILD_SA request. */
export function processChildResponse(turn: Turn, conversation: ChildConversation, message: Message): void {
  const { payloads } = message;
  const error = pickError(payloads);
  if (error && !pick(payloads, 'SA')) return processChildError(turn, conversation, error.type, error.data);
  const accepted = accept(turn, conversation, message);
  if ('problem' in accepted) {
    info(turn, `the answer to our CREATE_CHILD_SA is refused: ${accepted.problem}`);
    addUnwantedChild(turn, conversation.spiIn, accepted.spiOut);
    return refused(turn, conversation, { kind: 'protocol', detail: accepted.problem });
  }
  if (accepted.child.additionalKe.length > 0) {
    const link = readLink(payloads);
    if (link) return startFollowUp(turn, { kind: 'child', conversation, agreed: accepted }, accepted.child.additionalKe, link);
    // The peer has made nothing yet, so there is nothing to delete.
    return refused(turn, conversation, { kind: 'protocol', detail: 'additional key exchanges without ADDITIONAL_KEY_EXCHANGE' });
  }
  completeChildRekey(turn, conversation, accepted, []);
}

/** Everything that a CREATE_CHILD_SA of ours needs is here: the keys, and what became of a collision. */
export function completeChildRekey(
  turn: Turn,
  conversation: ChildConversation,
  agreed: AgreedChild,
  additionalSecrets: readonly Uint8Array[],
): void {
  const { child, tsi, tsr, nonceR, sharedSecret, ppk } = agreed;
  const { rival, spiIn, nonce, replaces } = conversation;
  if (conversation.deletedUnseen?.includes(child.spi)) {
    info(turn, 'the peer has deleted the CHILD_SA of its answer already');
    wipe(sharedSecret, ...additionalSecrets);
    if (replaces !== undefined) postponeRekey(turn, replaces, false);
    if (!hasLivingChild(turn)) want(turn, { kind: 'child-create', tsi: conversation.tsi, tsr: conversation.tsr });
    return;
  }
  const old = findChild(turn, replaces);
  if (rival && compareOctets(lowerNonce(nonce, nonceR), rival.lowestNonce) < 0) {
    info(turn, 'both rekeyed the CHILD_SA, ours has the lowest nonce: the peer’s stays (RFC 7296 §2.8.1)');
    return addUnwantedChild(turn, spiIn, child.spi);
  }
  if (rival) {
    info(turn, 'both rekeyed the CHILD_SA, the peer’s has the lowest nonce: ours stays (RFC 7296 §2.8.1)');
    const stage = findChild(turn, rival.spiIn)?.stage.name;
    if (stage === 'active') setStage(turn, rival.spiIn, { name: 'standby', replaces: replaces!, until: turn.now + standbyMs });
  }
  if (old?.stage.name === 'active') setStage(turn, old.spiIn, { name: 'replaced' });
  const first = turn.sa.phase.name === 'child-await-response';
  if (first) update(turn, { phase: { name: 'child-await-install' } });
  installChild(turn, currentOf(turn.sa), {
    spiIn,
    accepted: child,
    tsi,
    tsr,
    ours: true,
    keyInput: { nonceI: nonce, nonceR, sharedSecret, additionalSecrets, ppk: ppk?.key },
    sendNow: true,
    after: first ? { kind: 'establish' } : { kind: 'replace', old: replaces },
  });
}

/** The peer rekeys a CHILD_SA. Returns what to answer at once; undefined when the answer waits for the host. */
export function answerChildRekey(turn: Turn, association: Association, message: Message): readonly Payload[] | undefined {
  const { payloads } = message;
  const rekey = pickNotify(payloads, NotifyType.REKEY_SA);
  const spiOut = rekey?.protocol === ProtocolId.ESP ? spiNumber(rekey.spi) : undefined;
  const old = turn.sa.children.find((child) => child.spiOut === spiOut && child.stage.name !== 'lingering');
  if (!rekey || spiOut === undefined || !old) {
    return [
      errorNotify({
        kind: 'CHILD_SA_NOT_FOUND',
        protocol: rekey?.protocol ?? ProtocolId.ESP,
        spi: rekey?.spi ?? new Uint8Array(0),
      }),
    ];
  }
  const current = currentOf(turn.sa);
  const conversation = current.outstanding?.conversation;
  const busy =
    turn.sa.phase.name !== 'open' ||
    association.role !== 'current' ||
    old.stage.name !== 'active' ||
    conversation?.kind === 'ike-rekey' ||
    conversation?.kind === 'follow-up' ||
    turn.sa.associations.some(({ role }) => role === 'successor') ||
    turn.sa.children.some(({ stage }) => successorOf(stage, old.spiIn));
  if (busy) return [errorNotify({ kind: 'TEMPORARY_FAILURE' })];
  forgetPeerFollowUp(turn);
  const answer = respond(turn, association, message, old, conversation?.kind === 'child' && conversation.replaces === old.spiIn);
  if ('kind' in answer) return [errorNotify(answer)];
  if ('payloads' in answer) return answer.payloads;
  if (conversation?.kind === 'child' && conversation.replaces === old.spiIn) {
    const rival = { spiIn: answer.spiIn, lowestNonce: answer.lowestNonce };
    updateConversation(turn, current.id, { ...conversation, rival });
  }
  return undefined;
}

function start(
  turn: Turn,
  replaces: number | undefined,
  tsi: readonly TrafficSelector[],
  tsr: readonly TrafficSelector[],
  group: number | undefined,
  triedGroups: readonly number[],
  putOff = 0,
): void {
  const current = currentOf(turn.sa);
  const spiIn = newSpi(turn);
  const keyPair = group === undefined ? undefined : turn.crypto.generateKeyPair(group);
  const conversation: ChildConversation = {
    kind: 'child',
    replaces,
    spiIn,
    proposals: buildChildProposals(wantedProposals(turn), spiIn, true, current.protection?.suite.ke),
    nonce: turn.crypto.random(nonceLength),
    keyPair,
    triedGroups: group === undefined ? triedGroups : [...triedGroups, group],
    tsi,
    tsr,
    ppk: ppkToOffer(turn),
    putOff,
    rival: undefined,
  };
  sendRequest(
    turn,
    current.id,
    ExchangeType.CREATE_CHILD_SA,
    [
      ...(replaces === undefined ? [] : [{ ...notify(NotifyType.REKEY_SA), protocol: ProtocolId.ESP, spi: spiOctets(replaces) }]),
      { kind: 'SA', proposals: conversation.proposals },
      { kind: 'NONCE', data: conversation.nonce },
      ...(keyPair ? [{ kind: 'KE', group: keyPair.group, data: keyPair.publicValue } as const] : []),
      { kind: 'TSi', selectors: tsi },
      { kind: 'TSr', selectors: tsr },
      ...buildPpkOffer(turn, conversation.ppk, conversation.nonce),
    ],
    conversation,
  );
}

/** Checks an answer that made a CHILD_SA at the peer; with a problem it must be deleted there again. */
function accept(
  turn: Turn,
  conversation: ChildConversation,
  message: Message,
): AgreedChild | { readonly problem: string; readonly spiOut: number } {
  const { payloads } = message;
  const chosen = pick(payloads, 'SA')?.proposals ?? [];
  const spiOut = (chosen[0] && spiNumber(chosen[0].spi)) ?? 0;
  const violation = checkExchange(message, conversation.replaces === undefined ? 'create-child' : 'rekey-child')[0];
  if (violation) return { problem: `${violation.payload} ${violation.what}`, spiOut };
  const child = acceptChildProposal(conversation.proposals, chosen);
  if ('problem' in child) return { problem: child.problem, spiOut };
  const nonceR = pickNonce(payloads);
  const tsi = pick(payloads, 'TSi')?.selectors ?? [];
  const tsr = pick(payloads, 'TSr')?.selectors ?? [];
  if (!nonceR) return { problem: 'no usable nonce', spiOut };
  if (!isNarrowed(tsi, conversation.tsi) || !isNarrowed(tsr, conversation.tsr))
    return { problem: 'widened traffic selectors', spiOut };
  const ppk = readPpkAnswer(turn, conversation.ppk, payloads);
  if (ppk === 'unknown') return { problem: 'a PPK that was not offered', spiOut };
  if (child.ke === 0) return { child, tsi, tsr, nonceR, sharedSecret: undefined, ppk };
  const ke = pick(payloads, 'KE');
  if (!ke || !conversation.keyPair || ke.group !== child.ke || conversation.keyPair.group !== child.ke) {
    return { problem: `key exchange with group ${ke?.group ?? 0}, agreed was ${child.ke}`, spiOut };
  }
  const sharedSecret = turn.crypto.sharedSecret(conversation.keyPair, ke.data);
  return sharedSecret
    ? { child, tsi, tsr, nonceR, sharedSecret, ppk }
    : { problem: 'the public value is not acceptable', spiOut };
}

/** The peer ends a CREATE_CHILD_SA of ours with an error, at once or in an IKE_FOLLOWUP_KE. */
export function processChildError(turn: Turn, conversation: ChildConversation, type: number, data: Uint8Array): void {
  const { replaces, tsi, tsr, triedGroups } = conversation;
  info(turn, `the peer answers our CREATE_CHILD_SA with ${nameOfNotify(type)}`);
  const group = type === NotifyType.INVALID_KE_PAYLOAD && data.length === 2 ? (data[0]! << 8) | data[1]! : 0;
  const old = findChild(turn, replaces);
  if (replaces !== undefined && (type === NotifyType.CHILD_SA_NOT_FOUND || old?.stage.name !== 'active')) {
    // RFC 7296 §2.25.1: it is gone; unless the peer has made another, a new one is made from scratch.
    if (old?.stage.name === 'active') removeChild(turn, replaces);
    if (!hasLivingChild(turn)) want(turn, { kind: 'child-create', tsi, tsr });
  } else if (groups(turn).includes(group) && !triedGroups.includes(group)) {
    start(turn, replaces, tsi, tsr, group, triedGroups, conversation.putOff);
  } else if (
    (type === NotifyType.TEMPORARY_FAILURE || type === NotifyType.STATE_NOT_FOUND) &&
    replaces !== undefined &&
    // RFC 9370 §2.2.4: not for ever, when the peer keeps losing what it began.
    postponeRekey(turn, replaces, type === NotifyType.STATE_NOT_FOUND)
  ) {
    info(turn, 'it is asked for again later');
  } else if (
    type === NotifyType.TEMPORARY_FAILURE &&
    replaces === undefined &&
    turn.sa.phase.name === 'open' &&
    conversation.putOff + 1 < refusalLimit
  ) {
    want(turn, { kind: 'child-create', tsi, tsr, putOff: { times: conversation.putOff + 1, until: turn.now + createRetryMs } });
  } else if (conversation.keyPair && allowsPlain(turn) && refusesKeyExchange(type, data)) {
    info(turn, 'the gateway wants no key exchange in rekeys of CHILD_SAs');
    update(turn, { peer: { ...turn.sa.peer, plainRekeys: true } });
    start(turn, replaces, tsi, tsr, undefined, triedGroups);
  } else if (replaces !== undefined && windowsErrorOf(type, data) === windowsError.NO_REKEY) {
    info(turn, 'the gateway rekeys CHILD_SAs itself');
    postponeRekey(turn, replaces, false);
  } else {
    refused(turn, conversation, group === 0 ? childError(type, 'CREATE_CHILD_SA') : { kind: 'invalid-ke', wanted: group });
  }
}

/** A refused rekey is tried again a few times; a tunnel without any CHILD_SA ends. */
function refused(turn: Turn, conversation: ChildConversation, failure: IkeFailure): void {
  const again = conversation.replaces === undefined ? hasLivingChild(turn) : postponeRekey(turn, conversation.replaces, true);
  if (!again || !hasLivingChild(turn)) closeWith(turn, { kind: 'failed', failure });
}

/** Everything of an answer to the peer's rekey. Either an error to answer, or the pair that is being installed. */
function respond(
  turn: Turn,
  association: Association,
  message: Message,
  old: ChildSa,
  contested: boolean,
): IkeProtocolError | { readonly spiIn: number; readonly lowestNonce: Uint8Array } | { readonly payloads: readonly Payload[] } {
  const { header } = message;
  const nonceI = pickNonce(message.payloads);
  const ke = pick(message.payloads, 'KE');
  const offered = pick(message.payloads, 'SA')?.proposals ?? [];
  const ikeGroup = association.protection?.suite.ke;
  if (!nonceI) return { kind: 'INVALID_SYNTAX', detail: 'no usable nonce' };
  const chosen = selectChildProposal(turn.sa.config.childProposals, offered, { ikeGroup, sentGroup: ke?.group });
  if ('problem' in chosen) {
    info(turn, `the peer’s rekey is refused: ${chosen.problem}`);
    return { kind: 'NO_PROPOSAL_CHOSEN' };
  }
  if (chosen.ke !== 0 && ke?.group !== chosen.ke) return { kind: 'INVALID_KE_PAYLOAD', group: chosen.ke };
  // The peer's side of the tunnel is its TSi; it gets at most what the old pair carried.
  const tsr = narrow(pick(message.payloads, 'TSi')?.selectors ?? [], old.tsr);
  const tsi = narrow(pick(message.payloads, 'TSr')?.selectors ?? [], old.tsi);
  if (tsi.length === 0 || tsr.length === 0) return { kind: 'TS_UNACCEPTABLE' };
  // Rekeys of both sides that go on for several exchanges each would cross in too many ways: both begin anew, at different times.
  if (contested && chosen.additionalKe.length > 0) return { kind: 'TEMPORARY_FAILURE' };
  const exchange = chosen.ke !== 0 && ke ? turn.crypto.answerKeyExchange(chosen.ke, ke.data) : undefined;
  if (chosen.ke !== 0 && !exchange) return { kind: 'INVALID_SYNTAX', detail: 'the public value is not acceptable' };
  const sharedSecret = exchange?.sharedSecret;
  const spiIn = newSpi(turn);
  const nonceR = turn.crypto.random(nonceLength);
  const ppk = takePpkOffer(turn, association, message.payloads);
  const payloads: Payload[] = [
    { kind: 'SA', proposals: [{ ...chosen.reply, spi: spiOctets(spiIn) }] },
    { kind: 'NONCE', data: nonceR },
    ...(exchange ? [{ kind: 'KE', group: chosen.ke, data: exchange.publicValue } as const] : []),
    { kind: 'TSi', selectors: tsr },
    { kind: 'TSr', selectors: tsi },
    ...buildPpkAnswer(ppk),
  ];
  if (chosen.additionalKe.length > 0) {
    const rekey = {
      kind: 'child',
      old: old.spiIn,
      spiIn,
      accepted: chosen,
      tsi,
      tsr,
      nonceI,
      nonceR,
      sharedSecret,
      ppk,
    } as const;
    return { payloads: [...payloads, awaitFollowUp(turn, association, rekey, chosen.additionalKe)] };
  }
  installChild(turn, association, {
    spiIn,
    accepted: chosen,
    tsi,
    tsr,
    ours: false,
    keyInput: { nonceI, nonceR, sharedSecret, ppk: ppk?.key },
    sendNow: false,
    after: {
      kind: 'answer',
      exchange: header.exchange,
      association: association.id,
      messageId: header.messageId,
      replaces: old.spiIn,
      payloads,
    },
  });
  updateAssociation(turn, association.id, { answering: header.messageId });
  return { spiIn, lowestNonce: lowerNonce(nonceI, nonceR).slice() };
}

/** Whether it was made by the peer's rekey of the pair `spiIn`. */
function successorOf(stage: ChildSa['stage'], spiIn: number): boolean {
  if (stage.name === 'standby') return stage.replaces === spiIn;
  return stage.name === 'installing' && stage.after.kind === 'answer' && stage.after.replaces === spiIn;
}

/** What we offer in rekeys: less where the gateway has shown what it cannot bear. */
function wantedProposals(turn: Turn): readonly ChildProposalConfig[] {
  const configs = speakable(turn.sa.config.childProposals, currentOf(turn.sa));
  return turn.sa.peer.plainRekeys ? configs.filter(isPlain) : configs;
}

function allowsPlain(turn: Turn): boolean {
  return turn.sa.config.childProposals.some(isPlain);
}

function isPlain({ ke }: ChildProposalConfig): boolean {
  return ke.length === 0;
}

/** Errors with which gateways without perfect forward secrecy meet a KE payload; by RFC 7296 they would ignore it. */
function refusesKeyExchange(type: number, data: Uint8Array): boolean {
  const refusals: readonly number[] = [NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.INVALID_SYNTAX, NotifyType.INVALID_KE_PAYLOAD];
  return refusals.includes(type) || windowsErrorOf(type, data) === windowsError.KE;
}

/** Groups for perfect forward secrecy that our proposals name. */
function groups(turn: Turn): number[] {
  const ikeGroup = currentOf(turn.sa).protection?.suite.ke;
  return turn.sa.config.childProposals.flatMap(({ ke }) => (ke === 'ike' ? (ikeGroup === undefined ? [] : [ikeGroup]) : ke));
}

/** The group of the IKE SA where it is among ours: the gateway has it, and others it may refuse rather than name a better one. */
function firstGroup(turn: Turn): number | undefined {
  const first = wantedProposals(turn)[0]?.ke;
  const ikeGroup = currentOf(turn.sa).protection?.suite.ke;
  return first === 'ike' || (ikeGroup !== undefined && first?.includes(ikeGroup)) ? ikeGroup : first?.[0];
}
