import { equal } from '@aovpn/bytes';
import type { IkeHeader, Payload } from '../message/payload.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { trafficAnswerMs } from './choice.ts';
import { wantChildRekey } from './child-rekey.ts';
import { buildNatDetection, processNatDetection } from './natd.ts';
import type { Association } from './state.ts';
import { currentOf, debug, emit, info, update, want, type Turn } from './turn.ts';
import { hurry, retransmitNow, sendRequest } from './window.ts';

/**
 * Liveness (RFC 7296 §2.4): any authentic message or ESP packet is a sign of life; only after `dpdMs` without one does an empty
 * INFORMATIONAL request ask for one.
 */
export function processDpdTimer(turn: Turn): void {
  const { phase, liveness } = turn.sa;
  if (phase.name !== 'open') return;
  if (liveness.askedUntil !== undefined) {
    update(turn, { liveness: { ...liveness, askedUntil: undefined } });
    return want(turn, { kind: 'liveness' });
  }
  update(turn, { liveness: { ...liveness, askedUntil: turn.now + trafficAnswerMs } });
  emit(turn, { kind: 'ask-traffic' });
}

/** When the next look at liveness is due; undefined while a request is out, which is a probe of its own. */
export function dpdDeadline(turn: Turn): number | undefined {
  const { phase, liveness, config, wanted } = turn.sa;
  if (phase.name !== 'open' || config.dpdMs <= 0) return undefined;
  if (currentOf(turn.sa).outstanding || wanted.some(({ kind }) => kind === 'liveness')) return undefined;
  return liveness.askedUntil ?? liveness.heardAt + config.dpdMs;
}

export interface Traffic {
  readonly lastInboundAt: number | undefined;
  readonly children: readonly { readonly spiIn: number; readonly bytesIn: number; readonly bytesOut: number }[];
}

/** What the data plane has seen: signs of life, and volumes. */
export function processTraffic(turn: Turn, { lastInboundAt, children }: Traffic): void {
  if (turn.sa.phase.name !== 'open') return;
  const { config, liveness } = turn.sa;
  const heardAt = Math.max(liveness.heardAt, Math.min(lastInboundAt ?? 0, turn.now));
  const asked = liveness.askedUntil !== undefined;
  update(turn, { liveness: { ...liveness, heardAt, askedUntil: undefined } });
  if (asked && config.dpdMs > 0 && heardAt + config.dpdMs <= turn.now) want(turn, { kind: 'liveness' });
  if (config.childRekeyBytes <= 0) return;
  for (const { spiIn, bytesIn, bytesOut } of children) {
    if (Math.max(bytesIn, bytesOut) >= config.childRekeyBytes) wantChildRekey(turn, spiIn);
  }
}

/** The host doubts that the path works, after a resume for example: no waiting. */
export function processLivenessCheck(turn: Turn): void {
  if (turn.sa.phase.name !== 'open') return;
  if (currentOf(turn.sa).outstanding) return retransmitNow(turn, { anew: false });
  want(turn, { kind: 'liveness' });
}

/**
 * Somebody says without proof that the gateway has lost this SA (RFC 7296 §1.5, §2.21.4). It is only a hint (§2.4): the request that is
 * out goes out once more, and an authentic answer to it ends the matter. Without one the SA is given up soon instead of after all tries:
 * a gateway that was restarted is missed for two seconds, and a forger who cannot hold back the gateway's answers gains nothing.
 */
export function processGoneHint(turn: Turn, association: Association, header: IkeHeader): void {
  const { outstanding } = association;
  if (turn.sa.phase.name !== 'open' || association.role !== 'current' || !outstanding) return;
  if (outstanding.messageId !== header.messageId || outstanding.exchange !== header.exchange) return;
  hurry(turn, association.id);
}

/** A gateway that answers strangers and not us has probably lost this SA. Unproven, so it is the same hint as {@link processGoneHint}. */
export function processStrangerAnswered(turn: Turn): void {
  if (turn.sa.phase.name !== 'open' || turn.sa.liveness.unresponsiveSince === undefined) return;
  hurry(turn, currentOf(turn.sa).id);
}

/**
 * Behind a NAT the probe also asks where the gateway sees us: a NAT that has forgotten its mapping lets our request and its answer
 * through, while ESP to the old mapping is lost for good (RFC 4555 §3.8).
 */
export function startProbe(turn: Turn): void {
  const { id, spiI, spiR } = currentOf(turn.sa);
  const { mobike, natLocal } = turn.sa.peer;
  const payloads = mobike && natLocal ? buildNatDetection(turn, spiI, spiR) : [];
  sendRequest(turn, id, ExchangeType.INFORMATIONAL, payloads, { kind: 'liveness' });
}

/** The gateway sees us elsewhere than before although we have not moved: it is told to follow, as after a move of ours. */
export function processProbeAnswer(turn: Turn, payloads: readonly Payload[]): void {
  const association = currentOf(turn.sa);
  const { seenAs: before } = turn.sa.peer;
  const found = processNatDetection(turn, association, payloads);
  if (!found?.seenAs) return;
  update(turn, { peer: { ...turn.sa.peer, ...found } });
  if (before?.association !== association.id || equal(before.hash, found.seenAs.hash)) return;
  info(turn, 'the NAT on our side has changed its mapping');
  want(turn, { kind: 'address' });
}

/** An authenticated message came in. */
export function noteLife(turn: Turn): void {
  const { liveness } = turn.sa;
  update(turn, { liveness: { heardAt: turn.now, askedUntil: undefined, unresponsiveSince: undefined } });
  if (liveness.unresponsiveSince === undefined) return;
  debug(turn, 'the gateway answers again');
  emit(turn, { kind: 'unresponsive', since: undefined });
}
