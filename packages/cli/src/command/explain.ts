import type { Explanation, ExplanationStep } from '@aovpn/api';
import { ExitCode, type Command } from '../command.ts';
import { printable, type Style, type Terminal } from '../terminal.ts';

export const explain: Command = {
  name: 'explain',
  summary: 'say which tunnel, route and DNS server a host or address gets, and the profile line that decided it',
  description: [
    'Says for a host name or an address where its packets go and who resolves the name: every step of the decision in order, with the profile line behind it.',
    'The answer is about what is in force now.',
  ],
  positionals: [{ name: 'HOST|ADDRESS' }],
  options: [{ name: 'json', summary: 'print the explanation as JSON' }],
  examples: [
    { command: 'aovpn explain intranet.corp.example', what: 'a name' },
    { command: 'aovpn explain 10.1.2.3', what: 'an address' },
  ],
  async run({ client, options, positionals, terminal }) {
    const answer = await client.call('GET /v1/explain', { query: { target: positionals[0]! } });
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
  return lines.join('\n');
}

function stepLines(steps: readonly ExplanationStep[], terminal: Terminal): string[] {
  return steps.map((step, i) => {
    const source =
      step.profile === undefined || step.profile === ''
        ? ''
        : `  (${step.profile}${step.line === undefined ? '' : `, line ${step.line}`})`;
    return `  ${i + 1}. ${printable(step.text)}${terminal.style('dim', printable(source))}`;
  });
}
