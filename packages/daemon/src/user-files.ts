import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { equal } from '@aovpn/bytes';
import type { Owner } from '@aovpn/api';
import { openUserFiles, type UserFile, writeFileAtomically } from '@aovpn/host';
import { DaemonError } from './daemon-error.ts';
import { askNameService } from './identity-lookup.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import { userId } from './user-database.ts';
import type { UserSettings } from './user-settings.ts';

export interface UserFilesOptions {
  /** Below the run directory: it is gone with the machine's power. */
  readonly directory: string;
  readonly settings: () => UserSettings;
  readonly log: Log;
  /** Files of somebody are others. */
  readonly onChange: () => void;
}

/**
 * Copies of what users have brought, root's alone, made from what a process with the user's rights has read. From here on they are files like
 * any other; they go when the user leaves.
 */
export class UserFiles {
  readonly #options: UserFilesOptions;
  readonly #readers = new Map<string, { readonly counts: string; close(): void }>();
  /** One writing after the other. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: UserFilesOptions) {
    this.#options = options;
  }

  directoryOf(owner: Owner): string {
    return path.join(this.#options.directory, owner.name);
  }

  /** Nobody's files are left of an earlier run. */
  async start(): Promise<void> {
    await rm(this.#options.directory, { recursive: true, force: true });
  }

  /** Reads the files of those who are signed in and may bring some, and of nobody else. */
  follow(users: readonly Owner[]): void {
    const wanted = new Map(users.filter((owner) => this.#mayBring(owner)).map((owner) => [owner.name, owner]));
    const { ownFiles } = this.#options.settings();
    for (const [name, reader] of this.#readers) {
      if (wanted.has(name) && reader.counts === ownFiles) continue;
      this.#readers.delete(name);
      reader.close();
      this.#write(() => rm(path.join(this.#options.directory, name), { recursive: true, force: true }));
    }
    for (const [name, owner] of wanted)
      if (!this.#readers.has(name)) this.#readers.set(name, { counts: ownFiles, ...this.#read(owner) });
  }

  async close(): Promise<void> {
    this.follow([]);
    await this.#writing;
    await rm(this.#options.directory, { recursive: true, force: true });
  }

  #mayBring({ uid }: Owner): boolean {
    const { ownFiles, ownFilesOf } = this.#options.settings();
    return ownFiles !== 'none' && (ownFilesOf === undefined || ownFilesOf.some((user) => userId(user) === uid));
  }

  #read(owner: Owner): { close(): void } {
    const { log } = this.#options;
    let reader: { close(): void } | undefined;
    let closed = false;
    void askNameService('passwd', [String(owner.uid)]).then((lines) => {
      // passwd(5): name, password, uid, gid, comment, home, shell.
      const [user, , uid, gid, , home] = lines[0]?.split(':') ?? [];
      if (closed) return;
      if (
        user === undefined ||
        Number(uid) !== owner.uid ||
        !/^\d+$/.test(gid ?? '') ||
        home === undefined ||
        !path.isAbsolute(home)
      ) {
        log.warn(new DaemonError('AOV-DAEMON-563', `${owner.name} has no home`).message);
        return;
      }
      reader = openUserFiles({
        uid: owner.uid,
        gid: Number(gid),
        user,
        home,
        onFiles: (files, skipped) => {
          for (const why of skipped) log.warn(new DaemonError('AOV-DAEMON-563', `${owner.name}: ${why}`).message);
          this.#write(async () => {
            if (!closed && (await this.#copy(owner, files))) this.#options.onChange();
          });
        },
        onRefused: (why) => log.warn(new DaemonError('AOV-DAEMON-563', `${owner.name}: ${why}`).message),
      });
    });
    return {
      close: () => {
        closed = true;
        reader?.close();
      },
    };
  }

  /** @returns whether anything is different now */
  async #copy(owner: Owner, files: readonly UserFile[]): Promise<boolean> {
    const directory = this.directoryOf(owner);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Profiles that do not count would only be told as refused.
    const counts = this.#options.settings().ownFiles === 'profiles';
    const taken = new Map(
      files.filter(({ name }) => counts || !/\.xml$/i.test(name)).map(({ name, content }) => [name, content]),
    );
    let changed = false;
    for (const name of await readdir(directory)) {
      if (taken.has(name)) continue;
      await rm(path.join(directory, name), { recursive: true, force: true });
      changed = true;
    }
    for (const [name, content] of taken) {
      const file = path.join(directory, name);
      const before = await readFile(file).catch(() => undefined);
      if (before && equal(before, content)) continue;
      await writeFileAtomically(file, content, 0o600);
      changed = true;
    }
    for (const { content } of files) content.fill(0);
    return changed;
  }

  #write(act: () => Promise<void>): void {
    this.#writing = this.#writing
      .then(act)
      .catch((error: unknown) => this.#options.log.error(`files of users could not be copied: ${messageOf(error)}`));
  }
}
