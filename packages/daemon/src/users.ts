import path from 'node:path';
import type { Owner } from '@aovpn/api';
import { enrolledFile } from '@aovpn/host';
import type { CredentialStem } from './credentials.ts';
import { DaemonError } from './daemon-error.ts';
import { enrolledDirectory } from './enrolments.ts';
import type { Log } from './log.ts';
import type { DaemonOptions } from './options.ts';
import type { ProfileStore } from './profile-store.ts';
import type { Profiles } from './profiles.ts';
import type { ProfileSettings } from './profile-settings.ts';
import type { Settings } from './settings.ts';
import { findUser, isPerson, ownerOf, SignIns } from './sign-ins.ts';
import { userText } from './user-database.ts';
import { UserFiles } from './user-files.ts';
import { openUserStore, userDirectories, userStems, type UserStoreOptions } from './user-store.ts';

export interface UsersOptions {
  readonly options: Pick<DaemonOptions, 'configDir' | 'stateDir' | 'runDir'>;
  /** Where the machine's own profiles are. */
  readonly profilesDir: string;
  readonly settings: () => Settings;
  readonly store: () => Pick<Profiles, 'ownerOf' | 'fileOf'>;
  /** Somebody came or left, or their files are others. */
  readonly onChange: () => void;
  /** A session of this user began. */
  readonly onSession: (user: string) => void;
  readonly log: Log;
}

/** The people of this machine as far as connections go: who is signed in, and where what is theirs comes from. */
export class Users {
  readonly #options: UsersOptions;
  readonly #signIns: SignIns;
  readonly #files: UserFiles;
  #closed = false;

  constructor(options: UsersOptions) {
    this.#options = options;
    const { runDir } = options.options;
    const { log, onChange, settings } = options;
    this.#signIns = new SignIns({
      file: path.join(runDir, 'sessions.json'),
      onChange,
      onSession: ({ name }) => options.onSession(name),
      log,
    });
    this.#files = new UserFiles({ directory: path.join(runDir, 'users'), settings: () => settings().users, onChange, log });
  }

  /** Before profiles are read for the first time. */
  async start(): Promise<void> {
    await this.#files.start();
    await this.#signIns.start();
  }

  watch(): { close(): void } {
    return this.#signIns.watch();
  }

  /** Nothing is copied any more, and no copy is left. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#files.close();
  }

  signedIn(): readonly Owner[] {
    return this.#signIns.users();
  }

  /** The same, as profiles are read now: whose files count follows. */
  present(): readonly Owner[] {
    const users = this.signedIn();
    if (!this.#closed) this.#files.follow(users);
    return users;
  }

  /** Of root, for those who are signed in. */
  directories(): readonly string[] {
    return userDirectories(this.#options.options.configDir, this.signedIn());
  }

  openStore(owner: Owner): ProfileStore {
    return openUserStore(owner, this.#storeOptions());
  }

  /**
   * A session that nobody else tells of begins or ends; without `user` it is that of whoever asks, `by`.
   * @throws {DaemonError} AOV-DAEMON-513, AOV-DAEMON-564
   */
  async announceSession(opens: boolean, user: string | undefined, by: number): Promise<void> {
    const owner = user === undefined ? ownerOf(by, undefined) : await findUser(user);
    if (!owner || !isPerson(owner.uid))
      throw new DaemonError('AOV-DAEMON-513', `${user ?? userText(by)} is nobody who signs in here`);
    if (by !== 0 && by !== owner.uid) throw new DaemonError('AOV-DAEMON-564');
    // Who says so themselves says it once; PAM says it for each session.
    if (opens && (by === 0 || !this.signedIn().some(({ uid }) => uid === owner.uid))) await this.#signIns.open(owner);
    if (!opens) await this.#signIns.close(owner, by !== 0);
  }

  /** Whether its user has brought this profile. */
  hasBrought(name: string): boolean {
    const { ownerOf: ownerOfProfile, fileOf } = this.#store();
    const owner = ownerOfProfile(name);
    return owner !== undefined && path.dirname(fileOf(name)) === this.#files.directoryOf(owner);
  }

  /** Settings of a profile, an enrolled certificate by its file; a user's passwords are in that user's keyring unless they say otherwise. */
  settingsOf(name: string): ProfileSettings {
    const written = this.#options.settings().of(name);
    const { enrolment } = written;
    const settings =
      enrolment === undefined
        ? written
        : { ...written, certificate: enrolledFile(enrolledDirectory(this.#options.options.stateDir), enrolment) };
    const owner = this.#store().ownerOf(name);
    return owner && settings.secretService === undefined ? { ...settings, secretService: owner.uid } : settings;
  }

  /** Where the files of a profile are, the machine's included. */
  stemsOf(name: string): readonly CredentialStem[] {
    const { ownerOf: ownerOfProfile, fileOf } = this.#store();
    const owner = ownerOfProfile(name);
    if (!owner) return [{ path: path.join(this.#options.profilesDir, name), anchors: true }];
    return userStems(name, owner, fileOf(name), this.#storeOptions());
  }

  #store(): Pick<Profiles, 'ownerOf' | 'fileOf'> {
    const store = this.#options.store();
    return { ownerOf: (name) => store.ownerOf(name), fileOf: (name) => store.fileOf(name) };
  }

  #storeOptions(): UserStoreOptions {
    const { configDir, stateDir } = this.#options.options;
    return {
      configDir,
      stateDir,
      settings: (name) => this.settingsOf(name),
      ownDirectory: (owner) => this.#files.directoryOf(owner),
      log: this.#options.log,
    };
  }
}
