import { wipe } from '@aovpn/bytes';
import type { EnrolmentStatus } from '@aovpn/api';
import { askSecret } from '../ask.ts';
import { CommandError, ExitCode, type Command, type Invocation } from '../command.ts';
import { enrolmentText } from '../print/enrolment.ts';

const json = { name: 'json', summary: 'print it as JSON' } as const;

export const certificateList: Command = {
  name: 'certificate list',
  summary: 'list the certificates that come from an enrolment server: days left, next renewal, problems',
  description: [
    'One for each table [enrol."NAME"] of aovpn.toml. For which certificate a connection uses, and why: aovpn explain certificate.',
  ],
  positionals: [],
  options: [json, { name: 'names', summary: 'print the names only, one a line' }],
  examples: [],
  async run({ client, options, terminal }) {
    const all = await client.call('GET /v1/enrolments');
    if (options['json'] === true) terminal.out(JSON.stringify(all, null, 2));
    else if (options['names'] === true) for (const { name } of all) terminal.out(name);
    else if (all.length === 0) terminal.out('no certificate is had from an enrolment server; see docs/certificates.md');
    else terminal.out(all.map((one) => enrolmentText(one, terminal, Date.now())).join('\n\n'));
    return ExitCode.done;
  },
};

export const certificateEnrol: Command = {
  name: 'certificate enrol',
  summary: 'have a certificate issued now, with a one-time secret',
  description: [
    'Makes a new key on this machine and asks the enrolment server of [enrol."NAME"] for its certificate. They take the place of those that are there, once they are whole.',
    'The daemon enrols by itself when there is no certificate and the settings name a secret, and renews by itself; this is for a secret that is not in the settings, and for trying again now.',
  ],
  positionals: [{ name: 'NAME', complete: 'enrolment' }],
  options: [
    { name: 'secret', summary: 'ask for the secret; where standard input is no terminal it is the first line of it' },
    json,
  ],
  examples: [
    { command: 'aovpn certificate enrol machine --secret', what: 'and type the secret' },
    { command: 'aovpn certificate enrol machine --secret < secret.txt', what: 'in a script' },
  ],
  async run(invocation) {
    const { client, options, positionals } = invocation;
    const name = positionals[0]!;
    const secret = options['secret'] === true ? await askSecret(`Secret for the certificate "${name}"`) : undefined;
    if (options['secret'] === true && !secret) throw new CommandError(ExitCode.usage, 'no secret was given');
    try {
      return tell(invocation, await client.call('POST /v1/enrolments/:name/enrol', { name, ...(secret && { body: secret }) }));
    } finally {
      if (secret) wipe(secret);
    }
  },
};

export const certificateRenew: Command = {
  name: 'certificate renew',
  summary: 'renew a certificate now, with itself',
  description: [
    'The daemon does so by itself before the certificate ends (renew-before). The connections that use it go on; the new one speaks for this machine at their next authentication.',
  ],
  positionals: [{ name: 'NAME', complete: 'enrolment' }],
  options: [json],
  examples: [],
  async run(invocation) {
    return tell(
      invocation,
      await invocation.client.call('POST /v1/enrolments/:name/renew', { name: invocation.positionals[0]! }),
    );
  },
};

function tell({ options, terminal }: Invocation, status: EnrolmentStatus): number {
  terminal.out(options['json'] === true ? JSON.stringify(status, null, 2) : enrolmentText(status, terminal, Date.now()));
  return status.problem ? ExitCode.failed : ExitCode.done;
}
