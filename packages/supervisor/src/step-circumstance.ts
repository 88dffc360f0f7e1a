import type { TrustVerdict } from '@aovpn/policy';
import { resolved } from './step-attempt.ts';
import { raceOn } from './step-race.ts';
import { lookForUdp, move } from './step-move.ts';
import type { Candidate } from './candidate.ts';
import type { Connection, NetworkState } from './contract.ts';
import { problem } from './problem-catalogue.ts';
import { hasTunnel, supervisorTimes, usable, type Turn } from './turn.ts';
import { awaitsTrust, wantsItself } from './view.ts';

// What the machine and its network do: networks come, go and are trusted; the clock jumps; time is up.

export function networkChanged(turn: Turn, network: NetworkState): void {
  const before = turn.network;
  if (before.fingerprint === network.fingerprint && before.v4 === network.v4 && before.v6 === network.v6) return;
  turn.network = network;
  for (const connection of turn.connections.values()) {
    if (usable(network)) networkIsThere(turn, connection);
    else networkIsGone(turn, connection);
  }
}

export function trustChanged(turn: Turn, verdicts: ReadonlyMap<string, TrustVerdict>): void {
  turn.trust = verdicts;
  for (const connection of turn.connections.values()) {
    const { trust: before, ...rest } = connection;
    const { name } = connection.spec;
    const itself = wantsItself(connection);
    const trust = verdicts.get(name);
    if (before?.kind === trust?.kind && before?.why === trust?.why) continue;
    // What a person asked for on a trusted network is wanted anyway outside of it.
    const asked = connection.demanded && !(itself && trust?.kind === 'untrusted');
    const next = turn.set({ ...rest, demanded: asked, ...(trust && { trust }) });
    if (itself && trust && trust.kind !== before?.kind && (before || trust.kind === 'trusted'))
      turn.log(name, 'info', `this network is ${trustWord[trust.kind]}: ${trust.why}`);
    turn.actions.push({ kind: 'changed', name });
    if (!turn.wanted(next)) {
      if (hasTunnel(next.phase)) turn.close(next, true, 'the network is trusted');
      else turn.rest(next);
    } else if (next.phase.kind === 'idle' && !awaitsTrust(next)) turn.begin(turn.reset(name));
  }
}

export function clockJumped(turn: Turn, connection: Connection): void {
  const { phase, spec } = connection;
  switch (phase.kind) {
    case 'up':
      turn.actions.push({ kind: 'check-liveness', name: spec.name, attempt: phase.attempt });
      return;
    case 'waiting':
      turn.begin(turn.reset(spec.name));
      return;
    case 'blocked':
      // A certificate that had "expired" may be good by the clock as it is now.
      if (phase.until !== undefined) turn.begin(connection);
      return;
    case 'idle':
    case 'offline':
    case 'resolving':
    case 'opening':
    case 'closing':
      return;
  }
}

export function timeIsUp(turn: Turn, connection: Connection): void {
  const { phase, spec } = connection;
  switch (phase.kind) {
    case 'idle':
      return;
    case 'offline':
    case 'waiting':
    case 'blocked':
      turn.begin(connection);
      return;
    case 'resolving':
      resolved(
        turn,
        connection,
        spec.servers.map((server) => ({ server, addresses: [], why: 'no answer in time' })),
      );
      return;
    case 'opening':
      if (phase.race && turn.now < phase.race.deadline) raceOn(turn, connection, phase, phase.race);
      else turn.close(connection, false, 'it took too long', problem('tookTooLong'));
      return;
    case 'up':
      if (phase.trouble === 'no-network')
        turn.close(connection, false, 'no network for longer than NetworkOutageTime', problem('outage'));
      else if (phase.trouble !== 'ending' && isStranded(turn, phase.candidate))
        turn.close(
          connection,
          false,
          `this network has no IPv${phase.candidate.address.family}, by which the gateway was reached`,
        );
      else if (phase.candidate.transport === 'tcp' && spec.tcp !== 'only') lookForUdp(turn, connection, phase);
      return;
    case 'closing':
      // The goodbye went unanswered; from now on insist.
      turn.actions.push({ kind: 'close', name: spec.name, attempt: phase.attempt, orderly: false, why: phase.why });
      turn.arm(spec.name, supervisorTimes.close);
      return;
  }
}

function networkIsThere(turn: Turn, connection: Connection): void {
  const { phase, spec } = connection;
  switch (phase.kind) {
    case 'offline':
    case 'waiting':
      turn.begin(turn.reset(spec.name));
      return;
    case 'resolving':
      turn.begin(connection);
      return;
    case 'opening':
      turn.close(connection, false, 'the network changed while connecting');
      return;
    case 'up':
      if (phase.trouble === 'ending') return;
      turn.phase(connection, { ...phase, trouble: 'moving' });
      turn.actions.push({ kind: 'disarm', name: spec.name });
      move(turn, connection, phase.attempt, phase.candidate.transport);
      // IPv4 may only be late: DHCP takes its time.
      if (isStranded(turn, phase.candidate)) turn.arm(spec.name, supervisorTimes.lateFamily);
      // The new network may let UDP pass.
      else if (phase.candidate.transport === 'tcp') turn.arm(spec.name, supervisorTimes.backToUdp.first);
      return;
    case 'idle':
    case 'closing':
    case 'blocked':
      return;
  }
}

/** The machine has no address of the family by which the tunnel goes. */
function isStranded({ network }: Turn, { address }: Candidate): boolean {
  return !(address.family === 4 ? network.v4 : network.v6);
}

function networkIsGone(turn: Turn, connection: Connection): void {
  const { phase, spec } = connection;
  switch (phase.kind) {
    case 'resolving':
    case 'waiting':
      turn.goOffline(connection);
      return;
    case 'opening':
      turn.close(connection, false, 'the network is gone');
      return;
    case 'up':
      if (phase.trouble === 'ending') return;
      turn.phase(connection, { ...phase, trouble: 'no-network' });
      if (spec.outageMs > 0) turn.arm(spec.name, spec.outageMs);
      return;
    case 'idle':
    case 'offline':
    case 'closing':
    case 'blocked':
      return;
  }
}

const trustWord = { trusted: 'trusted', untrusted: 'not trusted', asking: 'perhaps trusted' } as const;
