import { ExitCode, type Command } from '../command.ts';

export const profileRemove: Command = {
  name: 'profile remove',
  summary: 'disconnect and remove a profile with the credentials beside it',
  description: ['Takes the connection down, removes the profile file and the credential files of the same name.'],
  positionals: [{ name: 'NAME', complete: 'connection' }],
  options: [],
  examples: [],
  async run({ client, positionals, terminal }) {
    const { removed } = await client.call('DELETE /v1/profiles/:name', { name: positionals[0]! });
    terminal.out(`removed "${removed}"`);
    return ExitCode.done;
  },
};
