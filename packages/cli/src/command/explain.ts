import type { Explanation, ExplanationStep } from '@aovpn/api';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { printable, type Style, type Terminal } from '../terminal.ts';

export const explain: Command = {
  name: 'explain',
  summary:
    'say which tunnel, route, DNS server and filters a host, connection, app or process gets, and the profile line that decided it',
  description: [
    'Says where packets go, who resolves a name and what filters let through: every step of the decision in order, with the profile line behind it.',
    'A connection may be written as ADDRESS:PORT/PROTOCOL, or pasted as ss, conntrack and tcpdump print it (in quotes, as ">" means something to shells).',
    'With --app or --pid the answer is about traffic of that app or process; without a TARGET it says what that one may do.',
    'The answer is about what is in force now.',
  ],
  positionals: [{ name: 'TARGET', optional: true, many: true }],
  options: [
    { name: 'app', value: 'NAME', summary: 'whose traffic it is: an app that a profile names, by key, title or path' },
    { name: 'pid', value: 'PID', summary: 'whose traffic it is: a process' },
    { name: 'user', value: 'USER', summary: 'whose traffic it is: a user, by name or number' },
    { name: 'json', summary: 'print the explanation as JSON' },
  ],
  examples: [
    { command: 'aovpn explain intranet.corp.example', what: 'a name' },
    { command: 'aovpn explain 10.1.2.3', what: 'an address' },
    { command: 'aovpn explain --app outlook 10.1.2.3:443/tcp', what: 'a connection of an app' },
    { command: "aovpn explain 'tcp 10.30.0.5:4455 > 10.1.2.3:443'", what: 'a connection that was seen' },
    { command: 'aovpn explain --pid 4711', what: 'what a process may do' },
  ],
  async run({ client, options, positionals, terminal }) {
    const { app, pid, user } = options;
    const asker: { app?: string; pid?: string; user?: string } = {
      ...(typeof app === 'string' && { app }),
      ...(typeof pid === 'string' && { pid }),
      ...(typeof user === 'string' && { user }),
    };
    if (Object.keys(asker).length > 1) throw new CommandError(ExitCode.usage, '--app, --pid and --user exclude each other');
    let target = positionals.join(' ');
    if (target === '') {
      const who = asker.app === undefined ? asker.pid && `pid:${asker.pid}` : `app:${asker.app}`;
      if (!who) throw new CommandError(ExitCode.usage, 'TARGET is missing', 'see: aovpn explain --help');
      target = who;
    }
    const answer = await client.call('GET /v1/explain', { query: { target, ...asker } });
    terminal.out(options['json'] === true ? JSON.stringify(answer, null, 2) : explanationText(answer, terminal));
    return ExitCode.done;
  },
};

const pathStyles: Record<Explanation['addresses'][number]['path'], Style> = {
  tunnel: 'good',
  physical: 'warn',
  unreachable: 'bad',
};

function explanationText(answer: Explanation, terminal: Terminal): string {
  const lines = [terminal.style('strong', printable(answer.summary))];
  if (answer.dns) {
    const servers = answer.dns.servers.length > 0 ? ` (${answer.dns.servers.join(', ')})` : '';
    lines.push(
      '',
      `name: resolved ${answer.dns.via === 'tunnel' ? `through ${answer.dns.connection ?? 'the tunnel'}` : 'by the normal resolver'}${servers}`,
    );
    lines.push(...stepLines(answer.dns.steps, terminal));
  }
  for (const address of answer.addresses) {
    const where =
      address.connection === undefined
        ? address.path
        : `${address.path}: ${address.connection}${address.device === undefined ? '' : ` (${address.device})`}`;
    lines.push(
      '',
      `${address.address} → ${terminal.style(pathStyles[address.path], printable(where))}`,
      ...stepLines(address.steps, terminal),
    );
  }
  if (answer.changes && answer.changes.length > 0)
    lines.push('', 'what would change it:', ...stepLines(answer.changes, terminal));
  return lines.join('\n');
}

export function stepLines(steps: readonly ExplanationStep[], terminal: Terminal): string[] {
  return steps.map((step, i) => {
    const source =
      step.profile === undefined || step.profile === ''
        ? ''
        : `  (${step.profile}${step.line === undefined ? '' : `, line ${step.line}`})`;
    return `  ${i + 1}. ${printable(step.text)}${terminal.style('dim', printable(source))}`;
  });
}
