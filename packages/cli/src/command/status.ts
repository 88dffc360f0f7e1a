import { setTimeout as wait } from 'node:timers/promises';
import type { DaemonStatus } from '@aovpn/api';
import { CommandError, ExitCode, type Command, type Invocation } from '../command.ts';
import { statusText } from '../print/status.ts';

export const status: Command = {
  name: 'status',
  summary: 'show every connection: state, reason, gateway, addresses, routes, DNS, crypto, traffic',
  description: [
    'Shows what each connection is doing and why, with the profile line behind each route and name rule.',
    'With a NAME, the exit code is 0 when that connection is up and 1 when it is not.',
  ],
  positionals: [{ name: 'NAME', optional: true, many: true, complete: 'connection' }],
  options: [
    { name: 'json', summary: 'print the whole status as JSON (with --watch: one object a line, at every change)' },
    { name: 'watch', short: 'w', summary: 'keep showing, until interrupted' },
  ],
  examples: [
    { command: 'aovpn status --watch', what: 'a live picture' },
    { command: "aovpn status --json | jq -r '.connections[].state'", what: 'for scripts' },
  ],
  async run(invocation) {
    const { options, positionals, terminal } = invocation;
    if (options['watch'] === true) return await watch(invocation);
    const answer = await load(invocation);
    terminal.out(
      options['json'] === true ? JSON.stringify(answer, null, 2) : statusText(answer, positionals, terminal, Date.now()),
    );
    return positionals.length === 0 || answer.connections.every((connection) => connection.state === 'up')
      ? ExitCode.done
      : ExitCode.failed;
  },
};

async function load({ client, positionals }: Invocation): Promise<DaemonStatus> {
  const answer = await client.call('GET /v1/status');
  for (const name of positionals) {
    if (![...answer.connections, ...answer.profiles].some((one) => one.name === name)) {
      throw new CommandError(ExitCode.notFound, `there is no profile "${name}"`, 'list them: aovpn profile list');
    }
  }
  if (positionals.length === 0) return answer;
  return { ...answer, connections: answer.connections.filter((connection) => positionals.includes(connection.name)) };
}

/** Redraws at every event of the daemon, and once a second for the clocks. */
async function watch(invocation: Invocation): Promise<number> {
  const { client, options, positionals, terminal } = invocation;
  const json = options['json'] === true;
  let current = await load(invocation);
  const show = (): void => terminal.redraw(statusText(current, positionals, terminal, Date.now()));
  if (json) terminal.out(JSON.stringify(current));
  else show();
  const stop = new AbortController();
  const clock = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await wait(1000, undefined, { signal: stop.signal }).catch(() => {});
      if (stop.signal.aborted) return;
      current = await load(invocation);
      show();
    }
  };
  const ticking = json || !terminal.interactive ? undefined : clock();
  // A daemon that goes away is told by the stream, which ends in any case.
  ticking?.catch(() => {});
  try {
    for await (const event of client.stream('/v1/events', stop.signal)) {
      if (event.kind === 'log') continue;
      current = await load(invocation);
      if (json) terminal.out(JSON.stringify(current));
      else show();
    }
  } finally {
    stop.abort();
    await ticking;
  }
  throw new CommandError(ExitCode.noDaemon, 'the daemon stopped');
}
