import type { ConnectionStatus } from '@aovpn/api';
import { clock, duration, localTimes } from './moment.ts';

/**
 * How the state that a connection is in ends, when it is not up: by itself and when, or by what somebody does. `now` is milliseconds since the
 * epoch. Undefined: it is up, or what it is doing ends in a moment.
 */
export function connectionEnd(connection: ConnectionStatus, now: number): string | undefined {
  const { name, state, nextTryAt, attempts, waitingFor } = connection;
  const up = `aovpn up ${/^[\w./@-]+$/.test(name) ? name : `"${name}"`}`;
  const next =
    nextTryAt === undefined
      ? undefined
      : `try ${attempts + 1} in ${duration(Math.max(0, Date.parse(nextTryAt) - now))}, at ${clock(Date.parse(nextTryAt), now)}`;
  switch (state) {
    case 'up':
    case 'disconnecting':
      return undefined;
    case 'connecting':
      if (waitingFor?.who === 'person') return `when you answer: aovpn prompt`;
      return waitingFor ? 'when the RADIUS server answers' : undefined;
    case 'recovering':
      return 'by itself, when the gateway answers or another network is there';
    case 'waiting':
      return next === undefined ? 'by itself' : `${next}; at once: ${up}`;
    case 'blocked':
      return `when profile, settings or credentials change${next === undefined ? '' : `, or by ${next}`}; at once: ${up}`;
    case 'held':
      return `${holdEnd(connection.reason, now) ?? ''}${up}`;
    case 'trusted':
      return `on leaving this network; at once: ${up}`;
    case 'down':
      return connection.reason.startsWith('It connects when ') ? `by itself, when that happens; at once: ${up}` : up;
  }
}

/** The supervisor's sentence says what else ends a hold: a time, or a sign-in. */
function holdEnd(reason: string, now: number): string | undefined {
  const other = /it stays so until (.*) or "aovpn up/.exec(reason)?.[1];
  return other === undefined ? undefined : `at ${localTimes(other, now)}, or by `.replace(/^at the next/, 'by the next');
}
