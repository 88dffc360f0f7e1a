import { ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';
import { printable } from '../terminal.ts';

export const explainCertificate: Command = {
  name: 'explain certificate',
  summary: 'say which client certificate speaks for a connection, and why the others do not',
  description: [
    'Looks into every source (files beside the profile, a directory, tokens) and judges each certificate by what the profile asks for, with the profile line. No PIN is asked for.',
    'The exit code is 0 when a certificate is chosen or none is needed, 1 otherwise.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [{ name: 'json', summary: 'print the report as JSON' }],
  examples: [{ command: 'aovpn explain certificate', what: 'with one profile its name is not needed' }],
  async run({ client, options, positionals, terminal }) {
    const connection = await pickConnection(client, positionals[0]);
    const report = await client.call('GET /v1/certificates', { query: { connection } });
    const lines = report.text.trimEnd().split('\n').map(printable);
    terminal.out(options['json'] === true ? JSON.stringify(report, null, 2) : lines.join('\n'));
    return report.outcome === 'chosen' || report.outcome === 'not-needed' ? ExitCode.done : ExitCode.failed;
  },
};
