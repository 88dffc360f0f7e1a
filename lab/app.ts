import assert from 'node:assert/strict';
import { copyFileSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import path from 'node:path';
import type { Host } from './host.ts';
import { hangMs } from './patience.ts';
import type { Running } from './running.ts';
import { until } from './until.ts';

/** All worlds see the cgroups of this machine, so each of them has its own name there. */
export function cgroupArguments(host: Host): readonly string[] {
  return ['--cgroup', cgroupName(host)];
}

/** Where the daemon of a host has the cgroups of its apps, as every process sees it. */
export function cgroupOf(host: Host, app: string): string {
  return path.join(cgroupRoot(), cgroupName(host), app);
}

/** What a killed daemon left; nothing runs in it any more. */
export function removeCgroups(host: Host): void {
  // Of apps, and of the program that signs in to a captive portal.
  for (const name of [cgroupName(host), `${cgroupName(host)}-portal`]) {
    const own = path.join(cgroupRoot(), name);
    if (!existsSync(own)) continue;
    for (const entry of readdirSync(own, { withFileTypes: true })) if (entry.isDirectory()) rmdirSync(path.join(own, entry.name));
    rmdirSync(own);
  }
}

/** What became of one attempt of an app. */
export interface Asked {
  /** What was answered; absent: nothing. */
  readonly said?: string;
  /** The app's own address on that connection. */
  readonly from?: string;
  /** Why not, as the kernel told the app: `EHOSTUNREACH`, `EACCES`, … or `ETIMEDOUT`. */
  readonly error?: string;
  readonly ms: number;
}

export interface AskOptions {
  readonly uid?: number;
  readonly gid?: number;
  /** Default: as good as for ever, for what is answered or refused. Who expects silence says for how long. */
  readonly timeoutMs?: number;
  /** What is sent; default `who`. Over TCP it is the path that is fetched. */
  readonly text?: string;
  /** The program is started now, and asks when this file is there. */
  readonly after?: string;
}

/** A program with a file of its own, as filters name it. What it runs is told when it is started. */
export class App {
  readonly host: Host;
  readonly file: string;

  constructor(host: Host, name: string) {
    this.host = host;
    this.file = `/run/apps/${name}`;
    const file = host.file(this.file);
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 });
    copyFileSync('/usr/bin/perl', file);
    chmodSync(file, 0o755);
  }

  /** Starts the program anew, which asks and ends. `connected`: UDP after connect(2); `name`: an A look-up at a name server; `ping`: an ICMP echo. */
  async ask(
    kind: 'tcp' | 'udp' | 'connected' | 'name' | 'ping',
    address: string,
    port: number,
    { uid, gid, timeoutMs = hangMs, text = 'who', after }: AskOptions = {},
  ): Promise<Asked> {
    const owner =
      uid === undefined && gid === undefined
        ? []
        : [
            'setpriv',
            ...(uid === undefined ? [] : [`--reuid=${uid}`]),
            ...(gid === undefined ? [] : [`--regid=${gid}`]),
            '--clear-groups',
          ];
    const begin = after === undefined ? [this.file] : [this.file, '-e', waiting, after, this.file];
    const argv = [...owner, ...begin, '-e', asking, kind, address, String(port), text, String(timeoutMs / 1000)];
    const { stdout, stderr } = await this.host.run(argv, { timeoutMs: timeoutMs + hangMs });
    const [verdict, detail = '', ms = '0', ...rest] = stdout.split('\n');
    if (verdict === 'said') return { said: rest.join('\n').trim(), from: detail, ms: Number(ms) };
    if (verdict === 'error') return { error: detail, ms: Number(ms) };
    throw new Error(`${this.file} ${argv.slice(-4).join(' ')}: ${stdout}${stderr}`);
  }

  /** Starts the program; it accepts connections on a port of TCP and says its process id to each. */
  async listen(port: number): Promise<Running> {
    const running = this.host.spawn([this.file, '-e', listening, String(port)], { name: path.basename(this.file) });
    await running.saysWithin(/listening/);
    return running;
  }

  /**
   * Starts the program, which asks an echo server by UDP from a new socket every few milliseconds until it is stopped, and says a line for each answer: to which
   * address of the host it came.
   */
  askOnAndOn(address: string, port: number): Running {
    return this.host.spawn([this.file, '-e', askingOnAndOn, address, String(port)], { name: path.basename(this.file) });
  }

  /** Starts the program with any script, to its end. */
  run(script: string, args: readonly string[] = []): Promise<string> {
    return this.host.exec([this.file, '-e', script, ...args], { timeoutMs: 2 * hangMs });
  }
}

/** Waits until {@link App.askOnAndOn} is answered again, ends it, and tells to which addresses of the host all its answers came. */
export async function answeredAgain(asking: Running): Promise<readonly string[]> {
  const answers = (): readonly string[] => asking.output().split('\n').filter(isIPv4);
  const before = answers().length;
  await until(
    () => `answers come again: ${JSON.stringify(asking.exit)} ${asking.output().slice(-200)}`,
    () => answers().length > before + 5,
  );
  await asking.stop();
  return answers();
}

/** Refused by this machine itself: the program hears of it and need not wait. */
export function assertRefused(asked: Asked, what: string): void {
  assert.ok(asked.said === undefined, `${what} got through: ${JSON.stringify(asked)}`);
  assert.ok(['ECONNREFUSED', 'EHOSTUNREACH', 'EACCES', 'EPERM'].includes(asked.error!), `${what}: ${JSON.stringify(asked)}`);
  // Not a measure of speed: it takes the kernel three seconds to find out that a neighbour does not answer.
  assert.ok(asked.ms < 2500, `${what} took ${asked.ms} ms`);
}

const names = 'EHOSTUNREACH ENETUNREACH EACCES EPERM ECONNREFUSED EINVAL ENOENT';

const asking = `
use strict; use Socket qw(:all); use Time::HiRes qw(time);
my ($kind, $address, $port, $text, $patience) = @ARGV;
my $begun = time;
sub end { my ($verdict, $detail, $rest) = @_; print join("\\n", $verdict, $detail, int(1000 * (time - $begun)), $rest // ''); exit 0 }
sub fail { for my $name (qw(${names})) { end('error', $name) if $!{$name} } end('error', $! + 0) }
$SIG{ALRM} = sub { end('error', 'ETIMEDOUT') };
Time::HiRes::alarm($patience);
my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
my $bytes = inet_pton($family, $address);
my $to = $family == AF_INET ? pack_sockaddr_in($port, $bytes) : pack_sockaddr_in6($port, $bytes);
my $stream = $kind eq 'tcp';
my $ping = $kind eq 'ping' ? ($family == AF_INET ? 1 : 58) : 0;
socket(my $socket, $family, $ping ? SOCK_RAW : $stream ? SOCK_STREAM : SOCK_DGRAM, $ping) or fail();
sub own { my $name = getsockname($socket); my (undef, $own) = $family == AF_INET ? unpack_sockaddr_in($name) : unpack_sockaddr_in6($name); inet_ntop($family, $own) }
if ($stream) {
  connect($socket, $to) or fail();
  syswrite($socket, "GET /$text HTTP/1.0\\r\\nHost: lab\\r\\n\\r\\n") or fail();
  my ($all, $part) = ('', '');
  while (my $got = sysread($socket, $part, 65536)) { $all .= $part }
  $all =~ s/^.*?\\r\\n\\r\\n//s;
  end('said', own(), $all);
}
if ($kind eq 'name') {
  $text = pack('n6', 7296, 0x0100, 1, 0, 0, 0) . join('', map { chr(length) . $_ } split(/\\./, $text)) . pack('Cnn', 0, 1, 1);
}
if ($ping) {
  my $sum = ~(0x0800 + 7296 + 1) & 0xffff;
  connect($socket, $to) or fail();
  defined send($socket, $ping == 1 ? pack('n4', 0x0800, $sum, 7296, 1) : pack('n4', 0x8000, 0, 7296, 1), 0) or fail();
  while (defined recv($socket, my $answer, 4096, 0)) {
    $answer = substr($answer, 20) if $ping == 1;
    my ($type, undef, $id) = unpack('n3', $answer);
    end('said', own(), 'pong') if $id == 7296 && $type == ($ping == 1 ? 0 : 0x8100);
  }
  fail();
}
if ($kind eq 'udp') { defined send($socket, $text, 0, $to) or fail() }
else { connect($socket, $to) or fail(); defined send($socket, $text, 0) or fail() }
defined recv($socket, my $answer, 4096, 0) or fail();
end('said', own(), $kind eq 'name' ? inet_ntop(AF_INET, substr($answer, -4)) : $answer);
`;

const askingOnAndOn = `
use strict; use Socket; $| = 1;
my ($to, $port) = @ARGV; my @open;
while (1) {
  push @open, $_ for grep { connect($_, pack_sockaddr_in($port, inet_aton($to))) && defined send($_, 'who', 0) } fresh();
  shift @open if @open > 500;
  my $ready = ''; vec($ready, fileno($_), 1) = 1 for @open;
  select(undef, undef, undef, 0.002);
  next unless select($ready, undef, undef, 0.01) > 0;
  my @answered = grep { vec($ready, fileno($_), 1) } @open;
  @open = grep { !vec($ready, fileno($_), 1) } @open;
  for (@answered) { print inet_ntoa((unpack_sockaddr_in(getsockname($_)))[1]), "\\n" if defined recv($_, my $answer, 99, 0) }
}
sub fresh { my $socket; return socket($socket, PF_INET, SOCK_DGRAM, 17) ? $socket : () }
`;

const waiting = 'my $file = shift; select(undef, undef, undef, 0.02) until -e $file; exec @ARGV';

const listening = `
use strict; use Socket qw(:all);
$| = 1;
socket(my $server, AF_INET6, SOCK_STREAM, 0); setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, pack_sockaddr_in6($ARGV[0], inet_pton(AF_INET6, '::'))) or die $!; listen($server, 16); print "listening\\n";
while (accept(my $client, $server)) { syswrite($client, "HTTP/1.0 200 OK\\r\\n\\r\\n$$"); close($client) }
`;

function cgroupName(host: Host): string {
  return path.basename(path.dirname(host.directory));
}

function cgroupRoot(): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => one.split(' - ')[1]?.startsWith('cgroup2 '));
  if (line === undefined) throw new Error('cgroup v2 is not mounted');
  return line.split(' ')[4]!;
}
