import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { formatResolvConf, type ResolvConf } from './resolv-conf.ts';

/**
 * Our record. Records of the loopback device come first in both implementations, and after a name server on this machine neither lists any
 * other: that is how they make room for local resolvers (resolvconf(8), resolvconf.conf(5)).
 */
const record = 'lo.aovpn';
const programs = ['/sbin/resolvconf', '/usr/sbin/resolvconf'];
/** Where records lie: Debian's resolvconf, openresolv. Below /run, so that no restart of the machine finds ours. */
const directories = ['/run/resolvconf/interface', '/run/resolvconf/interfaces'];
/** Debian's: listed after all records (resolvconf(8)). */
const base = '/etc/resolvconf/resolv.conf.d/base';
const timeoutMs = 15_000;
const maxBytes = 64 * 1024;

/** The program, Debian's own or openresolv's; systemd-resolved brings one of that name which only speaks to itself. */
export function findResolvconf(): string | undefined {
  const program = programs.find(existsSync);
  if (program === undefined) return undefined;
  try {
    return basename(realpathSync(program)) === 'resolvectl' ? undefined : program;
  } catch {
    return undefined;
  }
}

/** Text of our record; undefined: there is none. */
export function readOurRecord(): string | undefined {
  for (const directory of directories) {
    const text = read(join(directory, record));
    if (text !== undefined) return text;
  }
  return undefined;
}

/** All records but ours and, last, what the administrator wrote down: what the machine's resolver configuration would be without us. */
export function readOtherRecords(): string {
  const others = directories.flatMap((directory) =>
    list(directory)
      .filter((name) => name !== record && !name.includes('_new.'))
      .map((name) => read(join(directory, name)) ?? ''),
  );
  return [...others, read(base) ?? ''].join('\n');
}

/**
 * Puts our record there, or changes it.
 * @returns whether anything was done
 * @throws {Error} when there is none afterwards
 */
export async function putRecord(configuration: ResolvConf): Promise<boolean> {
  const before = readOurRecord();
  // Without the line that marks a file as ours: it is resolvconf's file.
  const why = await resolvconf(['-a', record], formatResolvConf(configuration).split('\n').slice(1).join('\n'));
  const after = readOurRecord();
  if (after === undefined) throw new Error(`resolvconf keeps no record of ours${why}`);
  return after !== before;
}

/** @returns whether there was one @throws {Error} when it is still there */
export async function removeRecord(): Promise<boolean> {
  if (readOurRecord() === undefined) return false;
  const why = await resolvconf(['-d', record], '');
  if (readOurRecord() !== undefined) throw new Error(`resolvconf keeps our record${why}`);
  return true;
}

/**
 * What it says of the scripts that it runs for others is not about us: the record counts.
 * @returns what it said last, for a message
 */
async function resolvconf(args: readonly string[], input: string): Promise<string> {
  const program = findResolvconf();
  if (program === undefined) return ': the program is gone';
  const child = spawn(program, args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: timeoutMs,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < maxBytes) said += chunk.toString();
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const code = await new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (status, signal) => resolve(status ?? signal ?? 'ended'));
  });
  return code === 0 ? '' : `: ${said.trim().split('\n').at(-1) || code}`;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').slice(0, maxBytes);
  } catch {
    return undefined;
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}
