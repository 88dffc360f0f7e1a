import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DaemonStatus } from '@aovpn/api';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus, upConnection, waitingConnection } from './sample.ts';

const program = fileURLToPath(new URL('../bin/aovpn.mjs', import.meta.url));
const change = { kind: 'removed', name: 'x' };

/** A daemon in one state, until the test says that it is another one. */
async function daemonIn(first: DaemonStatus) {
  let status = first;
  const daemon = await fakeDaemon(({ url }) =>
    url.startsWith('/v1/events') ? { stream: [change], open: true } : { status: 200, body: status },
  );
  return Object.assign(daemon, { becomes: (next: DaemonStatus) => (status = next) });
}

const later: DaemonStatus = {
  ...daemonStatus,
  connections: [{ ...upConnection, state: 'recovering', reason: 'The gateway is silent.' }, waitingConnection],
};

test('where nothing can be drawn: what there is, then a line a change, and no control sequences', async () => {
  let count = 0;
  await using daemon = await fakeDaemon(({ url }) =>
    url.startsWith('/v1/events') ? { stream: [change] } : { status: 200, body: count++ === 0 ? daemonStatus : later },
  );
  const { stdout, exitCode } = await aovpn(['status', '--watch'], daemon);
  assert.equal(exitCode, 3, 'the daemon is gone');
  assert.match(
    stdout,
    /● Contoso Device {2}up[^]*\n\d\d:\d\d:\d\d {2}Contoso Device {2}recovering {2}The gateway is silent\.\n$/,
  );
  assert.ok(!stdout.includes('\u001b'));
});

test('with --json it is one object a line', async () => {
  let count = 0;
  await using daemon = await fakeDaemon(({ url }) =>
    url.startsWith('/v1/events') ? { stream: [change, change] } : { status: 200, body: count++ === 0 ? daemonStatus : later },
  );
  const { stdout } = await aovpn(['status', '--watch', '--json'], daemon);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as DaemonStatus).connections[0]!.state);
  assert.deepEqual(lines, ['up', 'recovering', 'recovering']);
});

const missing = spawnSync('script', ['--version']).status === 0 ? false : 'not on this machine: script';
suite('a live picture on a terminal', { skip: missing }, () => {
  test('is drawn in place, follows changes and the size of the terminal, and leaves all as it was', async () => {
    await using daemon = await daemonIn(daemonStatus);
    using terminal = new Terminal(daemon.socketPath, 24, 100);
    await terminal.shows(/● Contoso Device {2}up .*\n {4}traffic flows/);
    daemon.becomes(later);
    await terminal.shows(/◐ Contoso Device {2}recovering/);
    await terminal.shows(/what happened\n {2}\d\d:\d\d:\d\d {2}Contoso Device {2}recovering {2}The gateway is silent\./);
    assert.equal(terminal.said.split('\u001b[2J').length - 1, 1, 'it is cleared once');
    assert.match(terminal.said, /\u001b\[\?1049h\u001b\[\?25l/);
    assert.match(terminal.said, /\u001b\[3\dm/, 'in colour');
    terminal.resize(12, 50);
    await terminal.shows(/q quits$/);
    await terminal.shows(/The user name or password is wrong/);
    assert.ok(
      terminal
        .picture()
        .split('\n')
        .every((line) => line.length <= 50),
    );
    terminal.types('q');
    assert.equal(await terminal.left(), 0);
  });

  test('NO_COLOR is heeded', async () => {
    await using daemon = await daemonIn(daemonStatus);
    using terminal = new Terminal(daemon.socketPath, 24, 100, { NO_COLOR: '1' });
    await terminal.shows(/● Contoso Device {2}up/);
    assert.doesNotMatch(terminal.said, /\u001b\[\d+m/);
    terminal.types('\u0003');
    assert.equal(await terminal.left(), 0, 'Ctrl-C is a normal end');
  });

  test('a daemon that goes away is told, and waited for', async () => {
    let alive = true;
    await using daemon = await fakeDaemon(({ url }) => {
      if (!alive) return 'dies';
      return url.startsWith('/v1/events') ? { stream: [change], open: true } : { status: 200, body: daemonStatus };
    });
    using terminal = new Terminal(daemon.socketPath, 24, 100);
    await terminal.shows(/● Contoso Device {2}up/);
    alive = false;
    daemon.dies();
    await terminal.shows(/last known at .*; the daemon went away/);
    alive = true;
    await terminal.shows(/^aovpn.*\n\n● Contoso Device/);
    terminal.types('q');
    assert.equal(await terminal.left(), 0);
  });

  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    test(`${signal} gives the terminal back`, async () => {
      await using daemon = await daemonIn(daemonStatus);
      using terminal = new Terminal(daemon.socketPath, 24, 100);
      await terminal.shows(/● Contoso Device {2}up/);
      terminal.kill(signal);
      assert.equal(await terminal.left(), 0);
    });
  }

  test('a bug gives the terminal back, and its words stay on it', async () => {
    await using daemon = await daemonIn(daemonStatus);
    const bug = `data:text/javascript,process.on('SIGUSR2',()=>{throw new Error('our-bug')})`;
    using terminal = new Terminal(daemon.socketPath, 24, 100, { NODE_OPTIONS: `--import "${bug}"` });
    await terminal.shows(/● Contoso Device {2}up/);
    terminal.kill('SIGUSR2');
    assert.notEqual(await terminal.left(), 0);
    assert.match(terminal.said.slice(terminal.said.lastIndexOf('\u001b[?1049l')), /our-bug/);
  });
});

/** A real pseudo-terminal, in which the command runs below a shell that afterwards says how it finds the terminal. */
class Terminal implements Disposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'aovpn-terminal-'));
  readonly #child;
  #columns: number;
  said = '';

  constructor(socketPath: string, rows: number, columns: number, environment: NodeJS.ProcessEnv = {}) {
    this.#columns = columns;
    const command = [
      `stty rows ${rows} cols ${columns}`,
      `tty > ${this.#directory}/tty`,
      `sh -c 'echo $$ > ${this.#directory}/pid; exec "$NODE" "$PROGRAM" status --watch'`,
      'echo "left $?"',
      'stty -a',
      'echo over',
    ].join('\n');
    const { NO_COLOR: _, NODE_OPTIONS: __, ...rest } = process.env;
    this.#child = spawn('script', ['-qfec', command, '/dev/null'], {
      env: {
        ...rest,
        NODE: process.execPath,
        PROGRAM: program,
        AOVPN_SOCKET: socketPath,
        SHELL: '/bin/sh',
        TERM: 'xterm',
        ...environment,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.said += text));
  }

  types(text: string): void {
    this.#child.stdin.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(Number(readFileSync(path.join(this.#directory, 'pid'), 'utf8')), signal);
  }

  resize(rows: number, columns: number): void {
    const terminal = readFileSync(path.join(this.#directory, 'tty'), 'utf8').trim();
    assert.equal(spawnSync('stty', ['-F', terminal, 'rows', String(rows), 'cols', String(columns)]).status, 0);
    this.#columns = columns;
  }

  async shows(what: RegExp): Promise<void> {
    for (const end = performance.now() + 120_000; !what.test(this.picture());) {
      assert.ok(
        performance.now() < end,
        `it does not show ${String(what)}:\n${this.picture()}\n${JSON.stringify(this.said.slice(-2000))}`,
      );
      await sleep(20);
    }
  }

  /** How the command ended, once the terminal has been found to be as it was. */
  async left(): Promise<number> {
    for (const end = performance.now() + 120_000; !/^over/m.test(this.said);) {
      assert.ok(performance.now() < end, JSON.stringify(this.said.slice(-2000)));
      await sleep(20);
    }
    const end = this.said.lastIndexOf('\u001b[?1049l');
    assert.ok(end > this.said.lastIndexOf('\u001b[?1049h'), 'the screen of before is back');
    assert.ok(this.said.lastIndexOf('\u001b[?25h') > this.said.lastIndexOf('\u001b[?25l'), 'with its cursor');
    assert.ok(this.said.lastIndexOf('\u001b[?7h') > this.said.lastIndexOf('\u001b[?7l'), 'and its margin');
    const after = this.said.slice(end);
    assert.match(after, / icanon[^]* echo /, 'lines are edited and shown as they are typed');
    return Number(/left (\d+)/.exec(after)![1]);
  }

  /** What a terminal makes of all that was said, by the few sequences that the product uses. */
  picture(): string {
    let lines: string[][] = [];
    let row = 0;
    let column = 0;
    // oxlint-disable-next-line no-control-regex -- a terminal is made of these
    for (const [, parameters, final, character] of this.said.matchAll(/\u001b\[([\d;?]*)([A-Za-z])|([^])/gu)) {
      if (final === 'J' && parameters === '2') lines = [];
      else if (final === 'J') {
        lines[row]?.splice(column);
        lines.length = Math.min(lines.length, row + 1);
      } else if (final === 'K') lines[row]?.splice(column);
      else if (final === 'H')
        [row, column] = (parameters!.split(';').map(Number) as [number, number]).map((place) => place - 1) as [number, number];
      else if (character === '\n') row++;
      else if (character === '\r') column = 0;
      else if (character !== undefined && column < this.#columns) {
        while (lines.length <= row) lines.push([]);
        lines[row]![column++] = character;
      }
    }
    return lines
      .map((line) =>
        Array.from(line, (one) => one ?? ' ')
          .join('')
          .trimEnd(),
      )
      .join('\n');
  }

  [Symbol.dispose](): void {
    // Its terminal goes with it, and the command with its terminal.
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true });
  }
}
