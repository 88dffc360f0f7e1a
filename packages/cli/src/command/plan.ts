import { ExitCode, type Command } from '../command.ts';

export const plan: Command = {
  name: 'plan',
  summary: 'print what the daemon has asked of the kernel and the resolver, item by item',
  description: [
    'Prints the plan in force: routes, rules and DNS, each with the profile line that asked for it, in words that a Linux administrator can review.',
  ],
  positionals: [],
  options: [],
  examples: [],
  async run({ client, terminal }) {
    terminal.out((await client.call('GET /v1/plan')).text.trimEnd());
    return ExitCode.done;
  },
};
