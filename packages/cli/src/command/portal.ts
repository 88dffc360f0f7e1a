import process from 'node:process';
import type { DaemonEvent, PortalStatus } from '@aovpn/api';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { holdProgram, type HeldProgram } from '../held-program.ts';
import { choosePortalBrowser } from '../portal-browser.ts';
import { portalText } from '../print/portal.ts';
import { printable } from '../terminal.ts';

export const portalStatus: Command = {
  name: 'portal status',
  summary: 'tell whether this network wants a sign-in before it lets anything through',
  description: [
    'Looks anew: asks the network by DHCP, DHCPv6 and router solicitation for its portal (RFC 8910), asks that portal’s API (RFC 8908), and fetches the probe of the settings, if there is one. The reasons are shown.',
    'Only while a connection with force tunnel or LockDown is wanted and not up; otherwise nobody needs to know.',
  ],
  positionals: [],
  options: [{ name: 'json', summary: 'print it as JSON' }],
  examples: [],
  async run({ client, options, terminal }) {
    const status = await client.call('GET /v1/portal', { query: { look: '1' } });
    terminal.out(options['json'] === true ? JSON.stringify(status, null, 2) : portalText(status, terminal, Date.now()));
    return ExitCode.done;
  },
};

export const portalOpen: Command = {
  name: 'portal open',
  summary: 'start one program that may reach the network’s sign-in page, and nothing else may',
  description: [
    'Starts a browser with a private profile, or COMMAND, and lets it and what it starts out to the physical network: TCP to the ports of the settings (80 and 443) and names. Everything else stays as it is; with LockDown everything else stays blocked, programs of other users and of yours as well.',
    'It ends by itself: after 10 minutes, when the internet is there or the tunnel is up, on another network, or when the program ends; the program is ended with it. The kernel keeps the time, whether the daemon lives or not.',
    'Root may, and whom users of [portal] in aovpn.toml names. The network may say what it likes: nothing opens but by this command. Both ends are logged.',
    'A browser that is already running would take the page over and stay blocked; that is why a new one is started. On a server, give a command.',
  ],
  positionals: [{ name: 'COMMAND', optional: true, many: true }],
  options: [{ name: 'minutes', value: 'NUMBER', summary: 'at most so long, 1 to 60 (the setting; 10 without one)' }],
  examples: [
    { command: 'aovpn portal open', what: 'with the browser of the settings, chromium or firefox' },
    { command: 'aovpn portal open -- curl -d accept=1 http://login.hotel.example/', what: 'on a server' },
  ],
  async run({ client, options, positionals, terminal }) {
    const minutes = options['minutes'] === undefined ? undefined : Number(options['minutes']);
    const holder = await holdProgram();
    try {
      const opened = await client.call('POST /v1/portal/open', {
        body: { pid: holder.pid, ...(minutes !== undefined && { minutes }) },
      });
      const argv =
        positionals.length > 0
          ? positionals
          : choosePortalBrowser(opened.browser, opened.url ?? 'http://neverssl.com/', holder.directory);
      if (!argv) {
        await client.call('POST /v1/portal/close').catch(() => {});
        throw new CommandError(
          ExitCode.failed,
          'there is no browser here that can be started beside a running one',
          'name a program: aovpn portal open -- COMMAND, or set browser in [portal] of aovpn.toml',
        );
      }
      terminal.err(`open until ${opened.until}${opened.url === undefined ? '' : `; sign in at ${printable(opened.url)}`}`);
      const closing = new AbortController();
      void tellClosing(client.stream('/v1/events', closing.signal), (why) => terminal.err(why));
      try {
        return await runHeld(holder, argv);
      } finally {
        closing.abort();
        // Shut already when the program was ended by that.
        await client.call('POST /v1/portal/close').catch(() => {});
      }
    } finally {
      await holder.dispose();
    }
  },
};

export const portalClose: Command = {
  name: 'portal close',
  summary: 'end the program that was let out to the sign-in page, and shut the way',
  description: ['What aovpn portal open has opened is shut at once, and its program is ended.'],
  positionals: [],
  options: [],
  examples: [],
  async run({ client }) {
    await client.call('POST /v1/portal/close');
    return ExitCode.done;
  },
};

/** Resolves to the program's exit code; a signal to us ends it. */
async function runHeld(holder: HeldProgram, argv: readonly string[]): Promise<number> {
  const end = (): void => holder.end();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
  try {
    return await holder.go(argv);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, end);
  }
}

async function tellClosing(events: AsyncIterable<DaemonEvent>, tell: (why: string) => void): Promise<void> {
  let wasOpen = false;
  try {
    for await (const event of events) {
      if (event.kind !== 'portal') continue;
      const isOpen = isOpenPortal(event.portal);
      if (wasOpen && !isOpen) return tell('the way to the sign-in page is shut again');
      wasOpen = isOpen;
    }
  } catch {
    // The daemon is gone; the kernel shuts by itself.
  }
}

function isOpenPortal({ open }: PortalStatus): boolean {
  return open !== undefined;
}
