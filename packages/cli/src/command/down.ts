import { ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';

export const down: Command = {
  name: 'down',
  summary: 'take a connection down and keep it down until up',
  description: [
    'Disconnects. As with Windows, a manual disconnect is permanent until undone: the connection stays held, over restarts too, until aovpn up.',
    'A connection whose profile has LockDown cannot be put down; root’s way out is aovpn lockdown release.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [],
  examples: [],
  async run({ client, positionals, terminal }) {
    const name = await pickConnection(client, positionals[0]);
    await client.call('POST /v1/connections/:name/down', { name });
    terminal.out(`"${name}" is held down until: aovpn up ${name.includes(' ') ? `"${name}"` : name}`);
    return ExitCode.done;
  },
};
