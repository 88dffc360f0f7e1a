import { formatAddress } from '@aovpn/bytes';
import { backoffLimits } from './backoff.ts';
import { orderCandidates, type Candidate } from './candidate.ts';
import type { Connection, Redirect, SupervisorEvent } from './contract.ts';
import { remember, remembered, type Places } from './memory.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';
import { udpPasses } from './step-move.ts';
import { raceOver, raceWon } from './step-race.ts';
import { describe, describeCandidate, supervisorTimes, type Turn, type Up } from './turn.ts';

// What becomes of one attempt to connect: name resolution, the tunnel, its end, and what comes after.

export function answered(
  turn: Turn,
  connection: Connection,
  event: Extract<SupervisorEvent, { readonly attempt: number }>,
): void {
  const { phase } = connection;
  switch (event.kind) {
    case 'resolved':
      if (phase.kind === 'resolving') resolved(turn, connection, event.answers);
      return;
    case 'answered':
      if (phase.kind === 'opening' && phase.race) raceOver(turn, connection, phase, phase.race);
      return;
    case 'probed':
      if (phase.kind === 'opening' && phase.race) raceWon(turn, connection, phase, event.candidate);
      else if (phase.kind === 'up' && !phase.trouble) udpPasses(turn, connection, phase, event.candidate);
      return;
    case 'established':
      if (phase.kind === 'opening') established(turn, connection, phase.candidate, phase.attempt);
      return;
    case 'unresponsive':
      if (phase.kind !== 'up' || phase.trouble === 'no-network' || phase.trouble === 'ending') return;
      turn.phase(connection, event.silent ? { ...phase, trouble: 'silent' } : withoutTrouble(phase));
      return;
    case 'moved':
      if (phase.kind === 'up' && phase.trouble !== 'no-network' && phase.trouble !== 'ending')
        turn.phase(connection, withoutTrouble(phase));
      return;
    case 'cannot-move':
      if (phase.kind !== 'up') return;
      turn.log(connection.spec.name, 'info', problem('cannotMove').message);
      turn.close(connection, false, 'the network changed and the gateway cannot follow');
      return;
    case 'ending':
      if (phase.kind === 'up') turn.phase(connection, { ...phase, trouble: 'ending' });
      return;
    case 'ended':
      ended(turn, connection, event.problem, event.redirect);
  }
}

/** What the names of the servers came to. Where they came to nothing (no name server, an outage), what worked last is tried. */
export function resolved(
  turn: Turn,
  connection: Connection,
  told: Extract<SupervisorEvent, { readonly kind: 'resolved' }>['answers'],
): void {
  const { phase } = connection;
  const via = phase.kind === 'resolving' ? phase.via : undefined;
  const answers = told.map((answer) => {
    // Where a gateway sends us is its affair, every time anew.
    const known = via ? [] : remembered(connection.places, answer.server);
    const addresses = answer.addresses.length > 0 ? answer.addresses : known;
    if (answer.addresses.length === 0 && addresses.length > 0)
      turn.log(
        connection.spec.name,
        'info',
        `${answer.server}: ${answer.why ?? 'no address'}; ${addresses.map(formatAddress).join(', ')} worked last`,
      );
    return { ...answer, addresses };
  });
  const found = orderCandidates(answers, turn.network, connection.places, connection.spec.tcp);
  const candidates = via ? found.map((candidate) => ({ ...candidate, via })) : found;
  if (candidates.length === 0) {
    const details = answers.map(({ server, why }) => `${server}: ${why ?? 'no address'}`).join('; ');
    turn.failed(connection, problem('nameNotResolved', details));
  } else turn.open(connection, candidates);
}

function established(turn: Turn, connection: Connection, candidate: Candidate, attempt: number): void {
  const { problem: _, ...rest } = connection;
  turn.log(connection.spec.name, 'info', `connected to ${describeCandidate(candidate)}`);
  if (candidate.transport === 'tcp') turn.arm(connection.spec.name, supervisorTimes.backToUdp.first);
  else turn.actions.push({ kind: 'disarm', name: connection.spec.name });
  // Where a gateway sends us is its affair, every time anew.
  const places = candidate.via ? connection.places : remember(connection.places, candidate);
  if (places !== connection.places) keepPlaces(turn, connection.spec.name, places);
  turn.phase({ ...rest, connectedAt: turn.now, places, tries: 0 }, { kind: 'up', attempt, candidate });
}

/** A gateway sends us on; in a circle nobody goes for ever. */
function follow(turn: Turn, connection: Connection, { to, proven }: Redirect, from: Candidate): void {
  const { most, within } = supervisorTimes.redirects;
  const { spec } = connection;
  const lately = connection.redirects.filter((at) => turn.now - at < within);
  if (lately.length >= most) return turn.failed(connection, problem('redirectLoop', `${most} within five minutes`));
  const attempt = connection.attempt + 1;
  const next = turn.set({ ...connection, attempt, redirects: [...lately, turn.now] });
  const via = { server: from.server, proven };
  const where = to.kind === 'name' ? to.name : formatAddress(to.address);
  turn.log(spec.name, 'info', `${from.server} sends us to ${where}`);
  if (to.kind === 'address') {
    // RFC 9329 §7.2: UDP first again, whatever led to the gateway that sends us on.
    const transports =
      spec.tcp === 'only' ? (['tcp'] as const) : (spec.tcp ?? 'off') === 'off' ? (['udp'] as const) : (['udp', 'tcp'] as const);
    return turn.open(
      next,
      transports.map((transport) => ({ server: where, address: to.address, transport, via })),
    );
  }
  turn.phase(next, { kind: 'resolving', attempt, via });
  turn.actions.push({ kind: 'resolve', name: spec.name, attempt, servers: [to.name] });
  turn.arm(spec.name, supervisorTimes.resolve);
}

function ended(turn: Turn, connection: Connection, ending: Problem | undefined, redirect?: Redirect): void {
  const { phase, spec } = connection;
  const worked = connection.connectedAt !== undefined && turn.now - connection.connectedAt >= supervisorTimes.worked;
  const { connectedAt: _, ...over } = connection;
  const next = turn.set({ ...over, failures: worked ? 0 : connection.failures });
  if (next.removed) return turn.forget(next);
  if (!turn.wanted(next)) {
    turn.rest(next);
    return turn.maybeStopped();
  }
  if (redirect && (phase.kind === 'opening' || phase.kind === 'up')) return follow(turn, next, redirect, phase.candidate);
  switch (phase.kind) {
    case 'closing':
      if (phase.afterwards.kind === 'fail') turn.failed(next, phase.afterwards.problem);
      else if (phase.afterwards.kind === 'next' && phase.afterwards.fingerprint === turn.network.fingerprint)
        turn.open(next, phase.afterwards.candidates, phase.afterwards.before, false);
      else turn.begin(next);
      return;
    case 'opening': {
      const what = ending ?? problem('internal', 'the tunnel closed while it was being opened');
      const another = what.everywhere !== true && (what.retry === 'soon' || what.side === 'gateway');
      if (next.spec.retryKey !== next.triedWith) turn.begin(next);
      else if (another && phase.rest.length > 0) {
        turn.log(spec.name, 'warn', `${describe(what)} Trying ${describeCandidate(phase.rest[0]!)} next.`);
        turn.open(next, phase.rest, moreTelling(phase.before, what, phase.candidate), !phase.raced);
      } else turn.failed(next, phase.rest.length === 0 ? moreTelling(phase.before, what, phase.candidate) : what);
      return;
    }
    case 'up': {
      const what = ending ?? problem('internal', 'the tunnel closed by itself');
      if (worked && what.retry === 'soon') {
        turn.log(spec.name, 'warn', `${describe(what)} Connecting again.`);
        turn.wait(turn.set({ ...next, problem: what }), Math.round(backoffLimits.first * turn.random));
      } else turn.failed(next, what);
      return;
    }
    case 'idle':
    case 'offline':
    case 'resolving':
    case 'waiting':
    case 'blocked':
      return;
  }
}

function keepPlaces(turn: Turn, name: string, places: Places): void {
  turn.places = new Map(turn.places).set(name, places);
  turn.actions.push({ kind: 'keep-places', name, places });
}

function withoutTrouble(phase: Up): Up {
  return { kind: 'up', attempt: phase.attempt, candidate: phase.candidate };
}

/** Of the problems of one round, a gateway that said no tells more than one that said nothing; that TCP does not help either tells least. */
function moreTelling(before: Problem | undefined, now: Problem, { transport }: Candidate): Problem {
  if (before && transport === 'tcp' && now.side === 'network') return before;
  return before && before.retry !== 'soon' && now.retry === 'soon' ? { ...before, retry: 'soon' } : now;
}
