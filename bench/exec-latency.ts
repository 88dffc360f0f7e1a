// Measures in namespaces of its own what a start costs; prints `{ "watched": …, "unwatched": … }`, microseconds on top of a start without any watch.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFilters, type Filters } from '@aovpn/host';
import { compilePlan, resolveProfile, type Plan } from '@aovpn/policy';
import type { Profile } from '@aovpn/profile';
import { median } from './statistic.ts';

/** What else the machine does changes from second to second: turns are short and many, and each is compared with its neighbour. */
const turns = 24;
const starts = 60;
/** Starts each program in turn, again and again, and prints the medians in microseconds. */
const driver = `
  use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
  my ($n, @p) = @ARGV; my %t;
  for (1..$n) { for my $p (@p) {
    my $a = clock_gettime(CLOCK_MONOTONIC);
    my $pid = fork; if (!$pid) { exec $p; exit 1 } waitpid $pid, 0;
    push @{$t{$p}}, clock_gettime(CLOCK_MONOTONIC) - $a;
  } }
  for my $p (@p) { my @s = sort { $a <=> $b } @{$t{$p}}; print 1e6 * $s[$#s / 2], "\\n" }
`;

const directory = mkdtempSync(join(tmpdir(), 'aovpn-bench-'));
let filters: Filters | undefined;
try {
  const [watched, other] = ['watched', 'other'].map((name) => {
    const path = join(directory, name);
    copyFileSync('/bin/true', path);
    chmodSync(path, 0o755);
    return path;
  }) as [string, string];
  const time = (...programs: readonly string[]): number[] =>
    execFileSync('perl', ['-e', driver, String(starts), ...programs], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map(Number);

  filters = await openFilters({
    onEvent: () => undefined,
    cgroupName: `aovpn-bench-${process.pid}`,
    pins: false,
    runDirectory: directory,
  });
  time(watched, other);
  const unwatched: number[] = [];
  const added: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    await settled(filters.apply(planOf([])));
    const off = time(other)[0]!;
    await settled(filters.apply(planOf([watched])));
    unwatched.push(time(other)[0]! - off);
    const [a, b] = time(watched, other) as [number, number];
    added.push(a - b);
  }
  process.stdout.write(`${JSON.stringify({ watched: median(added), unwatched: median(unwatched) })}\n`);
} finally {
  await filters?.cleanUp();
  await filters?.close();
  rmSync(directory, { recursive: true });
}

/** What a change leaves behind in the kernel is done with before anything is measured. */
async function settled(change: Promise<unknown>): Promise<void> {
  await change;
  await sleep(100);
}

function planOf(paths: readonly string[]): Plan {
  const located = <T>(value: T) => ({ value, at: { line: 1, column: 1 } });
  const profile: Profile = {
    appTriggers: paths.map((id) => ({ at: { line: 1, column: 1 }, app: located({ id, type: 'FilePath' as const }) })),
    domainNameInformation: [],
    trafficFilters: [],
    routes: [],
    unknown: [],
  };
  return compilePlan({
    tunnels: [],
    idle: [resolveProfile('bench', profile).intent],
    host: { resolver: 'stub', physicalDns: [], mark: 1 },
  });
}
