import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, opendirSync, readSync, watch, writeSync, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { isUserFileName, userFileLimits } from './limit.ts';

// The whole of a process: it is started as root, becomes the user before it looks at anything of theirs, and says on its standard output what it
// found, one JSON document a line, whenever that differs. It ends with its standard input.

const [uid, gid, user, home] = process.argv.slice(2);
const directories = [home!, join(home!, '.config'), join(home!, '.config/aovpn'), join(home!, '.config/aovpn/profiles.d')];
const place = directories.at(-1)!;
/** Changes within this time are told once, milliseconds. */
const quietMs = 200;
/** Directories that come and go lose their watch, milliseconds. */
const lookMs = 30_000;

process.umask(0o077);
// Node has it; its types do not.
(process as unknown as { initgroups(user: string, extra: number): void }).initgroups(user!, Number(gid));
process.setgid!(Number(gid));
process.setuid!(Number(uid));
if (process.getuid!() === 0 || process.geteuid!() === 0) throw new Error('still root');
process.chdir('/');

const watchers = new Map<string, FSWatcher>();
let told = '';
let quiet: NodeJS.Timeout | undefined;

function look(): void {
  for (const [i, directory] of directories.entries()) {
    if (watchers.has(directory)) continue;
    try {
      const next = directories[i + 1];
      const watcher = watch(directory, (_, name) => {
        // Much happens in a home.
        if (next !== undefined && name !== null && !next.endsWith(`/${name}`)) return;
        clearTimeout(quiet);
        quiet = setTimeout(look, quietMs);
      });
      const forget = (): void => {
        watchers.delete(directory);
        watcher.close();
      };
      watcher.on('error', forget);
      watchers.set(directory, watcher);
    } catch {
      // Not there (yet).
    }
  }
  tell(readAll());
}

type Snapshot =
  | { readonly files: readonly { readonly name: string; readonly data: string }[]; readonly skipped: readonly string[] }
  | { readonly refused: string };

function tell(snapshot: Snapshot): void {
  const text = JSON.stringify(snapshot);
  const digest = createHash('sha256').update(text).digest('hex');
  if (digest === told) return;
  told = digest;
  writeAll(Buffer.from(`${text}\n`));
}

function readAll(): Snapshot {
  const names: string[] = [];
  try {
    const directory = opendirSync(place);
    try {
      for (let count = 1; ; count++) {
        const entry = directory.readSync();
        if (!entry) break;
        if (count > userFileLimits.entries) return { refused: `${place} has more than ${userFileLimits.entries} entries` };
        if (isUserFileName(entry.name)) names.push(entry.name);
      }
    } finally {
      directory.closeSync();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? { files: [], skipped: [] } : { refused: `${place}: ${code ?? 'it cannot be read'}` };
  }
  if (names.length > userFileLimits.files) return { refused: `${place} has more than ${userFileLimits.files} files of profiles` };
  const files: { name: string; data: string }[] = [];
  const skipped: string[] = [];
  let total = 0;
  for (const name of names.sort()) {
    const content = readFile(join(place, name));
    if (typeof content === 'string') {
      skipped.push(`${name}: ${content}`);
      continue;
    }
    total += content.length;
    if (total > userFileLimits.total) return { refused: `${place} has more than ${userFileLimits.total} octets` };
    files.push({ name, data: content.toString('base64') });
    content.fill(0);
  }
  return { files, skipped };
}

/** The content, or why not. No link is followed, and nothing is waited for. */
function readFile(file: string): Buffer | string {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ELOOP' ? 'it is a link' : (code ?? 'it cannot be opened');
  }
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) return 'it is not a regular file';
    if (facts.uid !== Number(uid)) return `it belongs to user ${facts.uid}`;
    if ((facts.mode & 0o022) !== 0) return 'others can write to it';
    if (facts.size > userFileLimits.file) return `it has ${facts.size} octets`;
    const content = Buffer.alloc(facts.size);
    let length = 0;
    while (length < content.length) {
      const read = readSync(fd, content, length, content.length - length, length);
      if (read === 0) break;
      length += read;
    }
    return content.subarray(0, length);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'it cannot be read';
  } finally {
    closeSync(fd);
  }
}

/** A pipe takes what it has room for. */
function writeAll(octets: Buffer): void {
  for (let at = 0; at < octets.length;) {
    try {
      at += writeSync(1, octets, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(0);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

process.stdin
  .on('end', () => process.exit(0))
  .on('error', () => process.exit(0))
  .resume();
setInterval(look, lookMs);
look();
