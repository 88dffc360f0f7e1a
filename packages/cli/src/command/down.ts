import { ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';

export const down: Command = {
  name: 'down',
  summary: 'take a connection down and keep it down until up',
  description: [
    'Disconnects and holds the connection down, over restarts too, until aovpn up, or as long as down-ends in the settings says.',
    'A connection whose profile has LockDown cannot be put down; root’s way out is aovpn lockdown release.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [],
  examples: [],
  async run({ client, positionals, terminal }) {
    const name = await pickConnection(client, positionals[0]);
    await client.call('POST /v1/connections/:name/down', { name });
    const { connections } = await client.call('GET /v1/status');
    const held = connections.find((connection) => connection.name === name);
    terminal.out(held?.state === 'held' ? held.reason : `"${name}" is being held down; to end that: aovpn up ${name}`);
    return ExitCode.done;
  },
};
