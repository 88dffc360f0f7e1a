import process from 'node:process';
import { createInterface } from 'node:readline';
import { parseAddress } from '@aovpn/bytes';
import type { LeakTestDaemon, StepName } from '@aovpn/leaktest';
import { askLine, canAsk } from '../ask.ts';
import type { Client } from '../client.ts';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { pickConnection } from '../pick-connection.ts';
import { leakReportText } from '../print/leak-report.ts';
import { printable, type Terminal } from '../terminal.ts';

export const leaktest: Command = {
  name: 'leaktest',
  summary: 'watch the links while the tunnel is disturbed, and tell what leaves that should not',
  description: [
    'Listens to every link that leads out, below all routes and filters, while it disturbs the connection: new keys, the address gone, the cable out, the gateway silent, the tunnel’s device deleted, and, if asked, the daemon killed. All the time it tries to get packets past the tunnel as programs would: IPv4 and IPv6, UDP, TCP, DNS and ICMP, also bound to the link. What the profile promises to hold inside must not be seen: with LockDown nothing at any time; with force tunnel nothing while the connection is up or recovering; with split tunnel nothing to its routes, and no name under its rules.',
    'Before and after, one packet on each link is let out on purpose, addressed to nobody. If it is not seen, the test says that it was blind.',
    'The network of this machine is interrupted for some seconds several times: not over SSH. What is changed is put back, also when the test is interrupted or killed. With --manual nothing is changed: do it yourself, type what you do and press Enter, and end with Ctrl-D.',
    'Exit codes: 0 nothing leaked, 1 something did, 6 the test could not see.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    { name: 'steps', value: 'LIST', summary: 'what to do, of rekey, roam, cut, silence, kill, restart (all but restart)' },
    { name: 'rounds', value: 'NUMBER', summary: 'do all that so often (1)' },
    { name: 'manual', short: 'm', summary: 'change nothing; each line of standard input names what you do now' },
    { name: 'canary', value: 'ADDRESSES', summary: 'send to these instead of documentation addresses that nobody has' },
    { name: 'rate', value: 'NUMBER', summary: 'packets tried a second (100)' },
    { name: 'yes', short: 'y', summary: 'do not ask whether the network may be interrupted' },
    { name: 'json', summary: 'print the report as JSON' },
  ],
  examples: [
    { command: 'aovpn leaktest contoso', what: 'about a minute' },
    { command: 'aovpn leaktest --manual', what: 'while you walk from one Wi-Fi to the other' },
  ],
  async run({ client, options, positionals, terminal }) {
    if (process.geteuid?.() !== 0)
      throw new CommandError(ExitCode.notPermitted, 'only root can listen to the links', 'sudo aovpn leaktest');
    const { allSteps, defaultSteps, runLeakTest } = await import('@aovpn/leaktest');
    const manual = options['manual'] === true;
    const rounds = wholeNumber(options['rounds'], 1, 'rounds', 10_000);
    const rate = wholeNumber(options['rate'], 100, 'rate', 5_000);
    const steps = manual ? [] : stepsOf(options['steps'], allSteps, defaultSteps);
    const destinations = addressesOf(options['canary']);
    const name = await pickConnection(client, positionals[0]);
    await refuseScoped(client, name);
    if (!manual && options['yes'] !== true) await consent(terminal);
    const ending = new AbortController();
    const stop = (): void => ending.abort();
    for (const signal of signals) process.on(signal, stop);
    try {
      const report = await runLeakTest(daemonOf(client), {
        profile: name,
        steps,
        rounds,
        ...(manual && { manual: linesUntil(ending.signal) }),
        destinations,
        canariesPerSecond: rate,
        signal: ending.signal,
        progress: ({ text, watched, leaked }) => {
          const leaks = terminal.style(leaked > 0 ? 'bad' : 'good', `${leaked} leaked`);
          terminal.err(`${String(watched).padStart(8)} packets watched, ${leaks}  ${printable(text)}`);
        },
      });
      terminal.out(options['json'] === true ? JSON.stringify(report, null, 2) : leakReportText(report, terminal));
      return { passed: ExitCode.done, leaked: ExitCode.failed, blind: ExitCode.blind }[report.result];
    } finally {
      for (const signal of signals) process.off(signal, stop);
    }
  },
};

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** It watches the links of the whole machine: packets of other users are no leaks of such a tunnel. */
async function refuseScoped(client: Client, name: string): Promise<void> {
  const { connections } = await client.call('GET /v1/status');
  if (connections.find((connection) => connection.name === name)?.scope === 'user')
    throw new CommandError(
      ExitCode.blind,
      `${name} carries one user's traffic only, and this test judges the whole machine`,
      'docs/users.md',
    );
}

async function consent(terminal: Terminal): Promise<void> {
  if (!canAsk()) throw new CommandError(ExitCode.usage, 'the network would be interrupted, and nobody can be asked', 'add --yes');
  terminal.err('The network of this machine will be interrupted several times, for some seconds each.');
  if (!/^y(es)?$/i.test(await askLine('Go on? [y/N]'))) throw new CommandError(ExitCode.failed, 'nothing was done');
}

function daemonOf(client: Client): LeakTestDaemon {
  return {
    profile: async (name) => (await client.call('GET /v1/profiles/:name', { name })).xml,
    isReleased: async (name) => {
      const { lockdown } = await client.call('GET /v1/status');
      return lockdown?.profiles.some((profile) => profile.name === name && profile.released !== undefined) ?? false;
    },
    events: (signal) => client.stream('/v1/events', signal),
    rekey: async (name) => void (await client.call('POST /v1/connections/:name/rekey', { name })),
    pid: async () => (await client.call('GET /v1/status')).pid,
  };
}

async function* linesUntil(signal: AbortSignal): AsyncIterable<string> {
  const lines = createInterface({ input: process.stdin, signal });
  try {
    for await (const line of lines) if (line.trim() !== '') yield line.trim().slice(0, 200);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    process.stdin.destroy();
  }
}

function stepsOf(
  given: string | boolean | undefined,
  known: readonly StepName[],
  usual: readonly StepName[],
): readonly StepName[] {
  if (typeof given !== 'string') return usual;
  return given.split(',').map((word) => {
    const step = known.find((one) => one === word.trim());
    if (!step) throw new CommandError(ExitCode.usage, `there is no step "${word}"`, `one of: ${known.join(', ')}`);
    return step;
  });
}

function addressesOf(given: string | boolean | undefined) {
  if (typeof given !== 'string') return [];
  return given.split(',').map((word) => {
    const address = parseAddress(word.trim());
    if (!address) throw new CommandError(ExitCode.usage, `"${word}" is not an address`);
    return address;
  });
}

function wholeNumber(given: string | boolean | undefined, usual: number, name: string, most: number): number {
  if (given === undefined) return usual;
  const number = Number(given);
  if (!Number.isInteger(number) || number < 1 || number > most)
    throw new CommandError(ExitCode.usage, `--${name} takes a whole number from 1 to ${most}`);
  return number;
}
