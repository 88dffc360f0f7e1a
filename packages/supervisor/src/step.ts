import { answered } from './step-attempt.ts';
import { clockJumped, networkChanged, timeIsUp, trustChanged } from './step-circumstance.ts';
import { holdOver, lockChanged, profileInForce, profileRemoved, saidDown, saidUp, stop, triggered } from './step-wish.ts';
import type { Hold, SupervisorAction, SupervisorEvent, SupervisorState } from './contract.ts';
import type { Places } from './memory.ts';
import { Turn } from './turn.ts';

/** The state at start: names that a person had put down before the daemon was restarted, and where connections had worked. */
export function startSupervisor(
  held: ReadonlyMap<string, Hold> = new Map(),
  places: ReadonlyMap<string, Places> = new Map(),
): SupervisorState {
  return {
    connections: new Map(),
    network: { v4: false, v6: false, fingerprint: '' },
    trust: new Map(),
    held,
    places,
    stopping: false,
  };
}

/**
 * Always on: one event in, the new state and what is to be done out. Pure; `now` is milliseconds of the monotonic clock.
 * Answers that belong to an attempt long over are ignored.
 */
export function stepSupervisor(
  state: SupervisorState,
  event: SupervisorEvent,
  now: number,
): { state: SupervisorState; actions: readonly SupervisorAction[] } {
  const turn = new Turn(state, now, event.random);
  take(turn, event);
  return { state: turn.result(), actions: turn.actions };
}

/** What each event comes to; and where LockDown came or went with it, what that means for the others. */
function take(turn: Turn, event: SupervisorEvent): void {
  const before = turn.lockers();
  dispatch(turn, event);
  if (turn.lockers() !== before && !turn.stopping)
    for (const connection of turn.connections.values()) lockChanged(turn, connection);
}

function dispatch(turn: Turn, event: SupervisorEvent): void {
  switch (event.kind) {
    case 'profile':
      return profileInForce(turn, event.spec);
    case 'network':
      return networkChanged(turn, event.network);
    case 'trust':
      return trustChanged(turn, event.verdicts);
    case 'clock-jump':
      for (const connection of turn.connections.values()) clockJumped(turn, connection);
      return;
    case 'stop':
      return stop(turn);
    case 'profile-removed':
    case 'up':
    case 'down':
    case 'hold-over':
    case 'trigger':
    case 'timer': {
      const connection = turn.connections.get(event.name);
      if (!connection) return;
      if (event.kind === 'up') saidUp(turn, connection);
      else if (event.kind === 'down') saidDown(turn, connection, event.hold);
      else if (event.kind === 'hold-over') holdOver(turn, connection, event.why);
      else if (event.kind === 'timer') timeIsUp(turn, connection);
      else if (event.kind === 'trigger') triggered(turn, connection, event.why);
      else profileRemoved(turn, connection);
      return;
    }
    case 'resolved':
    case 'answered':
    case 'probed':
    case 'established':
    case 'unresponsive':
    case 'moved':
    case 'cannot-move':
    case 'ending':
    case 'ended': {
      const connection = turn.connections.get(event.name);
      if (!connection || !('attempt' in connection.phase) || connection.phase.attempt !== event.attempt) return;
      answered(turn, connection, event);
    }
  }
}
