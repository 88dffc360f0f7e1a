import type { Candidate } from './candidate.ts';
import type { Connection, ConnectionState, Phase, SupervisorState } from './contract.ts';
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
  readonly connectedAt?: number;
}

/** The visible state of every connection, by name. */
export function viewSupervisor(state: SupervisorState): readonly ConnectionView[] {
  return [...state.connections.values()].map(viewConnection).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Connections whose tunnel nobody wants now: a person said down, or nobody has asked for it yet. */
export function unwantedConnections({ connections }: SupervisorState): ReadonlySet<string> {
  return new Set(
    [...connections.values()].filter(({ held, phase }) => held || phase.kind === 'idle').map(({ spec }) => spec.name),
  );
}

export function viewConnection(connection: Connection): ConnectionView {
  const { spec, phase, since, tries, problem, connectedAt } = connection;
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
    ...(connectedAt !== undefined && { connectedAt }),
  };
}

/** The grammar: what is wanted, then how far it got. */
export function stateOf({ phase, held }: Connection): ConnectionState {
  switch (phase.kind) {
    case 'idle':
      return held ? 'held' : 'down';
    case 'offline':
    case 'waiting':
      return 'waiting';
    case 'resolving':
    case 'opening':
      return 'connecting';
    case 'up':
      return phase.trouble ? 'recovering' : 'up';
    case 'closing':
      return 'disconnecting';
    case 'blocked':
      return 'blocked';
  }
}

function reasonOf({ phase, spec, held, problem }: Connection): string {
  switch (phase.kind) {
    case 'idle':
      if (held) return `A person said down; it stays so until "aovpn up ${spec.name}".`;
      return spec.automatic
        ? 'The daemon is ending.'
        : `The profile is not AlwaysOn, and nobody asked for it yet: "aovpn up ${spec.name}".`;
    case 'offline':
      return 'There is no network; it connects as soon as there is one.';
    case 'resolving':
      return `Looking up ${spec.servers.join(', ')}.`;
    case 'opening':
      return `Negotiating with ${phase.candidate.server}.`;
    case 'up':
      return reasonOfUp(phase.trouble, phase.candidate.server);
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

function reasonOfUp(trouble: Extract<Phase, { readonly kind: 'up' }>['trouble'], server: string): string {
  switch (trouble) {
    case undefined:
      return `Traffic flows through ${server}.`;
    case 'silent':
      return 'The gateway does not answer at the moment; it is being asked again.';
    case 'no-network':
      return 'The network is gone; the connection is kept for its return.';
    case 'moving':
      return 'The network changed; the connection is moving to the new one.';
  }
}
