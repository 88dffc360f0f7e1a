import { ExitCode, type Command } from '../command.ts';
import { readCount } from '../read-count.ts';
import { printable, type Style } from '../terminal.ts';

const styles: Record<string, Style> = { error: 'bad', warn: 'warn', info: 'plain', debug: 'dim' };

export const logs: Command = {
  name: 'logs',
  summary: 'show the daemon’s log, newest last',
  description: ['Shows what the daemon remembers of its log. Secrets are never in it.'],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    { name: 'follow', short: 'f', summary: 'keep showing new lines, until interrupted' },
    { name: 'lines', short: 'n', value: 'COUNT', summary: 'only the last COUNT of those remembered' },
    { name: 'json', summary: 'one JSON object a line' },
  ],
  examples: [{ command: 'aovpn logs -f', what: 'watch a connection come up' }],
  async run({ client, options, positionals, terminal }) {
    const query = new URLSearchParams();
    if (options['follow'] === true) query.set('follow', '1');
    if (options['lines'] !== undefined) query.set('lines', readCount(String(options['lines'])));
    if (positionals[0] !== undefined) query.set('connection', positionals[0]);
    const path = `/v1/logs${query.size > 0 ? `?${query.toString()}` : ''}`;
    for await (const event of client.stream(path, new AbortController().signal)) {
      if (event.kind !== 'log') continue;
      const { at, level, connection, text } = event;
      if (options['json'] === true) terminal.out(JSON.stringify(event));
      else
        terminal.out(
          `${terminal.style('dim', at)} ${terminal.style(styles[level] ?? 'plain', level.padEnd(5))} ${connection === undefined ? '' : `[${printable(connection)}] `}${printable(text)}`,
        );
    }
    return ExitCode.done;
  },
};
