import { formatAddress } from '@aovpn/bytes';
import type { TrustVerdict } from '@aovpn/policy';
import { backoffDelay } from './backoff.ts';
import type { Candidate } from './candidate.ts';
import type { Afterwards, Connection, Hold, NetworkState, Phase, SupervisorAction, SupervisorState } from './contract.ts';
import type { Places } from './memory.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';
import { awaitsTrust, stateOf, wantsItself } from './view.ts';

/** Our choices, milliseconds. */
export const supervisorTimes = {
  /** Longest wait for name resolution. */
  resolve: 20_000,
  /** How long the first candidate may be silent before the next is asked too: RFC 8305 §8, Connection Attempt Delay. */
  race: 250,
  /** How long UDP alone is tried, before TCP is asked too (RFC 9329 §5.1); not waited for where only TCP worked last time. */
  tcp: 2_000,
  /** So many redirections within such a time are a circle: RFC 5685 §7, MAX_REDIRECTS and REDIRECT_LOOP_DETECT_PERIOD. */
  redirects: { most: 5, within: 300_000 },
  /** How soon, and then how often, a tunnel in TCP looks whether UDP has become possible. */
  backToUdp: { first: 10_000, every: 300_000 },
  /** Longest wait for a tunnel to come up: room for a person's second factor. */
  open: 900_000,
  /** How long the gateway may take to acknowledge our goodbye. */
  close: 4_000,
  /** How long a new network may be without the family by which a live tunnel goes, before it is made anew by the other. */
  lateFamily: 3_000,
  /** Without network we try all the same after this long: a missed event must not strand the machine. */
  offline: 300_000,
  /** A tunnel that lived this long has worked; the back-off starts over. */
  worked: 60_000,
} as const;

export type Opening = Extract<Phase, { readonly kind: 'opening' }>;
export type Up = Extract<Phase, { readonly kind: 'up' }>;

/** One step in the making: the state as it is by now, what is to be done, and the moves that a connection can make. */
export class Turn {
  readonly actions: SupervisorAction[] = [];
  readonly connections: Map<string, Connection>;
  network: NetworkState;
  trust: ReadonlyMap<string, TrustVerdict>;
  held: ReadonlyMap<string, Hold>;
  places: ReadonlyMap<string, Places>;
  stopping: boolean;
  readonly now: number;
  readonly random: number;

  constructor(state: SupervisorState, now: number, random: number) {
    this.connections = new Map(state.connections);
    this.network = state.network;
    this.trust = state.trust;
    this.held = state.held;
    this.places = state.places;
    this.stopping = state.stopping;
    this.now = now;
    this.random = random;
  }

  result(): SupervisorState {
    const { connections, network, trust, held, places, stopping } = this;
    return { connections, network, trust, held, places, stopping };
  }

  begin(connection: Connection): void {
    const { spec } = connection;
    if (awaitsTrust(connection)) return this.rest(connection);
    if (spec.problem) return this.failed(connection, spec.problem);
    const locker = this.lockedOutBy(connection);
    if (locker !== undefined) return this.failed(connection, problem('lockedOut', locker));
    if (!usable(this.network) && connection.phase.kind !== 'offline') return this.goOffline(connection);
    const attempt = connection.attempt + 1;
    // The last problem stays visible while the next try runs.
    const next = { ...connection, attempt, tries: connection.tries + 1, triedWith: spec.retryKey };
    this.phase(next, { kind: 'resolving', attempt });
    this.actions.push({ kind: 'resolve', name: spec.name, attempt, servers: spec.servers });
    this.arm(spec.name, supervisorTimes.resolve);
  }

  /** @param mayRace false once a race was won in this round: whoever answers strangers only must not send us to and fro */
  open(connection: Connection, candidates: readonly Candidate[], before?: Problem, mayRace = true): void {
    const [candidate, ...rest] = candidates;
    const attempt = connection.attempt + 1;
    const next = { ...connection, attempt, ...(before && { problem: before }) };
    const race =
      mayRace && rest.length > 0 ? { asked: 0, since: this.now, deadline: this.now + supervisorTimes.open } : undefined;
    const phase: Phase = {
      kind: 'opening',
      attempt,
      candidate: candidate!,
      rest,
      ...(before && { before }),
      ...(!mayRace && { raced: true }),
    };
    this.phase(next, { ...phase, ...(race && { race }) });
    this.log(connection.spec.name, 'info', `connecting to ${describeCandidate(candidate!)}`);
    this.actions.push({ kind: 'open', name: connection.spec.name, attempt, candidate: candidate!, more: rest.length > 0 });
    this.arm(connection.spec.name, race ? supervisorTimes.race : supervisorTimes.open);
  }

  close(connection: Connection, orderly: boolean, why: string, afterwards?: Problem | Afterwards): void {
    const { phase, spec } = connection;
    if (phase.kind === 'resolving') return this.wanted(connection) ? this.begin(connection) : this.rest(connection);
    if (phase.kind !== 'opening' && phase.kind !== 'up') return;
    this.log(spec.name, 'info', `closing: ${why}`);
    const then: Afterwards =
      afterwards === undefined ? { kind: 'settle' } : 'kind' in afterwards ? afterwards : { kind: 'fail', problem: afterwards };
    this.phase(connection, { kind: 'closing', attempt: phase.attempt, why, afterwards: then });
    this.actions.push({ kind: 'close', name: spec.name, attempt: phase.attempt, orderly, why });
    this.arm(spec.name, supervisorTimes.close);
  }

  failed(connection: Connection, what: Problem): void {
    const failures = connection.failures + 1;
    const next = { ...connection, failures, problem: what };
    const delay = backoffDelay(what.retry, failures, this.random);
    this.log(connection.spec.name, what.retry === 'soon' ? 'warn' : 'error', describe(what));
    if (what.retry === 'soon') {
      if (usable(this.network)) this.wait(next, delay!);
      else this.goOffline(next);
      return;
    }
    this.phase(next, { kind: 'blocked', ...(delay !== undefined && { until: this.now + delay }) });
    if (delay === undefined) this.actions.push({ kind: 'disarm', name: connection.spec.name });
    else this.arm(connection.spec.name, delay);
  }

  wait(connection: Connection, delay: number): void {
    this.phase(connection, { kind: 'waiting', until: this.now + delay });
    this.arm(connection.spec.name, delay);
  }

  goOffline(connection: Connection): void {
    this.phase(connection, { kind: 'offline' });
    this.arm(connection.spec.name, supervisorTimes.offline);
  }

  rest(connection: Connection): void {
    const { problem: _, ...rest } = connection;
    this.phase({ ...rest, tries: 0, failures: 0 }, { kind: 'idle' });
    this.actions.push({ kind: 'disarm', name: connection.spec.name });
  }

  forget(connection: Connection): void {
    const { name } = connection.spec;
    this.connections.delete(name);
    this.actions.push({ kind: 'disarm', name }, { kind: 'forgotten', name });
    this.maybeStopped();
  }

  /** A change of circumstances: old failures no longer count. */
  reset(name: string): Connection {
    const { problem: _, ...rest } = this.get(name);
    return this.set({ ...rest, failures: 0, tries: 0 });
  }

  maybeStopped(): void {
    if (!this.stopping) return;
    for (const { phase } of this.connections.values()) if (hasTunnel(phase)) return;
    this.actions.push({ kind: 'stopped' });
  }

  wanted(connection: Connection): boolean {
    if (this.stopping || connection.held || connection.removed) return false;
    return connection.demanded || (wantsItself(connection) && connection.trust?.kind !== 'trusted');
  }

  /** The profiles with LockDown, when this one has none. */
  lockedOutBy({ spec }: Connection): string | undefined {
    const lockers = this.lockers();
    return spec.lockdown || lockers === '' ? undefined : lockers;
  }

  /** Names of the profiles with LockDown as one text; empty: none. */
  lockers(): string {
    const locking = [...this.connections.values()].filter(({ spec, removed }) => spec.lockdown && !removed);
    return locking
      .map(({ spec }) => spec.name)
      .sort()
      .join(', ');
  }

  phase(connection: Connection, phase: Phase): void {
    this.set({ ...connection, phase });
    this.actions.push({ kind: 'changed', name: connection.spec.name });
  }

  set(connection: Connection): Connection {
    const { name } = connection.spec;
    const before = this.connections.get(name);
    const since = before && stateOf(before) === stateOf(connection) ? before.since : this.now;
    const stored = { ...connection, since };
    this.connections.set(name, stored);
    return stored;
  }

  get(name: string): Connection {
    return this.connections.get(name)!;
  }

  arm(name: string, delay: number): void {
    this.actions.push({ kind: 'arm', name, at: this.now + delay });
  }

  log(name: string, level: 'error' | 'warn' | 'info' | 'debug', text: string): void {
    this.actions.push({ kind: 'log', level, name, text });
  }
}

export function usable(network: NetworkState): boolean {
  return network.v4 || network.v6;
}

export function hasTunnel(phase: Phase): boolean {
  return phase.kind === 'opening' || phase.kind === 'up' || phase.kind === 'closing';
}

export function describe(what: Problem): string {
  return `${what.code}: ${what.message}.`;
}

export function describeCandidate(candidate: Candidate): string {
  const address = formatAddress(candidate.address) + (candidate.transport === 'tcp' ? ' over TCP' : '');
  return formatAddress(candidate.address) === candidate.server ? address : `${candidate.server} (${address})`;
}
