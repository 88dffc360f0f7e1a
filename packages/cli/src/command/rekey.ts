import { ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';

export const rekey: Command = {
  name: 'rekey',
  summary: 'make new keys for a connection now',
  description: [
    'Asks the gateway for new keys, first for the traffic and then for IKE itself. Traffic goes on meanwhile. The log says when each is done.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [],
  examples: [],
  async run({ client, positionals }) {
    const name = await pickConnection(client, positionals[0]);
    await client.call('POST /v1/connections/:name/rekey', { name });
    return ExitCode.done;
  },
};
