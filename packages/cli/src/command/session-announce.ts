import process from 'node:process';
import { ExitCode, type Command } from '../command.ts';

const line = (type: 'open' | 'close'): string =>
  `session optional pam_exec.so quiet type=${type}_session /usr/bin/aovpn session ${type}`;

export const sessionOpen: Command = announce('open', 'say that somebody signs in, where logind does not', [
  'Brings up what starts at the sign-in of a user: their AlwaysOn profiles. Where systemd-logind runs it is not needed. Without USER it is you yourself; for others root may say it. In PAM the user is the one who signs in:',
  line('open'),
]);

export const sessionClose: Command = announce('close', 'say that somebody signs out, where logind does not', [
  'Takes down what was there because the user was. Root ends one of the sessions that were announced, you end all of yours.',
  line('close'),
]);

function announce(type: 'open' | 'close', summary: string, description: readonly string[]): Command {
  return {
    name: `session ${type}`,
    summary,
    description,
    positionals: [{ name: 'USER', optional: true }],
    options: [],
    examples: [{ command: `aovpn session ${type}`, what: 'in the profile of a shell, or by hand' }],
    async run({ positionals, client }) {
      // pam_exec(8) says who it is; nobody but root is believed to speak for others.
      const user = positionals[0] ?? (process.getuid?.() === 0 ? process.env['PAM_USER'] : undefined);
      await client.call(`POST /v1/session/${type}`, { body: user === undefined ? {} : { user } });
      return ExitCode.done;
    },
  };
}
