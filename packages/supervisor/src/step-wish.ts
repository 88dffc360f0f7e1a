import type { TrustVerdict } from '@aovpn/policy';
import type { Connection, ConnectionSpec, Hold } from './contract.ts';
import { problem } from './problem-catalogue.ts';
import { hasTunnel, type Turn } from './turn.ts';
import { awaitsTrust, endOf, wantsItself } from './view.ts';

// What people and files say: profiles come and go, somebody says up or down, a trigger wants a tunnel, the daemon is to end.

export function profileInForce(turn: Turn, spec: ConnectionSpec): void {
  const known = turn.connections.get(spec.name);
  // What a person has said before LockDown came does not count any more, nor after it has ended.
  if (spec.lockdown) keepHold(turn, spec.name, undefined);
  if (!known) {
    const held = turn.held.get(spec.name);
    const connection: Connection = {
      spec,
      phase: { kind: 'idle' },
      since: turn.now,
      demanded: false,
      ...(held && { held }),
      removed: false,
      attempt: 0,
      tries: 0,
      failures: 0,
      places: turn.places.get(spec.name) ?? [],
      redirects: [],
      triedWith: '',
      ...trustOf(turn.trust, spec.name),
    };
    turn.connections.set(spec.name, connection);
    turn.log(spec.name, 'info', held ? `profile in force; held down by ${held.by}` : 'profile in force');
    turn.actions.push({ kind: 'changed', name: spec.name });
    if (turn.wanted(connection)) turn.begin(connection);
    return;
  }
  const active = hasTunnel(known.phase) || known.phase.kind === 'resolving';
  // A profile that stops being automatic does not cut off the person who is using it.
  const demanded = known.demanded || (known.spec.automatic && !spec.automatic && active && known.held === undefined);
  const { held, ...free } = known;
  const connection = turn.set({ ...free, ...(held && !spec.lockdown && { held }), spec, demanded, removed: false });
  turn.actions.push({ kind: 'changed', name: spec.name });
  const phase = connection.phase;
  if (phase.kind === 'closing') return;
  if (active) {
    if (known.spec.tunnelKey !== spec.tunnelKey) {
      turn.reset(connection.spec.name);
      turn.close(turn.get(spec.name), true, 'the profile was replaced by a new version');
    }
  } else if (!turn.wanted(connection)) turn.rest(connection);
  else if (known.spec.retryKey !== spec.retryKey || phase.kind === 'idle') turn.begin(turn.reset(spec.name));
}

export function profileRemoved(turn: Turn, connection: Connection): void {
  turn.log(connection.spec.name, 'info', 'profile removed');
  const gone = turn.set({ ...connection, removed: true, demanded: false });
  if (hasTunnel(gone.phase)) turn.close(gone, true, 'the profile was removed');
  else turn.forget(gone);
}

export function saidUp(turn: Turn, connection: Connection): void {
  keepHold(turn, connection.spec.name, undefined);
  const { held: _, ...free } = connection;
  const { trust } = connection;
  const unwanted = !wantsItself(connection) || (trust !== undefined && trust.kind !== 'untrusted');
  const next = turn.set({ ...free, demanded: unwanted || connection.demanded });
  turn.actions.push({ kind: 'changed', name: next.spec.name });
  switch (next.phase.kind) {
    case 'idle':
    case 'waiting':
    case 'blocked':
    case 'offline':
      turn.begin(turn.reset(next.spec.name));
      return;
    case 'resolving':
    case 'opening':
    case 'up':
    case 'closing':
      return;
  }
}

export function saidDown(turn: Turn, connection: Connection, hold: Hold): void {
  if (connection.spec.lockdown) return turn.log(connection.spec.name, 'warn', 'LockDown: it cannot be put down');
  keepHold(turn, connection.spec.name, hold);
  const next = turn.set({ ...connection, held: hold, demanded: false, failures: 0, tries: 0 });
  turn.log(next.spec.name, 'info', `put down by ${hold.by}; stays down until ${endOf(hold)}`);
  turn.actions.push({ kind: 'changed', name: next.spec.name });
  if (hasTunnel(next.phase)) turn.close(next, true, `${hold.by} said down`);
  else turn.rest(next);
}

export function holdOver(turn: Turn, connection: Connection, why: string): void {
  if (!connection.held) return;
  const { name } = connection.spec;
  keepHold(turn, name, undefined);
  const { held: _, ...free } = connection;
  const next = turn.set(free);
  turn.log(name, 'info', `no longer held down: ${why}`);
  turn.actions.push({ kind: 'changed', name });
  if (next.phase.kind === 'idle' && turn.wanted(next)) turn.begin(turn.reset(name));
}

export function triggered(turn: Turn, connection: Connection, why: string | undefined): void {
  const { triggered: before, ...rest } = connection;
  if (before === why) return;
  const { spec, held } = connection;
  const next = turn.set({ ...rest, ...(why !== undefined && { triggered: why }) });
  turn.actions.push({ kind: 'changed', name: spec.name });
  if (why !== undefined && before === undefined && !spec.automatic)
    turn.log(spec.name, 'info', held ? `${why}, but ${held.by} said down` : `wanted: ${why}`);
  if (!turn.wanted(next)) {
    if (hasTunnel(next.phase)) turn.close(next, true, 'nothing wants it any more');
    else turn.rest(next);
  } else if (next.phase.kind === 'idle' && !awaitsTrust(next)) turn.begin(turn.reset(spec.name));
}

export function stop(turn: Turn): void {
  turn.stopping = true;
  for (const connection of turn.connections.values()) {
    if (hasTunnel(connection.phase)) turn.close(connection, true, 'the daemon ends');
    else turn.rest(connection);
  }
  turn.maybeStopped();
}

/** LockDown of other profiles came or went: who has none makes room for it, and comes back afterwards. */
export function lockChanged(turn: Turn, connection: Connection): void {
  const { spec, phase } = connection;
  const locker = turn.lockedOutBy(connection);
  if (locker === undefined) {
    if (phase.kind === 'blocked' && connection.problem?.code === lockedOutCode) turn.begin(turn.reset(spec.name));
  } else if (hasTunnel(phase)) turn.close(connection, true, 'another profile has LockDown');
  else if (phase.kind !== 'idle' && phase.kind !== 'blocked') turn.failed(connection, problem('lockedOut', locker));
}

function keepHold(turn: Turn, name: string, hold: Hold | undefined): void {
  if (!hold && !turn.held.has(name)) return;
  const holds = new Map(turn.held);
  if (hold) holds.set(name, hold);
  else holds.delete(name);
  turn.held = holds;
  turn.actions.push({ kind: 'keep-held', holds });
}

function trustOf(trust: ReadonlyMap<string, TrustVerdict>, name: string): Pick<Connection, 'trust'> {
  const verdict = trust.get(name);
  return verdict ? { trust: verdict } : {};
}
const lockedOutCode = problem('lockedOut').code;
