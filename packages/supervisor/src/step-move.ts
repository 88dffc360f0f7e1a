import type { Candidate } from './candidate.ts';
import type { Connection } from './contract.ts';
import { supervisorTimes, type Turn, type Up } from './turn.ts';

// A live tunnel moves: to another network, or from TCP to UDP once that passes.

export function move(turn: Turn, { spec: { name } }: Connection, attempt: number, transport: Candidate['transport']): void {
  turn.actions.push({ kind: 'move', name, attempt, transport });
}

/** A tunnel in TCP asks, as a stranger, whether UDP has become possible. */
export function lookForUdp(turn: Turn, connection: Connection, { attempt, candidate }: Up): void {
  const { name } = connection.spec;
  turn.actions.push({ kind: 'probe', name, attempt, candidate: { ...candidate, transport: 'udp' } });
  turn.arm(name, supervisorTimes.backToUdp.every);
}

/** It has: the tunnel moves there, as to another network (RFC 9329 §7.1). */
export function udpPasses(turn: Turn, connection: Connection, phase: Up, { transport }: Candidate): void {
  if (phase.candidate.transport !== 'tcp' || transport !== 'udp') return;
  const { name } = connection.spec;
  const candidate = { ...phase.candidate, transport };
  turn.log(name, 'info', 'UDP passes now: moving from TCP to UDP');
  turn.phase(connection, { ...phase, candidate, trouble: 'moving' });
  turn.actions.push({ kind: 'disarm', name });
  move(turn, connection, phase.attempt, transport);
}
