import { CommandError, ExitCode, type Command } from '../command.ts';
import { printTraceMessage } from '../print/trace.ts';

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

export const trace: Command = {
  name: 'trace',
  summary: 'show IKE messages, decoded',
  description: [
    'Shows the last IKE messages of a connection, or of all: direction, exchange, message ID, sizes and fragments, payloads with algorithms, notifications, traffic selectors and addresses, what was believed or dropped and why, and how long an answer took.',
    'Keys, passwords, certificates and what EAP carries are never shown, only their lengths.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    { name: 'follow', short: 'f', summary: 'keep showing new messages, until interrupted' },
    { name: 'lines', short: 'n', value: 'COUNT', summary: 'only the last COUNT of those remembered' },
    { name: 'since', value: 'TIME', summary: 'only those of the last TIME: 30s, 10m, 2h' },
    { name: 'brief', summary: 'one line a message' },
    { name: 'json', summary: 'one JSON object a line' },
  ],
  examples: [
    { command: 'aovpn trace -f contoso', what: 'watch a handshake' },
    { command: 'aovpn trace --brief --since 10m', what: 'what was said in the last ten minutes' },
  ],
  async run({ client, options, positionals, terminal }) {
    const query = new URLSearchParams();
    if (positionals[0] !== undefined) query.set('connection', positionals[0]);
    if (options['follow'] === true) query.set('follow', '1');
    if (options['lines'] !== undefined) query.set('lines', readCount(String(options['lines'])));
    if (options['since'] !== undefined) query.set('since', readSince(String(options['since'])));
    const path = `/v1/trace${query.size > 0 ? `?${query.toString()}` : ''}`;
    for await (const event of client.stream(path, new AbortController().signal)) {
      if (event.kind !== 'message') continue;
      if (options['json'] === true) terminal.out(JSON.stringify(event));
      else terminal.out(printTraceMessage(event, terminal, options['brief'] === true));
    }
    return ExitCode.done;
  },
};

function readCount(text: string): string {
  if (/^\d{1,6}$/.test(text)) return text;
  throw new CommandError(ExitCode.usage, `--lines needs a number, not "${text}"`);
}

/** The moment so long ago, as the daemon writes moments. */
function readSince(text: string): string {
  const [, number, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  if (number === undefined) throw new CommandError(ExitCode.usage, `--since needs a time such as 30s, 10m or 2h, not "${text}"`);
  return new Date(Date.now() - Number(number) * units[unit!]!).toISOString();
}
