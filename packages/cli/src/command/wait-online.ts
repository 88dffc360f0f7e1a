import type { ConnectionStatus, DaemonStatus } from '@aovpn/api';
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from '../client.ts';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { connectionEnd } from '../print/connection-end.ts';
import { duration, localTimes } from '../print/moment.ts';
import { printable } from '../terminal.ts';

const defaultSeconds = 120;

export const waitOnline: Command = {
  name: 'wait-online',
  summary: 'wait until the always-on tunnels are up',
  description: [
    'Ends with 0 as soon as every always-on connection of this machine is up, or every NAME; with 1 when that takes too long. Connections of single users count only when they are named.',
    'A connection that needs no tunnel because its network is trusted, and one that a person has put down, is not waited for unless it is named. With no always-on profile there is nothing to wait for.',
    'aovpn-wait-online.service runs it before network-online.target; it works without systemd as well, also before the daemon has started.',
  ],
  positionals: [{ name: 'NAME', optional: true, many: true, complete: 'connection' }],
  options: [
    { name: 'timeout', value: 'SECONDS', summary: `give up after so long (default ${defaultSeconds}; 0: never)` },
    { name: 'any', summary: 'one of them is enough' },
    { name: 'quiet', short: 'q', summary: 'say nothing when all is well' },
  ],
  examples: [
    { command: 'aovpn wait-online --timeout 30 && mount /srv', what: 'in a script, with or without systemd' },
    { command: 'aovpn wait-online "Contoso Device"', what: 'for the device tunnel alone' },
  ],
  async run({ client, options, positionals, terminal }) {
    const seconds = Number(options['timeout'] ?? defaultSeconds);
    if (!(seconds >= 0)) throw new CommandError(ExitCode.usage, '--timeout takes a number of seconds, 0 for no limit');
    const stop = new AbortController();
    const limit = seconds > 0 ? setTimeout(() => stop.abort(), seconds * 1000) : undefined;
    try {
      const started = performance.now();
      const verdict = await untilOnline(client, positionals, options['any'] === true, stop.signal);
      if (verdict.kind === 'late') throw late(verdict, seconds);
      if (options['quiet'] !== true)
        terminal.out(
          verdict.up.length === 0
            ? 'nothing to wait for: no always-on connection wants a tunnel here'
            : `up after ${duration(performance.now() - started)}: ${verdict.up.map(printable).join(', ')}`,
        );
      return ExitCode.done;
    } finally {
      clearTimeout(limit);
      stop.abort();
    }
  },
};

type Verdict =
  | { readonly kind: 'online'; readonly up: readonly string[] }
  /** What was missing when the time was over; `error` where the daemon did not even answer. */
  | {
      readonly kind: 'late';
      readonly missing: readonly ConnectionStatus[];
      readonly absent: readonly string[];
      readonly error?: CommandError;
    };

async function untilOnline(client: Client, names: readonly string[], any: boolean, signal: AbortSignal): Promise<Verdict> {
  let verdict: Verdict = { kind: 'late', missing: [], absent: names };
  while (!signal.aborted) {
    try {
      // Listening starts before looking, so that no change is missed.
      const events = client.stream('/v1/events', signal)[Symbol.asyncIterator]();
      let next = events.next();
      next.catch(() => {});
      for (;;) {
        verdict = judge(await client.call('GET /v1/status'), names, any);
        if (verdict.kind === 'online') return verdict;
        if ((await next).done === true) break;
        next = events.next();
        next.catch(() => {});
      }
    } catch (error) {
      // It may not have started yet, or be starting anew.
      if (!(error instanceof CommandError) || error.exitCode !== ExitCode.noDaemon) throw error;
      verdict = { kind: 'late', missing: [], absent: names, error };
    }
    await wait(500, undefined, { signal }).catch(() => {});
  }
  return verdict;
}

/** Exported for its test. */
export function judge({ connections, profiles }: DaemonStatus, names: readonly string[], any: boolean): Verdict {
  const alwaysOn = new Set(profiles.filter((profile) => profile.alwaysOn).map(({ name }) => name));
  const isAsked = ({ name, owner, state }: ConnectionStatus): boolean =>
    names.length > 0
      ? names.includes(name)
      : alwaysOn.has(name) && owner === undefined && state !== 'trusted' && state !== 'held';
  const wanted = connections.filter(isAsked);
  const up = wanted.filter(({ state }) => state === 'up').map(({ name }) => name);
  const missing = wanted.filter(({ state }) => state !== 'up');
  const absent = names.filter((name) => !connections.some((connection) => connection.name === name));
  const isOnline = any && wanted.length > 0 ? up.length > 0 : missing.length === 0 && absent.length === 0;
  return isOnline ? { kind: 'online', up } : { kind: 'late', missing, absent };
}

function late({ missing, absent, error }: Extract<Verdict, { readonly kind: 'late' }>, seconds: number): CommandError {
  if (error) return new CommandError(ExitCode.noDaemon, error.message, error.cure, error.blocked);
  const now = Date.now();
  const reasons = [
    ...missing.map((connection) => {
      const end = connectionEnd(connection, now);
      return `${connection.name} is ${connection.state}: ${localTimes(connection.reason, now)}${end === undefined ? '' : ` (ends: ${end})`}`;
    }),
    ...absent.map((name) => `there is no connection "${name}"`),
  ];
  return new CommandError(
    ExitCode.failed,
    `not online after ${duration(seconds * 1000)}: ${reasons.join('; ')}`,
    'the daemon goes on trying; see: aovpn status, aovpn doctor',
  );
}
