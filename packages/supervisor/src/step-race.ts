import { sameCandidate, type Candidate } from './candidate.ts';
import type { Afterwards, Connection, Race } from './contract.ts';
import { describeCandidate, supervisorTimes, type Opening, type Turn } from './turn.ts';

// While the first candidate is silent the others are asked as well (RFC 8305), and whoever answers is tried next.

/** The first is still silent: the next of the others is asked as well. */
export function raceOn(turn: Turn, connection: Connection, phase: Opening, race: Race): void {
  const { name } = connection.spec;
  const candidate = phase.rest[race.asked];
  if (!candidate) return turn.arm(name, race.deadline - turn.now);
  const patience = race.since + supervisorTimes.tcp - turn.now;
  if (candidate.transport === 'tcp' && connection.places[0]?.transport !== 'tcp' && patience > 0) return turn.arm(name, patience);
  turn.phase(connection, { ...phase, race: { ...race, asked: race.asked + 1 } });
  turn.actions.push({ kind: 'probe', name, attempt: phase.attempt, candidate });
  turn.arm(name, Math.min(supervisorTimes.race, race.deadline - turn.now));
}

/** The first has answered; what the others say does not matter any more. */
export function raceOver(turn: Turn, connection: Connection, phase: Opening, race: Race): void {
  const { race: _, ...single } = phase;
  turn.phase(connection, single);
  turn.arm(connection.spec.name, race.deadline - turn.now);
}

/** Another one answers while the first is silent: it is tried now, and the first one last. The silent one is told nothing. */
export function raceWon(turn: Turn, connection: Connection, phase: Opening, winner: Candidate): void {
  const others = phase.rest.filter((other) => other !== winner && !sameCandidate(other, winner));
  const { fingerprint } = turn.network;
  const candidates = [winner, ...others, phase.candidate];
  const then: Afterwards = { kind: 'next', candidates, fingerprint, ...(phase.before && { before: phase.before }) };
  turn.close(connection, false, `${describeCandidate(winner)} answers, ${describeCandidate(phase.candidate)} does not`, then);
}
