import type { Payload } from '../message/payload.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { ProtocolId } from '../registry/protocol.ts';
import { findChild, hasLivingChild, lingerChild, removeChild } from './child.ts';
import { settleStandby } from './child-install.ts';
import { closingMs, closingRetransmitMs, deleteLimit } from './choice.ts';
import type { IkeEnd } from './contract.ts';
import { deleteOfAssociation, isHeir } from './ike-rekey.ts';
import { pickAll, spiNumber, spiOctets } from './pick.ts';
import type { Association, ChildConversation, ChildSa } from './state.ts';
import {
  currentOf,
  debug,
  emit,
  findAssociation,
  finish,
  info,
  unwant,
  update,
  updateAssociation,
  updateConversation,
  want,
  type Turn,
} from './turn.ts';
import { sendLastWords, sendRequest } from './window.ts';

/** Delete payloads (RFC 7296 §1.4.1, §2.25): of CHILD_SAs and of IKE SAs, by us and by the peer. */

/** Ends the SA politely: a Delete, a short wait for its answer, and then `end`, whatever came. */
export function closeWith(turn: Turn, end: IkeEnd): void {
  const { phase } = turn.sa;
  if (phase.name === 'ended' || phase.name === 'closing-await-response') return;
  update(turn, { phase: { name: 'closing-await-response', end, until: turn.now + closingMs }, wanted: [] });
}

/** Sends the Delete of the whole SA as soon as the window is free. */
export function startClose(turn: Turn): void {
  deleteHeirs(turn);
  startDeleteIke(turn, currentOf(turn.sa));
}

/** Deletes an SA that the gateway may have and we have not, without waiting for an answer: until it finds out that we are gone it would keep it (RFC 7296 §2.21.2). */
export function deleteUnanswered(turn: Turn): void {
  sendLastWords(turn, currentOf(turn.sa), ExchangeType.INFORMATIONAL, [deleteIke]);
  deleteHeirs(turn);
}

/** To a peer that takes its new IKE SA for the one in use already, the Delete of the old one is no goodbye. */
function deleteHeirs(turn: Turn): void {
  for (const heir of turn.sa.associations.filter(isHeir)) sendLastWords(turn, heir, ExchangeType.INFORMATIONAL, [deleteIke]);
}

export function processCloseDeadline(turn: Turn): void {
  const { phase } = turn.sa;
  if (phase.name !== 'closing-await-response' || phase.until > turn.now) return;
  // The window never became free: the peer may hear it nevertheless.
  if (currentOf(turn.sa).outstanding?.conversation.kind !== 'delete-ike') deleteUnanswered(turn);
  finish(turn, phase.end);
}

/** Deletes an association: the current one when closing, a former or redundant one after a rekey. */
export function startDeleteIke(turn: Turn, association: Association): void {
  sendRequest(turn, association.id, ExchangeType.INFORMATIONAL, [deleteIke], { kind: 'delete-ike' });
  const { outstanding } = findAssociation(turn, association.id) ?? {};
  if (turn.sa.phase.name === 'closing-await-response' && outstanding) {
    updateAssociation(turn, association.id, {
      outstanding: { ...outstanding, dueAt: Math.min(outstanding.dueAt, turn.now + closingRetransmitMs) },
    });
  }
}

/** Deletes, in one message, every CHILD_SA that waits for it. */
export function startDeleteChildren(turn: Turn): void {
  const spisIn = turn.sa.wanted.flatMap((wish) => (wish.kind === 'delete-child' ? [wish.spiIn] : [])).slice(0, deleteLimit);
  unwant(turn, (wish) => wish.kind === 'delete-child' && spisIn.includes(wish.spiIn));
  const payload: Payload = { kind: 'D', protocol: ProtocolId.ESP, spis: spisIn.map(spiOctets) };
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.INFORMATIONAL, [payload], { kind: 'delete-child', spisIn });
}

/** Our Delete was answered; whether the answer names the peer's SPIs or the peer had deleted them itself is the same to us. */
export function processChildrenDeleted(turn: Turn, spisIn: readonly number[]): void {
  for (const spiIn of spisIn) {
    if (findChild(turn, spiIn)) lingerChild(turn, spiIn);
    settleAll(turn, spiIn);
  }
}

/** The peer deletes CHILD_SAs. Returns the payloads of the answer: the SPIs of the other direction of those that we did not delete ourselves. */
export function answerDeleteChildren(turn: Turn, payloads: readonly Payload[]): Payload[] {
  const spis: Uint8Array[] = [];
  for (const { protocol, spis: named } of pickAll(payloads, 'D')) {
    if (protocol !== ProtocolId.ESP) continue;
    for (const octets of named.slice(0, deleteLimit)) {
      const spiOut = spiNumber(octets);
      const child = turn.sa.children.find((other) => other.spiOut === spiOut && other.stage.name !== 'lingering');
      if (spiOut === undefined || !child) {
        debug(turn, 'the peer deletes a CHILD_SA that does not exist');
        if (spiOut !== undefined) rememberUnseen(turn, spiOut);
        continue;
      }
      if (!deletingOurselves(turn, child)) spis.push(spiOctets(child.spiIn));
      deletedByPeer(turn, child);
    }
  }
  return spis.length === 0 ? [] : [{ kind: 'D', protocol: ProtocolId.ESP, spis }];
}

/** Whether the peer deletes the IKE SA itself; CHILD_SAs go with it. */
export function deletesIke(payloads: readonly Payload[]): boolean {
  return pickAll(payloads, 'D').some(({ protocol }) => protocol === ProtocolId.IKE);
}

/** After the answer to the peer's Delete of an IKE SA. */
export function processDeleteIke(turn: Turn, association: Association): void {
  const { phase } = turn.sa;
  if (association.role === 'current' && phase.name === 'closing-await-response') {
    // The peer goes on with what its rekey has made. It was not told that this ends, or may have been told before it knew it.
    deleteHeirs(turn);
    return finish(turn, phase.end);
  }
  if (deleteOfAssociation(turn, association)) return;
  // What the gateway has ended on purpose is not resumed.
  if (turn.sa.config.askTicket) emit(turn, { kind: 'ticket', ticket: undefined, lifetimeMs: 0 });
  finish(turn, { kind: 'peer-closed' });
}

function deletedByPeer(turn: Turn, child: ChildSa): void {
  const { spiIn, stage, tsi, tsr } = child;
  info(turn, 'the peer deleted a CHILD_SA');
  const replacement = turn.sa.children.some(
    (other) =>
      other.spiIn !== spiIn &&
      (other.stage.name === 'active' || (other.stage.name === 'standby' && other.stage.replaces === spiIn)),
  );
  if (stage.name === 'standby' || (!replacement && stage.name === 'active')) removeChild(turn, spiIn);
  else if (stage.name === 'installing') removeChild(turn, spiIn);
  else lingerChild(turn, spiIn);
  settleAll(turn, spiIn);
  // The tunnel was never there for the host, and is not to be.
  if (turn.sa.phase.name === 'child-await-install') return closeWith(turn, { kind: 'peer-closed' });
  const conversation = currentOf(turn.sa).outstanding?.conversation;
  const creating = conversation?.kind === 'child' || (conversation?.kind === 'follow-up' && conversation.rekey.kind === 'child');
  if (turn.sa.phase.name === 'open' && !hasLivingChild(turn) && !creating && tsi.length > 0)
    want(turn, { kind: 'child-create', tsi, tsr });
}

/** The peer may delete what it has just made for us, before we have its answer. */
function rememberUnseen(turn: Turn, spiOut: number): void {
  const { id, outstanding } = currentOf(turn.sa);
  const conversation = outstanding?.conversation;
  const remember = (child: ChildConversation): ChildConversation => ({
    ...child,
    deletedUnseen: [...(child.deletedUnseen ?? []), spiOut].slice(-deleteLimit),
  });
  if (conversation?.kind === 'child') updateConversation(turn, id, remember(conversation));
  if (conversation?.kind !== 'follow-up' || conversation.rekey.kind !== 'child') return;
  const { rekey } = conversation;
  updateConversation(turn, id, { ...conversation, rekey: { ...rekey, conversation: remember(rekey.conversation) } });
}

/** Pairs that waited for this one to go. */
function settleAll(turn: Turn, replaced: number): void {
  for (const { spiIn, stage } of turn.sa.children) {
    if (stage.name === 'standby' && stage.replaces === replaced) settleStandby(turn, spiIn);
  }
}

function deletingOurselves(turn: Turn, { spiIn }: ChildSa): boolean {
  const conversation = currentOf(turn.sa).outstanding?.conversation;
  return conversation?.kind === 'delete-child' && conversation.spisIn.includes(spiIn);
}

const deleteIke: Payload = { kind: 'D', protocol: ProtocolId.IKE, spis: [] };
