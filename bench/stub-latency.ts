// Measures in a network namespace of its own what our stub resolver costs between a program and unbound. Argument: `added`, `rules` or
// `rate`. Prints StubFigures as JSON.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseAddress } from '@aovpn/bytes';
import { openStubResolver, type StubResolver } from '@aovpn/host';
import { quantile } from './statistic.ts';

/** Microseconds from question to answer, one question at a time, or questions answered each second with 32 under way. */
export type StubFigures =
  /** Differences to asking the server itself. */
  | { readonly addedMedian: number; readonly addedP99: number }
  | { readonly manyRules: number; readonly oneRule: number }
  | { readonly rate: number; readonly serverRate: number };

const many = 10_000;
const stubText = '127.0.0.96';
const serverText = '127.0.0.21';
/** What else the machine does changes from second to second: turns are short and many, and each is compared with its neighbour. */
const turns = 30;
const questions = 200;

/** Asks one server for one name again and again, one question at a time, the first round unprinted; prints microseconds. */
const asker = `
  use Socket; use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
  my ($n, $rounds, $name, @to) = @ARGV;
  my $q = join('', map { chr(length) . $_ } split /\\./, $name) . "\\0\\0\\1\\0\\1";
  my @s = map { socket(my $s, PF_INET, SOCK_DGRAM, 0); connect($s, sockaddr_in(53, inet_aton($_))) or die; $s } @to;
  for my $round (0..$rounds) { for my $i (0..$#s) {
    for my $k (1..$n) {
      my $m = pack('n6', $k, 256, 1, 0, 0, 0) . $q; my $a;
      my $t = clock_gettime(CLOCK_MONOTONIC);
      send($s[$i], $m, 0); recv($s[$i], $a, 4096, 0);
      $t = clock_gettime(CLOCK_MONOTONIC) - $t;
      die "no answer" if length($a) <= length($m);
      print "$i ", 1e6 * $t, "\\n" if $round;
    }
  } }
`;

const directory = mkdtempSync(join(tmpdir(), 'aovpn-bench-'));
let unbound: ChildProcess | undefined;
let stub: StubResolver | undefined;
try {
  await run('ip', ['link', 'set', 'lo', 'up']);
  unbound = await startUnbound();
  stub = await openStubResolver(parseAddress(stubText)!);
  configure(stub, many);
  process.stdout.write(`${JSON.stringify(await measure(stub, process.argv[2] as 'added' | 'rules' | 'rate'))}\n`);
} finally {
  await stub?.close();
  unbound?.kill();
  if (unbound?.exitCode === null) await once(unbound, 'close');
  rmSync(directory, { recursive: true });
}

async function measure(resolver: StubResolver, what: 'added' | 'rules' | 'rate'): Promise<StubFigures> {
  switch (what) {
    case 'added': {
      const [server, ours] = (await latencies([serverText, stubText], turns)) as [number[], number[]];
      const added = (at: number): number => quantile(ours, at) - quantile(server, at);
      return { addedMedian: added(0.5), addedP99: added(0.99) };
    }
    case 'rules': {
      const figures = new Map<number, number[]>([
        [1, []],
        [many, []],
      ]);
      for (let turn = 0; turn < turns / 3; turn++) {
        for (const [rules, samples] of figures) {
          configure(resolver, rules);
          samples.push(...(await latencies([stubText], 3))[0]!);
        }
      }
      return { manyRules: quantile(figures.get(many)!, 0.5), oneRule: quantile(figures.get(1)!, 0.5) };
    }
    case 'rate':
      return { rate: await rateOf(stubText), serverRate: await rateOf(serverText) };
  }
}

function configure(resolver: StubResolver, rules: number): void {
  const server = parseAddress(serverText)!;
  const others = Array.from({ length: rules - 1 }, (_, i) => ({ name: `.zone-${i}.example`, servers: [server] }));
  resolver.configure({ rules: [...others, { name: '.corp.example', servers: [server] }], physical: [], mark: 0 });
}

async function startUnbound(): Promise<ChildProcess> {
  const file = join(directory, 'unbound.conf');
  writeFileSync(
    file,
    `server:\n  interface: ${serverText}\n  access-control: 127.0.0.0/8 allow\n  username: ""\n  chroot: ""\n  directory: "${directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: "${directory}/log"\n  do-daemonize: no\n  local-zone: "corp.example." static\n  local-data: "web.corp.example. IN A 10.0.0.80"\nremote-control:\n  control-enable: no\n`,
  );
  const child = spawn('unbound', ['-d', '-c', file], { stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    try {
      const answer = await run('dig', ['+short', '+tries=1', '+time=1', `@${serverText}`, 'web.corp.example']);
      if (answer.trim() === '10.0.0.80') return child;
    } catch {
      // Not up yet.
    }
    await sleep(50);
  }
  child.kill();
  throw new Error('unbound does not start');
}

/** By server, in microseconds. */
async function latencies(servers: readonly string[], rounds: number): Promise<number[][]> {
  const output = await run('perl', ['-e', asker, String(questions), String(rounds), 'web.corp.example', ...servers]);
  const found: number[][] = servers.map(() => []);
  for (const line of output.trim().split('\n')) {
    const [which, microseconds] = line.split(' ').map(Number) as [number, number];
    found[which]!.push(microseconds);
  }
  return found;
}

async function rateOf(server: string): Promise<number> {
  const names = join(directory, 'names');
  writeFileSync(names, 'web.corp.example A\n');
  const report = await run('dnsperf', ['-s', server, '-d', names, '-l', '3', '-c', '4', '-q', '32']);
  const rate = /Queries per second:\s+([\d.]+)/.exec(report)?.[1];
  const lost = Number(/Queries lost:\s+(\d+)/.exec(report)?.[1] ?? 1);
  if (rate === undefined || lost > 0) throw new Error(`dnsperf: ${report}`);
  return Number(rate);
}

async function run(program: string, args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 })).stdout;
}
