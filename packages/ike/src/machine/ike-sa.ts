import { processSigned } from './auth.ts';
import { processInstalled } from './child-install.ts';
import { wantChildRekey } from './child-rekey.ts';
import type { ChildProposalConfig, IkeAction, IkeEvent, IkeProposalConfig, IkeSaConfig, Path } from './contract.ts';
import { closeWith, deleteUnanswered } from './delete.ts';
import { processLivenessCheck, processStrangerAnswered, processTraffic } from './dpd.ts';
import { processEapEvent } from './eap-round.ts';
import { processVerdict } from './gateway-proof.ts';
import { freshAssociation, newIkeSpi } from './ike-rekey.ts';
import { startInit } from './init.ts';
import { Ke } from '../registry/transform.ts';
import { processPathChanged } from './mobike.ts';
import { processUnanswered } from './move-proof.ts';
import { pump } from './pump.ts';
import { processPuzzleSolved } from './puzzle.ts';
import { processDatagram } from './receive.ts';
import { startResume } from './resume.ts';
import type { IkeSa } from './state.ts';
import { processTimer, settleTimers } from './timer.ts';
import { addAssociation, finish, update, want, type MachineCrypto, type Turn } from './turn.ts';

export interface IkeStep {
  readonly sa: IkeSa;
  /** To be performed in this order. */
  readonly actions: readonly IkeAction[];
}

/**
 * Begins an IKE SA as initiator (RFC 7296): the first action is the IKE_SA_INIT request. `path` is the outer flow, on port 4500 from
 * the start (§2.23 allows it), the non-ESP marker being the host's. `now`: milliseconds of a monotonic clock.
 */
export function startIkeSa(crypto: MachineCrypto, config: IkeSaConfig, path: Path, now: number): IkeStep {
  const turn: Turn = { crypto, now, actions: [], sa: emptySa(crypto, config, path, now) };
  addAssociation(turn, freshAssociation(newIkeSpi(turn)));
  if (config.ticket) startResume(turn, config.ticket);
  else startInit(turn);
  return settle(turn);
}

/**
 * One step. The old state must not be used again: keys that the step has retired are overwritten in place. Whatever a peer sends,
 * this does not throw; it throws on bugs of ours only.
 */
export function stepIkeSa(crypto: MachineCrypto, sa: IkeSa, event: IkeEvent, now: number): IkeStep {
  const turn: Turn = { crypto, now, actions: [], sa };
  if (sa.phase.name === 'ended') return { sa, actions: [] };
  process(turn, event);
  return settle(turn);
}

function process(turn: Turn, event: IkeEvent): void {
  switch (event.kind) {
    case 'datagram':
      return processDatagram(turn, event.datagram, event.from, event.fromPort);
    case 'timer':
      return processTimer(turn, event.timer);
    case 'signed':
      return processSigned(turn, event.request, event.signature, event.problem);
    case 'puzzle-solved':
      return processPuzzleSolved(turn, event.request, event.solution);
    case 'gateway-verdict':
      return processVerdict(turn, event.request, event.verdict);
    case 'eap':
      return processEapEvent(turn, event.event);
    case 'child-installed':
      return processInstalled(turn, event.spiIn, event.problem);
    case 'traffic':
      return processTraffic(turn, event);
    case 'rekey-child':
      return turn.sa.phase.name === 'open' ? wantChildRekey(turn, event.spiIn) : undefined;
    case 'rekey-ike':
      return turn.sa.phase.name === 'open' ? want(turn, { kind: 'ike-rekey' }) : undefined;
    case 'fresh-ppk':
      return update(turn, { freshPpk: event.ppk });
    case 'path-changed':
      return processPathChanged(turn, event.path);
    case 'check-liveness':
      return processLivenessCheck(turn);
    case 'unanswered':
      return processUnanswered(turn, event.lastInboundAt);
    case 'gateway-answers-strangers':
      return processStrangerAnswered(turn);
    case 'close':
      return processClose(turn, event.why);
  }
}

/** A made SA says goodbye, and one that only the gateway may have made already is deleted there; of any other nothing is said, as nobody has it. */
function processClose(turn: Turn, why: string): void {
  const { name } = turn.sa.phase;
  switch (name) {
    case 'auth-await-response':
    case 'auth-await-verdict':
      // With EAP still ahead it is not made.
      if (turn.sa.config.auth.kind !== 'eap') deleteUnanswered(turn);
      return finish(turn, { kind: 'closed', why });
    case 'proof-await-response':
    case 'resume-await-proof':
      deleteUnanswered(turn);
      return finish(turn, { kind: 'closed', why });
    case 'init-await-response':
    case 'init-await-better':
    case 'intermediate-await-response':
    case 'auth-await-puzzle':
    case 'resume-await-response':
    case 'auth-await-signature':
    case 'round-await-response':
    case 'eap-await-host':
    case 'eap-await-response':
      return finish(turn, { kind: 'closed', why });
    case 'child-await-response':
    case 'child-await-install':
    case 'open':
      return closeWith(turn, { kind: 'closed', why });
    case 'closing-await-response':
    case 'ended':
      return undefined;
  }
}

/** What follows from the new state: the next exchange, the timers, and the end as the last word. */
function settle(turn: Turn): IkeStep {
  pump(turn);
  settleTimers(turn);
  const last = turn.actions.findIndex(({ kind }) => kind === 'ended');
  const actions =
    last < 0 ? turn.actions : [...turn.actions.slice(0, last), ...turn.actions.slice(last + 1), turn.actions[last]!];
  return { sa: turn.sa, actions };
}

function emptySa(crypto: MachineCrypto, config: IkeSaConfig, path: Path, now: number): IkeSa {
  const canDo = ({ additionalKe = [] }: IkeProposalConfig | ChildProposalConfig): boolean =>
    additionalKe.flat().every((method) => method === Ke.NONE || crypto.canExchange(method));
  return {
    config: { ...config, ikeProposals: config.ikeProposals.filter(canDo), childProposals: config.childProposals.filter(canDo) },
    // Replaced at once by startInit, which either sends or fails.
    phase: { name: 'open' },
    path,
    pathStale: false,
    moveProof: undefined,
    associations: [],
    children: [],
    peerFollowUp: undefined,
    freshPpk: undefined,
    wanted: [],
    peer: {
      plainRekeys: false,
      messageIdSync: false,
      mobike: false,
      fragmentation: false,
      hashes: undefined,
      authMethods: undefined,
      multipleAuth: false,
      fetchesCertificates: false,
      childless: false,
      ppk: false,
      ppkEarly: false,
      puzzle: undefined,
      natLocal: false,
      natRemote: false,
      seenAs: undefined,
    },
    gateway: { identity: '', subject: '', authentication: '' },
    configuration: { addresses: [], dns: [], dnsDomains: [], dnssecAnchors: [], encryptedDns: [], subnets: [], other: [] },
    liveness: { heardAt: now, askedUntil: undefined, unresponsiveSince: undefined },
    ikeRekeyAt: Infinity,
    ikeExpiresAt: Infinity,
    resumed: false,
    reauthAt: Infinity,
    ticketAt: Infinity,
    ticketIdentities: undefined,
    ikeRefusals: 0,
    armed: {},
    questions: 0,
    made: 0,
  };
}
