import { askLine, canAsk } from '../ask.ts';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';

export const lockdownRelease: Command = {
  name: 'lockdown release',
  summary: 'open LockDown of a profile: traffic goes where routes lead, until engaged again',
  description: [
    'A connection whose profile has LockDown cannot be put down, and its profile cannot be removed. This is root’s one way out: traffic is no longer held back, and the connection becomes one like any other.',
    'It holds over restarts, is written into the log and shown by aovpn status, and ends with: aovpn lockdown engage.',
    'Where the daemon does not run: aovpnd --clean-up --release-lockdown.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [{ name: 'yes', summary: 'do not ask' }],
  examples: [
    { command: 'aovpn lockdown release "Contoso Device"', what: 'before the profile is removed, or while it cannot connect' },
  ],
  async run({ client, options, positionals, terminal }) {
    const name = await pickConnection(client, positionals[0]);
    if (options['yes'] !== true) {
      if (!canAsk()) throw new CommandError(ExitCode.usage, 'this opens the machine and wants a confirmation', 'add --yes');
      const said = await askLine(`Traffic will leave this machine outside of "${name}". Type the name to go on:`);
      if (said !== name) throw new CommandError(ExitCode.failed, 'not confirmed; LockDown stays as it is');
    }
    await client.call('POST /v1/lockdown/:name/release', { name });
    terminal.out(`LockDown of "${name}" is released until: aovpn lockdown engage ${quoted(name)}`);
    return ExitCode.done;
  },
};

export const lockdownEngage: Command = {
  name: 'lockdown engage',
  summary: 'end an earlier release: LockDown of the profile is in force again',
  description: [
    'From now on nothing leaves this machine but through the tunnel of the profile. Running connections past it break.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [],
  examples: [],
  async run({ client, positionals, terminal }) {
    const name = await pickConnection(client, positionals[0]);
    await client.call('POST /v1/lockdown/:name/engage', { name });
    terminal.out(`LockDown of "${name}" is in force`);
    return ExitCode.done;
  },
};

function quoted(name: string): string {
  return name.includes(' ') ? `"${name}"` : name;
}
