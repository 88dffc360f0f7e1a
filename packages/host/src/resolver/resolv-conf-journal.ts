import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import { formatResolvConf, isOurs, marker, parseResolvConf, type ResolvConf } from './resolv-conf.ts';

/** What was in resolv.conf's place, and what we put there. Written and synced before the file is touched. */
interface Journal {
  readonly version: 1;
  readonly path: string;
  readonly original:
    | { readonly kind: 'file'; readonly text: string; readonly mode: number }
    | { readonly kind: 'link'; readonly target: string; readonly text: string }
    | { readonly kind: 'absent' };
  /** Undefined: it was written ahead, and nothing of ours is in the place yet, or only just. */
  readonly written?: string;
}

export interface ResolvConfPlace {
  /** Such as `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Where the journal lives; must outlive a reboot, as resolv.conf does. */
  readonly stateDirectory: string;
}

const maxBytes = 256 * 1024;
/** Somebody who writes it again and again does not keep us from it for ever. */
const mostTries = 5;

/** The resolver configuration of the machine without us: the file itself, or what it was before we took it. */
export function readOriginal(place: ResolvConfPlace): { readonly text: string; readonly link?: string } {
  const now = readPlace(place.resolvConf);
  if (now.kind !== 'absent' && isOurs(now.text)) {
    const journal = readJournal(place);
    if (!journal || journal.original.kind === 'absent') return { text: '' };
    return journal.original.kind === 'link'
      ? { text: journal.original.text, link: journal.original.target }
      : { text: journal.original.text };
  }
  if (now.kind === 'absent') return { text: '' };
  return now.kind === 'link' ? { text: now.text, link: now.target } : { text: now.text };
}

/**
 * Writes down what is in the place before anybody waits for its being taken over: syncing takes its time, here in a thread of its own. The place itself
 * is not touched. What fails here fails again, and is told, when it is needed. Not to be called again before it is done.
 */
export async function writeAhead(place: ResolvConfPlace): Promise<void> {
  const path = journalPath(place);
  const now = readPlace(place.resolvConf);
  if (readJournal(place) || (now.kind === 'file' && isOurs(now.text))) return;
  await mkdir(place.stateDirectory, { recursive: true, mode: 0o700 });
  const file = await open(`${path}.ahead`, 'w', 0o600);
  try {
    await file.writeFile(textOf({ version: 1, path: place.resolvConf, original: now }));
    await file.sync();
  } catch (error) {
    tryRemove(`${path}.ahead`);
    throw error;
  } finally {
    await file.close();
  }
  // It may have been taken over meanwhile.
  if (readJournal(place)) await rm(`${path}.ahead`, { force: true });
  else renameSync(`${path}.ahead`, path);
}

/**
 * Puts our configuration in the place of the machine's. Called again it changes what we wrote; a file that somebody else has put there
 * meanwhile becomes the new original.
 * @returns whether anything was written
 * @throws {HostError} AOV-HOST-311, AOV-HOST-312
 */
export function takeOver(place: ResolvConfPlace, configuration: ResolvConf): boolean {
  const written = formatResolvConf(configuration);
  for (let tries = 0; ; tries++) {
    const now = readPlace(place.resolvConf);
    const ours = now.kind === 'file' && isOurs(now.text);
    if (ours && now.text === written) return false;
    const known = readJournal(place);
    const original: Journal['original'] = ours ? (known?.original ?? { kind: 'absent' }) : now;
    const isAhead = known !== undefined && known.written === undefined && samePlace(known.original, original);
    const journal = { version: 1, path: place.resolvConf, original, written } as const;
    if (!isAhead) writeJournal(place, journal);
    // Syncing takes its time on a busy disk: what a DHCP client writes meanwhile is not to be lost.
    const isAsItWas = (): boolean => tries >= mostTries || samePlace(readPlace(place.resolvConf), now);
    if (!put(place.resolvConf, written, 0o644, isAsItWas)) continue;
    if (isAhead) setImmediate(() => complete(place, journal));
    return true;
  }
}

/** Once it is known what we wrote, what somebody else adds to it can be told apart. Until then, and where this fails, our file counts as ours alone. */
function complete(place: ResolvConfPlace, journal: Journal): void {
  try {
    const known = readJournal(place);
    if (known && known.written === undefined && isTaken(place)) writeJournal(place, journal);
  } catch {
    // The original is safe.
  }
}

/**
 * Gives the place back, with no memory of what ran before. A file that somebody else has put there since stays; of one that somebody has
 * edited, only our own lines go.
 * @returns what was done
 * @throws {HostError} AOV-HOST-311, AOV-HOST-312
 */
export function giveBack(place: ResolvConfPlace): 'nothing' | 'restored' | 'kept' {
  const journal = readJournal(place);
  const now = readPlace(place.resolvConf);
  const ours = now.kind === 'file' && isOurs(now.text);
  if (!journal) {
    if (!ours) return 'nothing';
    // Our file without its journal leads nowhere once we are gone; without servers of their own programs at least say so at once.
    put(
      place.resolvConf,
      now.text
        .split('\n')
        .slice(1)
        .filter((line) => !line.startsWith('nameserver 127.'))
        .join('\n'),
      0o644,
    );
    return 'restored';
  }
  let done: 'nothing' | 'restored' | 'kept' = 'restored';
  if (!ours && journal.written === undefined) done = 'nothing';
  else if (ours && (journal.written === undefined || now.text === journal.written)) restore(place.resolvConf, journal.original);
  else if (ours) put(place.resolvConf, withoutOurLines(now.text, journal), 0o644);
  else done = 'kept';
  removeJournal(place);
  return done;
}

/** Whether resolv.conf is ours now. */
export function isTaken(place: ResolvConfPlace): boolean {
  const now = readPlace(place.resolvConf);
  return now.kind === 'file' && isOurs(now.text);
}

function withoutOurLines(text: string, journal: Journal): string {
  const servers = parseResolvConf(journal.written ?? '').nameservers.map((address) => `nameserver ${address.bytes.join('.')}`);
  const before =
    journal.original.kind === 'absent' ? [] : journal.original.text.split('\n').filter((line) => /^\s*nameserver\s/.test(line));
  const rest = text.split('\n').filter((line) => line !== marker && !servers.includes(line.trim()));
  return [...before, ...rest].join('\n');
}

function restore(path: string, original: Journal['original']): void {
  switch (original.kind) {
    case 'absent':
      try {
        rmSync(path, { force: true });
      } catch {
        // A mount point cannot be removed; empty is as near as it gets.
        put(path, '', 0o644);
      }
      return;
    case 'file':
      put(path, original.text, original.mode);
      return;
    case 'link':
      replace(path, (temporary) => symlinkSync(original.target, temporary), original.text);
  }
}

/** False: it is not as it was any more, and nothing was written. */
function put(path: string, text: string, mode: number, isAsItWas?: () => boolean): boolean {
  return replace(path, (temporary) => writeSynced(temporary, text, mode), text, isAsItWas);
}

function samePlace(a: Journal['original'], b: Journal['original']): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Atomic by rename; where the place is a mount point of its own (containers, `ip netns exec`), its directory is read only, or the disk has no room for a second file, written
 * in place. Never through a link: what it points at is somebody else's.
 */
function replace(path: string, make: (temporary: string) => void, text: string, isAsItWas = (): boolean => true): boolean {
  const temporary = join(dirname(path), `.resolv.conf.aovpn-${process.pid}`);
  try {
    try {
      rmSync(temporary, { force: true });
      make(temporary);
      if (!isAsItWas()) {
        tryRemove(temporary);
        return false;
      }
      renameSync(temporary, path);
    } catch (error) {
      tryRemove(temporary);
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EBUSY', 'EXDEV', 'EROFS', 'EACCES', 'ENOSPC', 'EDQUOT'].includes(code) || readPlace(path).kind !== 'file')
        throw error;
      writeInPlace(path, text);
    }
    return true;
  } catch (error) {
    throw placeError(path, error);
  }
}

/** On a full disk what was there comes back: no resolver at all would be worse than the old one. */
function writeInPlace(path: string, text: string): void {
  const before = readFileSync(path);
  const file = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    overwrite(file, Buffer.from(text));
  } catch (error) {
    try {
      overwrite(file, before);
    } catch {
      // What can be said is said by the first error.
    }
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Keeps the room that the file has: on a full disk somebody else would take what is cut off before. */
function overwrite(file: number, octets: Uint8Array): void {
  for (let at = 0; at < octets.length;) at += writeSync(file, octets, at, octets.length - at, at);
  ftruncateSync(file, octets.length);
}

function tryRemove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // On a read-only file system there is nothing to remove.
  }
}

function readPlace(path: string): Journal['original'] {
  try {
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) return { kind: 'link', target: readlinkSync(path), text: readLimited(path) };
    return { kind: 'file', text: readLimited(path), mode: stat.mode & 0o777 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' };
    throw placeError(path, error);
  }
}

/** A dangling link reads as empty: it is restored all the same. */
function readLimited(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, maxBytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function journalPath({ stateDirectory }: ResolvConfPlace): string {
  return join(stateDirectory, 'resolv-conf.journal');
}

function readJournal(place: ResolvConfPlace): Journal | undefined {
  const path = journalPath(place);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw journalError(path, error);
  }
  try {
    const value: unknown = JSON.parse(text);
    // A journal of another place (or of another make) says nothing about this one.
    return isJournal(value) && value.path === place.resolvConf ? value : undefined;
  } catch {
    return undefined;
  }
}

function isJournal(value: unknown): value is Journal {
  if (typeof value !== 'object' || value === null) return false;
  const { version, path, written, original } = value as Record<string, unknown>;
  if (
    version !== 1 ||
    typeof path !== 'string' ||
    (written !== undefined && typeof written !== 'string') ||
    typeof original !== 'object' ||
    original === null
  )
    return false;
  const { kind, text, mode, target } = original as Record<string, unknown>;
  if (kind === 'absent') return true;
  if (typeof text !== 'string') return false;
  return (kind === 'file' && typeof mode === 'number') || (kind === 'link' && typeof target === 'string');
}

function writeJournal(place: ResolvConfPlace, journal: Journal): void {
  const path = journalPath(place);
  try {
    mkdirSync(place.stateDirectory, { recursive: true, mode: 0o700 });
    writeSynced(`${path}.new`, textOf(journal), 0o600);
    renameSync(`${path}.new`, path);
  } catch (error) {
    tryRemove(`${path}.new`);
    throw journalError(path, error);
  }
}

function placeError(path: string, error: unknown): HostError {
  const what = `${path}, which says whom programs ask for names, cannot be changed: ${(error as Error).message}`;
  return new HostError('AOV-HOST-311', what, networkCure('AOV-HOST-311'), error);
}

function journalError(path: string, error: unknown): HostError {
  const what = `what resolv.conf was before, to be put back later, cannot be kept in ${path}: ${(error as Error).message}`;
  return new HostError('AOV-HOST-312', what, networkCure('AOV-HOST-312'), error);
}

function textOf(journal: Journal): string {
  return `${JSON.stringify(journal, undefined, 2)}\n`;
}

function removeJournal(place: ResolvConfPlace): void {
  for (const end of ['', '.new', '.ahead']) rmSync(`${journalPath(place)}${end}`, { force: true });
}

function writeSynced(path: string, text: string, mode: number): void {
  const fd = openSync(path, 'w', mode);
  try {
    // All of it or an error: writeSync may write a part when the disk is nearly full.
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
