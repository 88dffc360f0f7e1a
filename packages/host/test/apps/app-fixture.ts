import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { openAppCgroups, type AppCgroups } from '../../src/cgroup/app-cgroups.ts';

/** Cgroups and programs of one test file, with names of their own, gone at the latest when this process ends. */
export interface AppFixture {
  readonly cgroups: AppCgroups;
  readonly directory: string;
  /** A program of its own inode: a copy of perl, which is on every Debian. */
  program(name: string): string;
  /** A file that can be executed. */
  script(name: string, text: string): string;
  remove(): void;
}

let count = 0;

/** Why these tests cannot run here. */
export const skipWithoutRoot = process.getuid?.() === 0 ? false : 'needs root for cgroups and fanotify';

export function makeAppFixture(): AppFixture {
  const cgroups = openAppCgroups({ name: `aovpn-test-${process.pid}-${count++}` });
  const directory = mkdtempSync(join(tmpdir(), 'aovpn-apps-'));
  const remove = (): void => {
    process.off('exit', remove);
    cgroups.removeAll();
    rmSync(directory, { recursive: true, force: true });
  };
  process.on('exit', remove);
  return {
    cgroups,
    directory,
    program: (name) => {
      const path = join(directory, name);
      copyFileSync('/usr/bin/perl', path);
      chmodSync(path, 0o755);
      return path;
    },
    script: (name, text) => {
      const path = join(directory, name);
      writeFileSync(path, text, { mode: 0o755 });
      return path;
    },
    remove,
  };
}

/** A perl program whose first act is to say in which cgroup it is. */
export const tellCgroup = 'open F,"/proc/self/cgroup";while(<F>){print $1 if /^0::(.*)/}';

/** The key of the app that a program, started with these arguments, finds itself to be; undefined for none. */
export function appSeenBy(cgroups: AppCgroups, program: string, ...args: string[]): string | undefined {
  return keyIn(cgroups, execFileSync(program, args, { encoding: 'utf8' }));
}

/** The key in a path such as `/aovpn/firefox`. */
export function keyIn({ path }: AppCgroups, cgroup: string): string | undefined {
  const [, base, key] = cgroup.trim().split('/');
  return base === path.split('/').at(-1) ? key : undefined;
}

/** Starts a program by way of another one: Node's own `spawn` waits until `execve` is through, and this thread would sleep meanwhile. */
export function start(program: string, ...args: string[]): ChildProcess {
  return spawn('sh', ['-c', 'exec "$0" "$@"', program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What a child says first. */
export async function firstWord(child: ChildProcess): Promise<string> {
  for await (const chunk of child.stdout!) return String(chunk).trim();
  return '';
}

/** Waits until something is true; the time only ends what would never end. @throws {Error} when it does not become true */
export async function until(what: string, holds: () => boolean, withinMs = 60_000): Promise<void> {
  for (const end = performance.now() + withinMs; !holds();) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
