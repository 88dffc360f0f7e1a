import type { DaemonStatus } from '@aovpn/api';
import { CommandError, ExitCode, type Command, type Invocation } from '../command.ts';
import { statusText } from '../print/status.ts';

export const status: Command = {
  name: 'status',
  summary: 'show every connection: state, reason, gateway, addresses, routes, DNS, crypto, traffic',
  description: [
    'Shows what each connection is doing and why, with the profile line behind each route and name rule.',
    'Of what is not up it says who or what keeps it so, since when, and how that ends. Times are those of your clock.',
    'With a NAME, the exit code is 0 when that connection is up and 1 when it is not.',
    'With --watch a picture of all connections lives on the terminal until q or Ctrl-C: states, rates, and what has happened. Elsewhere it is a line a change.',
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
    if (options['watch'] === true) {
      const { watchJson, watchLines, watchScreen } = await import('../watch-status.ts');
      const look = (): Promise<DaemonStatus> => load(invocation);
      if (options['json'] === true) return await watchJson(invocation, look);
      return terminal.interactive ? await watchScreen(invocation, look) : await watchLines(invocation, look);
    }
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
