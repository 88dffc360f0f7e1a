import { wantChildRekey } from './child-rekey.ts';
import { carriesMs, underWayMs } from './choice.ts';
import { processLivenessCheck } from './dpd.ts';
import { currentOf, emit, info, update, type Turn } from './turn.ts';

/**
 * After a move IKE may go on while ESP does not: a gateway that answers UPDATE_SA_ADDRESSES (RFC 4555 §3.5) and leaves its SAs at the old address
 * swallows everything. Its ESP from the new address is the proof that it follows. Where we send and none comes, new CHILD_SAs are made, which begin
 * at the new addresses; where not even that brings any, the tunnel is made anew.
 */
export interface MoveProof {
  /** ESP that came in later has come to the new address. */
  readonly since: number;
  /** From then on the gateway's ESP could be there; Infinity: it does not know the new address yet. */
  readonly silentFrom: number;
  /** New CHILD_SAs were asked for. */
  readonly rekeyed: boolean;
}

/** The gateway believes us to be elsewhere than it should: from now on nothing proves that its ESP comes here. */
export function moveBegins(turn: Turn): void {
  update(turn, { moveProof: { since: turn.now + underWayMs, silentFrom: Infinity, rekeyed: false } });
}

/** It says that it follows. */
export function moveConfirmed(turn: Turn): void {
  const { moveProof } = turn.sa;
  update(turn, { moveProof: { since: moveProof?.since ?? turn.now + underWayMs, silentFrom: turn.now, rekeyed: false } });
}

/** A new CHILD_SA sends: silence counts from here. */
export function childRenewed(turn: Turn): void {
  const { moveProof } = turn.sa;
  if (moveProof && moveProof.silentFrom < turn.now) update(turn, { moveProof: { ...moveProof, silentFrom: turn.now } });
}

/** ESP left and none came back for a while: is the gateway there, and after a move: does its ESP come here? */
export function processUnanswered(turn: Turn, lastInboundAt: number | undefined): void {
  const { phase, moveProof } = turn.sa;
  if (phase.name !== 'open') return;
  if (moveProof && (lastInboundAt ?? -Infinity) > moveProof.since) update(turn, { moveProof: undefined });
  else if (moveProof && turn.now - moveProof.silentFrom >= carriesMs) return heedSilence(turn, moveProof);
  processLivenessCheck(turn);
}

/** The exchange that makes new CHILD_SAs asks for a sign of life as well, so that nothing is concluded here while the gateway does not answer IKE. */
function heedSilence(turn: Turn, moveProof: MoveProof): void {
  const { children, wanted } = turn.sa;
  if (currentOf(turn.sa).outstanding) return processLivenessCheck(turn);
  if (wanted.some(({ kind }) => kind === 'child-rekey' || kind === 'child-create')) return;
  if (children.some(({ stage }) => stage.name === 'installing')) return;
  if (moveProof.rekeyed) {
    update(turn, { moveProof: undefined });
    info(turn, 'the gateway’s ESP does not follow to the new address, not even with a new CHILD_SA');
    return emit(turn, { kind: 'cannot-move' });
  }
  info(turn, 'the gateway answers, but its ESP does not come to the new address: a new CHILD_SA');
  update(turn, { moveProof: { ...moveProof, rekeyed: true } });
  for (const { spiIn } of children) wantChildRekey(turn, spiIn);
}
