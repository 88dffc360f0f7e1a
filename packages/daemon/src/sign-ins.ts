import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Owner } from '@aovpn/api';
import { readUserSessions, sessionsDirectory, type UserSession, utmpFile, writeFileAtomically } from '@aovpn/host';
import { DirectoryWatch } from './directory-watch.ts';
import { askNameService } from './identity-lookup.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import { userId, userName } from './user-database.ts';

export interface SignInsOptions {
  /** Where sessions that were announced to us are kept, below the run directory: they end with the machine's power. */
  readonly file: string;
  /** Somebody came or left. */
  readonly onChange: () => void;
  /** A session began: of somebody who comes, or another one of somebody who is here. */
  readonly onSession: (user: Owner) => void;
  readonly log: Log;
  readonly read?: () => readonly UserSession[];
  readonly directories?: readonly string[];
}

/** Files of logind tell at once; without it, utmp is looked at this often, and where there is none either, whether one has come. Milliseconds. */
const lookInterval = { logind: 300_000, utmp: 5_000, none: 60_000 } as const;

/**
 * Who is signed in: by logind's files (or utmp's), and by whoever announces sessions: PAM, or people themselves. Root is nobody's guest: the
 * machine's own connections are root's.
 */
export class SignIns {
  readonly #options: SignInsOptions;
  #sessions = new Map<string, Owner>();
  /** How many sessions of each were announced. */
  readonly #announced = new Map<number, { readonly owner: Owner; readonly count: number }>();
  #watch: DirectoryWatch | undefined;

  constructor(options: SignInsOptions) {
    this.#options = options;
  }

  /** In order of their numbers. */
  users(): readonly Owner[] {
    const all = [...this.#sessions.values(), ...[...this.#announced.values()].map(({ owner }) => owner)];
    return [...new Map(all.map((owner) => [owner.uid, owner])).values()].sort((a, b) => a.uid - b.uid);
  }

  /** Looks once; sessions that are there are nobody's sign-in. */
  async start(): Promise<void> {
    await this.#readAnnounced();
    this.#sessions = this.#look();
  }

  watch(): { close(): void } {
    const look = (): void => this.#compare(this.#look());
    this.#watch = new DirectoryWatch({
      directories: () => this.#options.directories ?? [sessionsDirectory],
      onChange: look,
      pollMs: () => lookInterval[existsSync(sessionsDirectory) ? 'logind' : existsSync(utmpFile) ? 'utmp' : 'none'],
    });
    look();
    return { close: () => this.#watch?.close() };
  }

  /** A session that no file tells of. */
  async open(owner: Owner): Promise<void> {
    const count = (this.#announced.get(owner.uid)?.count ?? 0) + 1;
    this.#announced.set(owner.uid, { owner, count });
    this.#options.log.info(`${owner.name} signs in (session announced, ${count} now)`);
    this.#options.onSession(owner);
    this.#options.onChange();
    await this.#writeAnnounced();
  }

  /** The end of one, or of `all`, that were announced. */
  async close({ uid, name }: Owner, all: boolean): Promise<void> {
    const known = this.#announced.get(uid);
    if (!known) return;
    if (all || known.count <= 1) this.#announced.delete(uid);
    else this.#announced.set(uid, { ...known, count: known.count - 1 });
    this.#options.log.info(`${name} signs out (session announced, ${this.#announced.get(uid)?.count ?? 0} left)`);
    this.#options.onChange();
    await this.#writeAnnounced();
  }

  #look(): Map<string, Owner> {
    const sessions = new Map<string, Owner>();
    for (const { id, uid, user } of (this.#options.read ?? readUserSessions)()) {
      const number = uid ?? (user === undefined ? undefined : userId(user));
      if (number !== undefined && isPerson(number)) sessions.set(id, ownerOf(number, user));
    }
    return sessions;
  }

  #compare(now: Map<string, Owner>): void {
    const { log, onSession, onChange } = this.#options;
    const before = this.#sessions;
    this.#sessions = now;
    let changed = false;
    for (const [id, owner] of now) {
      if (before.has(id)) continue;
      log.info(`${owner.name} signs in (session ${id})`);
      onSession(owner);
      changed = true;
    }
    for (const [id, owner] of before) {
      if (now.has(id)) continue;
      log.info(`session ${id} of ${owner.name} is over`);
      changed = true;
    }
    if (changed) onChange();
  }

  async #readAnnounced(): Promise<void> {
    try {
      for (const entry of JSON.parse(await readFile(this.#options.file, 'utf8')) as unknown[])
        if (isAnnounced(entry)) this.#announced.set(entry.owner.uid, entry);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#options.log.warn(`${this.#options.file} cannot be read, so announced sessions are over: ${messageOf(error)}`);
    }
  }

  async #writeAnnounced(): Promise<void> {
    try {
      await writeFileAtomically(this.#options.file, `${JSON.stringify([...this.#announced.values()])}\n`, 0o600);
    } catch (error) {
      this.#options.log.warn(`announced sessions could not be written to ${this.#options.file}: ${messageOf(error)}`);
    }
  }
}

/** Whose sessions count: not root's, and not those of what stands for nobody (65534, and what is no number of a user). */
export function isPerson(uid: number): boolean {
  return uid > 0 && uid !== 65_534 && uid < 0xffff_fffe;
}

/** The user with the name that their profiles bear: the number stands for a name that is no directory. */
export function ownerOf(uid: number, name: string | undefined): Owner {
  const known = name ?? userName(uid);
  return { uid, name: known !== undefined && isUserName(known) ? known : String(uid) };
}

/** By name, also of a directory service. */
export async function findUser(name: string): Promise<Owner | undefined> {
  if (!isUserName(name)) return undefined;
  const known = userId(name);
  if (known !== undefined) return ownerOf(known, name);
  const [line] = await askNameService('passwd', [name]);
  const uid = line?.split(':')[2];
  return uid !== undefined && /^\d{1,10}$/.test(uid) ? ownerOf(Number(uid), name) : undefined;
}

/** One component of a path, and text that can be shown: domains have `DOM\kim` and `kim@corp.example`. */
export function isUserName(name: string): boolean {
  return /^[^./\s\p{C}][^/\s\p{C}]{0,99}$/u.test(name);
}

function isAnnounced(entry: unknown): entry is { readonly owner: Owner; readonly count: number } {
  if (typeof entry !== 'object' || entry === null) return false;
  const { owner, count } = entry as { readonly owner?: Partial<Owner>; readonly count?: unknown };
  return (
    typeof owner?.uid === 'number' &&
    isPerson(owner.uid) &&
    typeof owner.name === 'string' &&
    isUserName(owner.name) &&
    typeof count === 'number'
  );
}
