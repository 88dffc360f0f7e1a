import process from 'node:process';
import { CommandError, ExitCode, type Command, type Invocation } from '../command.ts';
import { printTraceMessage } from '../print/trace.ts';
import { readCount } from '../read-count.ts';
import { openSecretFiles, type SecretFiles } from '../secret-files.ts';

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

export const trace: Command = {
  name: 'trace',
  summary: 'show IKE messages, decoded',
  description: [
    'Shows the last IKE messages of a connection, or of all: direction, exchange, message ID, sizes and fragments, payloads with algorithms, notifications, traffic selectors and addresses, what was believed or dropped and why, and how long an answer took.',
    'Keys, passwords, certificates and what EAP carries are never shown, only their lengths.',
    'With --secrets nothing is shown: messages and keys from now on go into files for Wireshark. Whoever has them can read everything that the connection says. Keys of ESP are those of CHILD_SAs that are made from now on (aovpn rekey); ESP packets themselves are for tcpdump to capture.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    { name: 'follow', short: 'f', summary: 'keep showing new messages, until interrupted' },
    { name: 'lines', short: 'n', value: 'COUNT', summary: 'only the last COUNT of those remembered' },
    { name: 'since', value: 'TIME', summary: 'only those of the last TIME: 30s, 10m, 2h' },
    { name: 'brief', summary: 'one line a message' },
    { name: 'json', summary: 'one JSON object a line' },
    {
      name: 'secrets',
      summary: 'root only, and only with allow-key-export: write messages and keys for Wireshark, until interrupted',
    },
    { name: 'pcap', value: 'FILE', summary: 'with --secrets: the IKE messages, as a capture', complete: 'file' },
    { name: 'keys', value: 'DIR', summary: 'with --secrets: the tables ikev2_decryption_table and esp_sa', complete: 'file' },
  ],
  examples: [
    { command: 'aovpn trace -f contoso', what: 'watch a handshake' },
    { command: 'aovpn trace --brief --since 10m', what: 'what was said in the last ten minutes' },
    {
      command: 'aovpn trace --secrets --pcap ike.pcap --keys ~/.config/wireshark',
      what: 'what is said from now on, for Wireshark',
    },
  ],
  async run({ client, options, positionals, terminal }) {
    if (options['secrets'] === true || options['pcap'] !== undefined || options['keys'] !== undefined)
      return await writeSecrets(positionals[0], options, client, terminal);
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

async function writeSecrets(
  connection: string | undefined,
  options: Invocation['options'],
  client: Invocation['client'],
  terminal: Invocation['terminal'],
): Promise<number> {
  const file = (name: string): string | undefined => (typeof options[name] === 'string' ? options[name] : undefined);
  const [pcap, keys] = [file('pcap'), file('keys')];
  if (options['secrets'] !== true)
    throw new CommandError(ExitCode.usage, '--pcap and --keys need --secrets: they hold everything that the connection says');
  if (pcap === undefined && keys === undefined)
    throw new CommandError(ExitCode.usage, '--secrets needs --pcap FILE, --keys DIR, or both');
  const query = connection === undefined ? '' : `?${new URLSearchParams({ connection }).toString()}`;
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let files: SecretFiles | undefined;
  try {
    const stream = client.stream(`/v1/secrets${query}`, interrupted.signal);
    for await (const event of stream) {
      // Nothing is made before the daemon has said yes, with its first line.
      files ??= begin();
      const written = files.write(event);
      if (written !== undefined) terminal.err(written);
    }
  } finally {
    files?.close();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
  return ExitCode.done;

  function begin(): SecretFiles {
    const made = openSecretFiles(pcap, keys);
    terminal.err('WARNING: these files open everything that the connection says. Delete them when they have served.');
    return made;
  }
}

/** The moment so long ago, as the daemon writes moments. */
function readSince(text: string): string {
  const [, number, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  if (number === undefined) throw new CommandError(ExitCode.usage, `--since needs a time such as 30s, 10m or 2h, not "${text}"`);
  return new Date(Date.now() - Number(number) * units[unit!]!).toISOString();
}
