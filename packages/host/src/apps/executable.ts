import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { identityOfPath, type FileIdentity } from '../sys/file-identity.ts';

/** A file that a path of an app leads to now. */
export interface Executable {
  /** As configured, wildcards replaced. */
  readonly path: string;
  readonly file: FileIdentity;
  /** For a script: what runs it. */
  readonly interpreter?: FileIdentity;
}

/** What the paths of an app lead to, and where a change could lead them elsewhere. */
export interface ResolvedPaths {
  readonly executables: readonly Executable[];
  /** Directories, with the names in them that matter. */
  readonly directories: ReadonlyMap<string, ReadonlySet<string>>;
  /** Paths that lead nowhere now. */
  readonly missing: readonly string[];
  /** Wildcards that stood for too many files; the rest is left out. */
  readonly cut: readonly string[];
  /** Paths that somebody else than their file's owner could lead elsewhere; not believed. */
  readonly distrusted: readonly string[];
}

/** In a directory where any name matters. */
export const anyName = '*';
const maxMatches = 256;
const maxLinks = 40;
/** Where `#!/usr/bin/env name` finds its interpreter, as far as we can know. */
const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * Follows absolute paths, `*` standing for one path component or a part of it, through every symbolic link to files. What does not exist
 * (yet) is watched for at the deepest directory that does.
 */
export function resolvePaths(paths: readonly string[]): ResolvedPaths {
  const directories = new Map<string, Set<string>>();
  const executables: Executable[] = [];
  const missing: string[] = [];
  const cut: string[] = [];
  const distrusted: string[] = [];
  const heed = (directory: string, name: string): void => {
    const names = directories.get(directory);
    if (names) names.add(name);
    else directories.set(directory, new Set([name]));
  };
  for (const path of new Set(paths)) {
    const matches = expand(path, heed);
    if (matches.length > maxMatches) {
      cut.push(path);
      matches.length = maxMatches;
    }
    let found = false;
    for (const match of matches) {
      const real = follow(match, heed);
      const file = real === undefined || !isRegular(real) ? undefined : identityOfPath(real);
      if (!file) continue;
      found = true;
      if (!trusted(match, real!)) {
        distrusted.push(match);
        continue;
      }
      const interpreter = interpreterOf(real!);
      executables.push({ path: match, file, ...(interpreter ? { interpreter } : {}) });
    }
    if (!found) missing.push(path);
  }
  return { executables, directories, missing, cut, distrusted };
}

/** The paths that a pattern stands for now. */
function expand(pattern: string, heed: (directory: string, name: string) => void): string[] {
  const components = resolve('/', pattern).split('/').slice(1);
  let paths = ['/'];
  for (const [index, component] of components.entries()) {
    if (!component.includes('*')) {
      paths = paths.map((path) => join(path, component));
      continue;
    }
    const form = new RegExp(`^${component.split('*').map(escape).join('[^/]*')}$`);
    const last = index === components.length - 1;
    paths = paths.flatMap((path) => {
      const directory = follow(path, heed) ?? path;
      heed(directory, anyName);
      return entriesOf(directory, !last)
        .filter((name) => form.test(name) && (!name.startsWith('.') || component.startsWith('.')))
        .slice(0, maxMatches + 1)
        .map((name) => join(path, name));
    });
    if (paths.length > maxMatches) paths.length = maxMatches + 1;
  }
  return paths;
}

/** The path without symbolic links; undefined when it leads nowhere. Everything on the way is heeded. */
function follow(path: string, heed: (directory: string, name: string) => void): string | undefined {
  const rest = path.split('/').filter(Boolean);
  let at = '/';
  for (let links = 0; rest.length > 0;) {
    const name = rest.shift()!;
    if (name === '.') continue;
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    const next = join(at, name);
    let target: string;
    try {
      target = readlinkSync(next);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EINVAL') {
        // No link. A directory above the last one is only heeded where it may be replaced by renaming: that is, where it is missing.
        if (rest.length === 0) heed(at, name);
        at = next;
        continue;
      }
      heed(at, name);
      return undefined;
    }
    heed(at, name);
    if (++links > maxLinks) return undefined;
    rest.unshift(...target.split('/').filter(Boolean));
    if (target.startsWith('/')) at = '/';
  }
  return at;
}

/**
 * Whoever may write a directory on the way decides which file is the app. A user's own directory may therefore only lead to that user's
 * own files: a link there to `/usr/bin/sh` would make everybody's shell the app.
 */
function trusted(path: string, real: string): boolean {
  try {
    return mayLeadThere(path, real);
  } catch {
    // It changes while it is looked at: a change is looked at again.
    return false;
  }
}

function mayLeadThere(path: string, real: string): boolean {
  const owner = statSync(real).uid;
  const users = new Set<number>();
  for (const way of [path, real]) {
    for (let at = dirname(way); ; at = dirname(at)) {
      // Both what the link is and what it leads to.
      for (const { uid, mode } of [lstatSync(at), statSync(at)]) {
        if ((mode & 0o002) !== 0 && (mode & 0o170000) === 0o040000) {
          // In a sticky directory everybody makes files, but nobody replaces those of others.
          if ((mode & 0o1000) === 0 || (at === dirname(way) && owner !== 0)) return false;
        } else if (uid !== 0) users.add(uid);
      }
      if (at === '/') break;
    }
  }
  const others = [...users].filter((uid) => uid !== 0);
  return others.length === 0 || (others.length === 1 && owner === others[0]);
}

function isRegular(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** What runs a script, by its first line (execve(2)); undefined for a program or when it cannot be found. */
function interpreterOf(path: string): FileIdentity | undefined {
  const first = firstOctets(path);
  if (!first?.startsWith('#!')) return undefined;
  const [program, argument] = first.slice(2).split('\n')[0]!.trim().split(/\s+/);
  if (!program) return undefined;
  if (!program.endsWith('/env') || argument === undefined || argument.startsWith('-')) return identityOfPath(program);
  for (const directory of searchPath) {
    const file = identityOfPath(join(directory, argument));
    if (file) return file;
  }
  return undefined;
}

function firstOctets(path: string): string | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const octets = Buffer.alloc(256);
      return octets.toString('latin1', 0, readSync(fd, octets, 0, octets.length, 0));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

function entriesOf(directory: string, directoriesOnly: boolean): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !directoriesOnly || entry.isDirectory() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
