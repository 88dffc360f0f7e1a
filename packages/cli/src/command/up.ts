import process from 'node:process';
import type { ConnectionStatus } from '@aovpn/api';
import { answerPrompt } from '../answer-prompt.ts';
import { canAsk } from '../ask.ts';
import { blockedBy } from '../blocked-traffic.ts';
import { RefusedError } from '../client.ts';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';
import { duration } from '../print/moment.ts';
import { printable } from '../terminal.ts';

/** Seconds, once a person or a second factor is waited for. */
const patience = 240;

export const up: Command = {
  name: 'up',
  summary: 'bring a connection up, and undo an earlier down',
  description: [
    'Brings the connection up and waits until traffic flows, telling each step. It also ends the hold that down placed, so that the connection stays up by itself from then on.',
    'What only a person can answer (a password, a one-time code) is asked for here on a terminal; elsewhere aovpn prompt answers it.',
    'When it fails, the problem is printed with its code, whose side it is on and what to do; the daemon keeps trying.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    {
      name: 'wait',
      value: 'SECONDS',
      summary:
        'give up waiting after so long (default 60, and 240 where a person or a second factor is waited for); the daemon goes on trying',
    },
    { name: 'no-wait', summary: 'return at once' },
  ],
  examples: [{ command: 'aovpn up', what: 'with one profile its name is not needed' }],
  async run({ client, options, positionals, terminal }) {
    let seconds = Number(options['wait'] ?? 60);
    if (!(seconds > 0)) throw new CommandError(ExitCode.usage, '--wait takes a number of seconds above 0');
    // Root's word needs no list of what there is first. Anybody else's might be short for one of their own, and polkit would ask a person about the other.
    const asIs = process.geteuid?.() === 0 ? positionals[0] : undefined;
    let name = asIs ?? (await pickConnection(client, positionals[0]));
    const stop = new AbortController();
    let limit = setTimeout(() => stop.abort(), seconds * 1000);
    const started = process.uptime();
    const asks = canAsk() && options['no-wait'] !== true;
    try {
      // Listening starts before asking, so that no change is missed.
      const events = client.stream(asks ? '/v1/events?prompts=1' : '/v1/events', stop.signal);
      const upcoming = events[Symbol.asyncIterator]();
      let next = upcoming.next();
      next.catch(() => {});
      // The daemon must know that somebody is here before it is told to connect.
      if (asks) await next;
      let connection = await bringUp();
      if (options['no-wait'] === true) return ExitCode.done;
      const since = Date.parse(connection.since);
      for (let shown = ''; ;) {
        const line = `${connection.state}: ${connection.reason}`;
        if (line !== shown)
          terminal.out(
            `${terminal.style('dim', `${(process.uptime() - started).toFixed(1).padStart(5)} s`)}  ${printable(line)}`,
          );
        shown = line;
        if (connection.waitingFor && options['wait'] === undefined && seconds < patience) {
          seconds = patience;
          clearTimeout(limit);
          limit = setTimeout(() => stop.abort(), (seconds - (process.uptime() - started)) * 1000);
        }
        if (connection.state === 'up') return ExitCode.done;
        if (connection.problem && (connection.state === 'waiting' || connection.state === 'blocked')) throw failed(connection);
        for (;;) {
          const { done, value } = await next;
          if (done === true)
            throw stop.signal.aborted
              ? slow(name, seconds, connection)
              : new CommandError(ExitCode.noDaemon, 'the daemon stopped');
          next = upcoming.next();
          next.catch(() => {});
          if (asks && value.kind === 'prompt' && value.prompt.connection === name)
            await answerPrompt(value.prompt, client, terminal);
          if (value.kind !== 'status' || value.connection.name !== name) continue;
          // The stream begins with what was before it was asked: a failure of then is none of now.
          if (value.connection.state === 'up' || Date.parse(value.connection.since) >= since) {
            connection = value.connection;
            break;
          }
        }
      }
    } finally {
      clearTimeout(limit);
      stop.abort();
    }

    async function bringUp(): Promise<ConnectionStatus> {
      try {
        return await client.call('POST /v1/connections/:name/up', { name });
      } catch (error) {
        if (!(error instanceof RefusedError) || asIs === undefined) throw error;
        const own = await pickConnection(client, asIs);
        if (own === name) throw error;
        name = own;
        return await client.call('POST /v1/connections/:name/up', { name });
      }
    }
  },
};

function failed(connection: ConnectionStatus): CommandError {
  const problem = connection.problem!;
  const windows = problem.windows === undefined ? '' : `, Windows ${problem.windows}`;
  return new CommandError(
    ExitCode.failed,
    `${problem.message} [${problem.code}${windows}; side: ${problem.side}]`,
    problem.cure,
    blockedBy(connection),
  );
}

function slow(name: string, seconds: number, connection: ConnectionStatus): CommandError {
  return new CommandError(
    ExitCode.failed,
    `"${name}" is not up after ${duration(seconds * 1000)}: ${connection.reason}`,
    'the daemon goes on trying; see: aovpn status, aovpn doctor',
    blockedBy(connection),
  );
}
