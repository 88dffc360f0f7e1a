import type { TrustVerdict } from '@aovpn/policy';
import type { Candidate } from './candidate.ts';
import type { Connection, ConnectionState, Hold, Phase, SupervisorState } from './contract.ts';
import type { Problem } from './problem.ts';

/** What people see of one connection, as far as the supervisor knows it. Times are milliseconds of the monotonic clock. */
export interface ConnectionView {
  readonly name: string;
  readonly tunnel: 'device' | 'user';
  readonly state: ConnectionState;
  /** Why it is in this state, one sentence. */
  readonly reason: string;
  readonly since: number;
  readonly nextTryAt?: number;
  readonly attempts: number;
  readonly problem?: Problem;
  readonly candidate?: Candidate;
  readonly trust?: TrustVerdict;
  readonly connectedAt?: number;
  /** Only with LockDown: whether all traffic of this machine is held back now. Otherwise it goes through the tunnel. */
  readonly trafficBlocked?: boolean;
}

/** The visible state of every connection, by name. */
export function viewSupervisor(state: SupervisorState): readonly ConnectionView[] {
  return [...state.connections.values()].map(viewConnection).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Connections whose tunnel nobody wants now: a person said down, nobody has asked for it yet, or the network is trusted. */
export function unwantedConnections({ connections }: SupervisorState): ReadonlySet<string> {
  return new Set(
    [...connections.values()]
      // Until it is known that the network is trusted, it is treated as if it were not.
      .filter((connection) => connection.held !== undefined || (connection.phase.kind === 'idle' && !awaitsTrust(connection)))
      .map(({ spec }) => spec.name),
  );
}

/** Connections that are coming up; and while none is up, those that a person, a timer or the network may bring up next. */
export function approachingConnections({ connections }: SupervisorState): {
  readonly begun: readonly string[];
  readonly next: readonly string[];
} {
  const all = [...connections.values()];
  const named = (kinds: readonly Phase['kind'][]): readonly string[] =>
    all.filter(({ phase }) => kinds.includes(phase.kind)).map(({ spec }) => spec.name);
  const isAnyUp = all.some(({ phase }) => phase.kind === 'up');
  return { begun: named(['resolving', 'opening']), next: isAnyUp ? [] : named(['idle', 'waiting', 'offline']) };
}

/** Whether every connection is where it is to be: up, or at rest. None waits for anything. */
export function isSettled({ connections }: SupervisorState): boolean {
  return [...connections.values()].every(({ phase }) => phase.kind === 'idle' || (phase.kind === 'up' && !phase.trouble));
}

export function viewConnection(connection: Connection): ConnectionView {
  const { spec, phase, since, tries, problem, connectedAt, trust } = connection;
  const candidate = 'candidate' in phase ? phase.candidate : undefined;
  const nextTryAt = 'until' in phase ? phase.until : undefined;
  return {
    name: spec.name,
    tunnel: spec.tunnel,
    state: stateOf(connection),
    reason: reasonOf(connection),
    since,
    ...(nextTryAt !== undefined && { nextTryAt }),
    attempts: tries,
    ...(problem && { problem }),
    ...(candidate && { candidate }),
    ...(trust && { trust }),
    ...(connectedAt !== undefined && { connectedAt }),
    ...(spec.lockdown && { trafficBlocked: stateOf(connection) !== 'up' }),
  };
}

/** When a hold ends, for people. */
export function endOf({ ends }: Hold, name?: string): string {
  const up = name === undefined ? '"aovpn up"' : `"aovpn up ${name}"`;
  if (ends === 'up') return up;
  return `${ends === 'sign-in' ? 'the next sign-in' : ends} or ${up}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Wanted by the profile itself, always or at the moment; on a trusted network that does not count. */
export function wantsItself({ spec, triggered }: Connection): boolean {
  return spec.automatic || triggered !== undefined;
}

/** Whether it is wanted unless the network turns out to be trusted, which is being asked. */
export function awaitsTrust(connection: Connection): boolean {
  const { demanded, held, trust } = connection;
  return wantsItself(connection) && !demanded && !held && trust?.kind === 'asking';
}

/** The grammar: what is wanted, then how far it got. */
export function stateOf(connection: Connection): ConnectionState {
  const { phase, held, trust } = connection;
  switch (phase.kind) {
    case 'idle':
      if (held) return 'held';
      if (awaitsTrust(connection)) return 'waiting';
      return wantsItself(connection) && trust?.kind === 'trusted' ? 'trusted' : 'down';
    case 'offline':
    case 'waiting':
      return 'waiting';
    case 'resolving':
    case 'opening':
      return 'connecting';
    case 'up':
      if (phase.trouble === 'ending') return 'disconnecting';
      return phase.trouble ? 'recovering' : 'up';
    case 'closing':
      return 'disconnecting';
    case 'blocked':
      return 'blocked';
  }
}

function reasonOf(connection: Connection): string {
  const { phase, spec, held, problem, trust, triggered } = connection;
  switch (phase.kind) {
    case 'idle':
      if (held) return `${capital(held.by)} said down at ${held.since}; it stays so until ${endOf(held, spec.name)}.`;
      if (awaitsTrust(connection)) return `It connects unless this network is trusted: ${trust!.why}.`;
      if (wantsItself(connection) && trust?.kind === 'trusted')
        return `This network is trusted, so that no tunnel is needed: ${trust.why}. It connects on leaving, or by "aovpn up ${spec.name}".`;
      return spec.automatic
        ? 'The daemon is ending.'
        : spec.triggers.length + spec.nameTriggers.length > 0
          ? `It connects when ${triggersOf(spec)}.`
          : `The profile is not AlwaysOn, and nobody asked for it yet: "aovpn up ${spec.name}".`;
    case 'offline':
      return 'There is no network; it connects as soon as there is one.';
    case 'resolving':
      return `Looking up ${spec.servers.join(', ')}.`;
    case 'opening':
      return `Negotiating with ${phase.candidate.server}${overTcp(phase.candidate)}.`;
    case 'up':
      return reasonOfUp(phase.trouble, phase.candidate.server + overTcp(phase.candidate), spec.automatic ? undefined : triggered);
    case 'closing':
      return `Closing: ${phase.why}.`;
    case 'waiting':
      return `${problem ? problem.message : 'The last try failed'}; another try follows by itself.`;
    case 'blocked': {
      const what = problem ? problem.message : 'The last try failed';
      return phase.until === undefined
        ? `${what}; it cannot work until that is changed.`
        : `${what}; tried again slowly, or at once when something is changed.`;
    }
  }
}

function triggersOf({ triggers, nameTriggers }: Connection['spec']): string {
  return [
    ...(triggers.length > 0 ? [`an application of AppTrigger starts: ${triggers.join(', ')}`] : []),
    ...(nameTriggers.length > 0 ? [`a name of AutoTrigger is asked for: ${nameTriggers.join(', ')}`] : []),
  ].join('; or when ');
}

function overTcp({ transport }: Candidate): string {
  return transport === 'tcp' ? ' over TCP' : '';
}

function reasonOfUp(trouble: Extract<Phase, { readonly kind: 'up' }>['trouble'], server: string, triggered?: string): string {
  switch (trouble) {
    case undefined:
      return `Traffic flows through ${server}${triggered === undefined ? '' : `, because ${triggered}`}.`;
    case 'ending':
      return 'The tunnel is over; what belongs to it is taken away.';
    case 'silent':
      return 'The gateway does not answer at the moment; it is being asked again.';
    case 'no-network':
      return 'The network is gone; the connection is kept for its return.';
    case 'moving':
      return 'The network changed; the connection is moving to the new one.';
  }
}
