import { removeChild, retryTime, updateChild } from './child.ts';
import { processStandbyDeadline } from './child-install.ts';
import { wantChildRekey } from './child-rekey.ts';
import type { IkeTimer } from './contract.ts';
import { processCloseDeadline } from './delete.ts';
import { dpdDeadline, processDpdTimer } from './dpd.ts';
import { forgetPeerFollowUp } from './follow-up-ke.ts';
import { processEapDeadline } from './eap-round.ts';
import { processAssociationDeadline } from './ike-rekey.ts';
import { processInitDeadline } from './init.ts';
import { processPuzzleDeadline } from './puzzle.ts';
import type { Wanted } from './state.ts';
import { processReauthTimer } from './reauth.ts';
import { processResumeDeadline } from './resume.ts';
import { emit, update, want, type Turn } from './turn.ts';
import { retransmitDue } from './window.ts';

const timers: readonly IkeTimer[] = [
  'retransmit',
  'dpd',
  'ike-rekey',
  'child-rekey',
  'eap-wait',
  'linger',
  'half-open',
  'reauth',
];

/** A timer of the host has run out. What is not due yet is armed again by {@link settleTimers}. */
export function processTimer(turn: Turn, timer: IkeTimer): void {
  update(turn, { armed: { ...turn.sa.armed, [timer]: Infinity } });
  const at = deadline(turn, timer);
  if (at > turn.now) return;
  switch (timer) {
    case 'retransmit':
      return retransmitDue(turn);
    case 'dpd':
      return processDpdTimer(turn);
    case 'ike-rekey':
      update(turn, { ikeRekeyAt: Infinity });
      return want(turn, { kind: 'ike-rekey' });
    case 'child-rekey':
      for (const { spiIn, rekeyAt } of turn.sa.children) {
        if (rekeyAt > turn.now) continue;
        updateChild(turn, spiIn, { rekeyAt: retryTime(turn) });
        wantChildRekey(turn, spiIn);
      }
      return undefined;
    case 'eap-wait':
      return processEapDeadline(turn);
    case 'half-open':
      if (turn.sa.phase.name === 'resume-await-response') return processResumeDeadline(turn);
      return turn.sa.phase.name === 'auth-await-puzzle' ? processPuzzleDeadline(turn) : processInitDeadline(turn);
    case 'reauth':
      if (turn.sa.reauthAt <= turn.now) processReauthTimer(turn);
      if (turn.sa.ticketAt > turn.now) return undefined;
      update(turn, { ticketAt: Infinity });
      return want(turn, { kind: 'ticket' });
    case 'linger':
      return processLinger(turn);
  }
}

/** Timers follow from the state: tells the host what has changed. */
export function settleTimers(turn: Turn): void {
  for (const timer of timers) {
    const at = deadline(turn, timer);
    const armed = turn.sa.armed[timer];
    if (at === armed || (at === Infinity && armed === undefined)) continue;
    if (at === Infinity) {
      update(turn, { armed: { ...turn.sa.armed, [timer]: undefined } });
      if (armed !== Infinity) emit(turn, { kind: 'disarm', timer });
    } else {
      update(turn, { armed: { ...turn.sa.armed, [timer]: at } });
      emit(turn, { kind: 'arm', timer, at });
    }
  }
}

function deadline(turn: Turn, timer: IkeTimer): number {
  const { sa } = turn;
  if (sa.phase.name === 'ended') return Infinity;
  switch (timer) {
    case 'retransmit':
      return Math.min(...sa.associations.map(({ outstanding }) => outstanding?.dueAt ?? Infinity));
    case 'dpd':
      return dpdDeadline(turn) ?? Infinity;
    case 'ike-rekey':
      return sa.phase.name === 'open' ? sa.ikeRekeyAt : Infinity;
    case 'child-rekey':
      return sa.phase.name === 'open'
        ? Math.min(
            ...sa.children.map(({ stage, rekeyAt }) => (stage.name === 'active' ? rekeyAt : Infinity)),
            ...sa.wanted.map((wish) => putOffUntil(wish, turn.now)),
          )
        : Infinity;
    case 'eap-wait':
      return sa.phase.name === 'eap-await-host' ? sa.phase.until : Infinity;
    case 'half-open':
      if (sa.phase.name === 'resume-await-response') return sa.phase.resume.refusedAt ?? Infinity;
      return sa.phase.name === 'init-await-better' || sa.phase.name === 'auth-await-puzzle' ? sa.phase.until : Infinity;
    case 'reauth':
      return sa.phase.name === 'open' ? Math.min(sa.reauthAt, sa.ticketAt) : Infinity;
    case 'linger':
      return Math.min(
        sa.phase.name === 'closing-await-response' ? sa.phase.until : Infinity,
        sa.peerFollowUp?.until ?? Infinity,
        ...sa.children.map(({ stage }) => ('until' in stage ? stage.until : Infinity)),
        ...sa.associations.map(({ until }) => until ?? Infinity),
      );
  }
}

/** What is put off and due is started by the pump, as soon as the window is free: no timer for that. */
function putOffUntil(wish: Wanted, now: number): number {
  const until = wish.kind === 'child-create' ? wish.putOff?.until : undefined;
  return until !== undefined && until > now ? until : Infinity;
}

function processLinger(turn: Turn): void {
  for (const child of turn.sa.children) {
    if (!('until' in child.stage) || child.stage.until > turn.now) continue;
    if (child.stage.name === 'lingering') removeChild(turn, child.spiIn);
    else processStandbyDeadline(turn, child);
  }
  for (const association of turn.sa.associations) {
    if ((association.until ?? Infinity) <= turn.now) processAssociationDeadline(turn, association);
  }
  if ((turn.sa.peerFollowUp?.until ?? Infinity) <= turn.now) forgetPeerFollowUp(turn);
  processCloseDeadline(turn);
}
