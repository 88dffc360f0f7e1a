import type { DoctorCheck } from '@aovpn/api';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { printable, type Style, type Terminal } from '../terminal.ts';

export const doctor: Command = {
  name: 'doctor',
  summary: 'check network, name resolution, gateway, certificate, clock: each with a verdict and a cure',
  description: ['Runs every check past failures. The exit code is 1 when a check failed.'],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [{ name: 'json', summary: 'print the checks as JSON' }],
  examples: [],
  async run({ client, options, positionals, terminal }) {
    const checks: DoctorCheck[] = [];
    try {
      const name = positionals[0];
      checks.push({ name: 'daemon', verdict: 'ok', found: `answers on ${client.socketPath}` });
      checks.push(...(await client.call('GET /v1/doctor', { query: name === undefined ? {} : { connection: name } })).checks);
    } catch (error) {
      if (!(error instanceof CommandError) || (error.exitCode !== ExitCode.noDaemon && error.exitCode !== ExitCode.notPermitted))
        throw error;
      checks.splice(0, checks.length, { name: 'daemon', verdict: 'failed', found: error.message, cure: error.cure ?? '' });
      if (error.blocked !== undefined) checks.push({ name: 'lockdown', verdict: 'warning', found: error.blocked });
    }
    if (options['json'] === true) terminal.out(JSON.stringify({ checks }, null, 2));
    else for (const check of checks) terminal.out(checkText(check, terminal));
    return checks.some((check) => check.verdict === 'failed') ? ExitCode.failed : ExitCode.done;
  },
};

const marks: Record<DoctorCheck['verdict'], readonly [string, Style]> = {
  ok: ['✓', 'good'],
  warning: ['!', 'warn'],
  failed: ['✗', 'bad'],
  skipped: ['–', 'dim'],
};

function checkText(check: DoctorCheck, terminal: Terminal): string {
  const [mark, style] = marks[check.verdict];
  const about = check.connection === undefined ? check.name : `${check.name} (${check.connection})`;
  const cure =
    check.cure === undefined || check.cure === '' ? '' : `\n    ${terminal.style('dim', 'what to do:')} ${printable(check.cure)}`;
  return `${terminal.style(style, mark)} ${printable(about)}: ${printable(check.found)}${cure}`;
}
