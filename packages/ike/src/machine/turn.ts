import { wipe } from '@aovpn/bytes';
import { stepEap, type EapCrypto, type EapState } from '@aovpn/eap';
import type { IkeCrypto } from '../crypto/port.ts';
import type { IkeAction, IkeEnd, IkeFailure } from './contract.ts';
import type { Association, Conversation, IkeSa, Wanted } from './state.ts';

export type MachineCrypto = IkeCrypto & EapCrypto;

/** One step in the making: the draft of the next state and the actions so far. The draft's parts are replaced, never changed. */
export interface Turn {
  readonly crypto: MachineCrypto;
  readonly now: number;
  sa: IkeSa;
  readonly actions: IkeAction[];
}

export function update(turn: Turn, change: Partial<IkeSa>): void {
  turn.sa = { ...turn.sa, ...change };
}

export function emit(turn: Turn, action: IkeAction): void {
  turn.actions.push(action);
}

export function info(turn: Turn, what: string): void {
  emit(turn, { kind: 'trace', level: 'info', what });
}

export function debug(turn: Turn, what: string): void {
  emit(turn, { kind: 'trace', level: 'debug', what });
}

/** The number of a new question to the host. */
export function ask(turn: Turn): number {
  const question = turn.sa.questions + 1;
  update(turn, { questions: question });
  return question;
}

/** Adds a wish once. */
export function want(turn: Turn, wish: Wanted): void {
  const known = turn.sa.wanted.some(
    (other) => other.kind === wish.kind && (!('spiIn' in other) || !('spiIn' in wish) || other.spiIn === wish.spiIn),
  );
  if (!known) update(turn, { wanted: [...turn.sa.wanted, wish] });
}

export function unwant(turn: Turn, unwanted: (wish: Wanted) => boolean): void {
  update(turn, { wanted: turn.sa.wanted.filter((wish) => !unwanted(wish)) });
}

export function findAssociation(turn: Turn, id: number): Association | undefined {
  return turn.sa.associations.find((association) => association.id === id);
}

/** There is always a current one until the end. */
export function currentOf(sa: IkeSa): Association {
  const current = sa.associations.find((association) => association.role === 'current');
  if (!current) throw new Error('an IKE SA without a current association');
  return current;
}

export function updateAssociation(turn: Turn, id: number, change: Partial<Association>): void {
  update(turn, {
    associations: turn.sa.associations.map((association) =>
      association.id === id ? { ...association, ...change } : association,
    ),
  });
}

export function addAssociation(turn: Turn, association: Omit<Association, 'id'>): number {
  const id = turn.sa.made + 1;
  update(turn, { made: id, associations: [...turn.sa.associations, { ...association, id }] });
  return id;
}

/** Forgets an association and overwrites its keys. */
export function dropAssociation(turn: Turn, id: number): void {
  const association = findAssociation(turn, id);
  if (association) wipeAssociation(association);
  update(turn, { associations: turn.sa.associations.filter((other) => other.id !== id) });
}

/** Changes what the outstanding request of an association remembers. */
export function updateConversation(turn: Turn, id: number, conversation: Conversation): void {
  const outstanding = findAssociation(turn, id)?.outstanding;
  if (outstanding) updateAssociation(turn, id, { outstanding: { ...outstanding, conversation } });
}

/** A number from 0 (included) to 1 (excluded). */
export function fraction(turn: Turn): number {
  const [a, b, c] = turn.crypto.random(3);
  return ((a! << 16) | (b! << 8) | c!) / 0x100_0000;
}

/** The end: every pair is taken away, every secret overwritten. */
export function finish(turn: Turn, end: IkeEnd): void {
  if (turn.sa.phase.name === 'ended') return;
  const { phase } = turn.sa;
  if (phase.name === 'proof-await-response') wipe(phase.msk);
  if (phase.name === 'eap-await-host' || phase.name === 'eap-await-response') {
    wipe(phase.eap.msk);
    abandonEap(turn, phase.eap.state);
  }
  const { peerFollowUp } = turn.sa;
  if (peerFollowUp) wipe(peerFollowUp.rekey.sharedSecret, ...peerFollowUp.secrets);
  for (const child of turn.sa.children) emit(turn, { kind: 'remove-child', spiIn: child.spiIn });
  for (const association of turn.sa.associations) wipeAssociation(association);
  update(turn, { phase: { name: 'ended' }, associations: [], children: [], peerFollowUp: undefined, wanted: [] });
  emit(turn, { kind: 'ended', end });
}

/** EAP forgets its secrets, and closes its TLS, when it hears a Failure; so it hears one when nobody listens any more. */
function abandonEap(turn: Turn, state: EapState): void {
  if (state.phase === 'over') return;
  const { actions } = stepEap(turn.crypto, state, { kind: 'packet', packet: Uint8Array.of(4, 0, 0, 4) });
  for (const action of actions) if (action.kind === 'tls-close') emit(turn, { kind: 'eap', action });
}

export function fail(turn: Turn, failure: IkeFailure): void {
  finish(turn, { kind: 'failed', failure });
}

function wipeAssociation({ protection }: Association): void {
  if (!protection) return;
  const { send, receive, skD, skPi, skPr } = protection;
  wipe(send.encryptionKey, send.integrityKey, receive.encryptionKey, receive.integrityKey, skD, skPi, skPr);
}
