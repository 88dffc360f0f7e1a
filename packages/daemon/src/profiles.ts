import type { Owner, ProfileStatus } from '@aovpn/api';
import type { ProfileStore, StoredProfile, StoreChange } from './profile-store.ts';

export interface ProfilesOptions {
  readonly machine: ProfileStore;
  /** Who is signed in now. */
  readonly signedIn: () => readonly Owner[];
  /** A store for somebody who has just signed in. */
  readonly open: (owner: Owner) => ProfileStore;
}

/** What divides the user from the file in the name of a profile. No file name has it, so that no two names are alike. */
export const ownerMark = '/';

/** All profiles: the machine's, and those of everybody who is signed in. A user's are called `USER/NAME`, and go when the user does. */
export class Profiles {
  readonly #options: ProfilesOptions;
  readonly #users = new Map<number, { readonly owner: Owner; readonly store: ProfileStore }>();

  constructor(options: ProfilesOptions) {
    this.#options = options;
  }

  /** Whose profile it is; undefined: the machine's, or nobody's. */
  ownerOf(name: string): Owner | undefined {
    const at = name.indexOf(ownerMark);
    if (at < 0) return undefined;
    const user = name.slice(0, at);
    return [...this.#users.values()].find(({ owner }) => owner.name === user)?.owner;
  }

  /** Whether any profile is this user's. */
  owns(uid: number): boolean {
    return (this.#users.get(uid)?.store.names().length ?? 0) > 0;
  }

  get(name: string): StoredProfile | undefined {
    return this.#storeOf(name)?.get(name);
  }

  has(name: string): boolean {
    return this.#storeOf(name)?.has(name) ?? false;
  }

  /**
   * The profile that this user means by a name: it itself, or one of their own without its prefix. The machine's go first, so that nobody's file
   * changes what a name means.
   */
  meant(name: string, uid: number): string {
    if (this.has(name)) return name;
    const owner = this.#users.get(uid)?.owner;
    const own = owner && `${owner.name}${ownerMark}${name}`;
    return own !== undefined && this.has(own) ? own : name;
  }

  names(): readonly string[] {
    return this.#stores()
      .flatMap((store) => store.names())
      .sort();
  }

  status(name: string): ProfileStatus | undefined {
    const status = this.#storeOf(name)?.status(name);
    const owner = this.ownerOf(name);
    return status && { ...status, ...(owner && { owner }) };
  }

  statuses(): readonly ProfileStatus[] {
    return this.names().map((name) => this.status(name)!);
  }

  /** @throws {DaemonError} AOV-DAEMON-515 */
  check(name: string, bytes: Uint8Array): void {
    (this.#storeOf(name) ?? this.#options.machine).check(name, bytes);
  }

  fileOf(name: string): string {
    return (this.#storeOf(name) ?? this.#options.machine).fileOf(name);
  }

  /** Looks at who is signed in, and at every directory anew. */
  scan(): Promise<readonly StoreChange[]> {
    return this.#look((store) => store.scan());
  }

  /** The same although no file has changed: the settings have. */
  reconsider(): Promise<readonly StoreChange[]> {
    return this.#look((store) => store.reconsider());
  }

  async #look(scan: (store: ProfileStore) => Promise<readonly StoreChange[]>): Promise<readonly StoreChange[]> {
    const { signedIn, open } = this.#options;
    const here = signedIn();
    const changes: StoreChange[] = [];
    for (const [uid, { owner, store }] of this.#users) {
      // Another name for the same number is another user to everything that goes by names.
      if (here.some((other) => other.uid === uid && other.name === owner.name)) continue;
      this.#users.delete(uid);
      changes.push(...store.names().map((name): StoreChange => ({ kind: 'left', name })));
    }
    for (const owner of here) if (!this.#users.has(owner.uid)) this.#users.set(owner.uid, { owner, store: open(owner) });
    for (const store of this.#stores()) changes.push(...(await scan(store)));
    return changes;
  }

  #stores(): readonly ProfileStore[] {
    return [this.#options.machine, ...[...this.#users.values()].map(({ store }) => store)];
  }

  #storeOf(name: string): ProfileStore | undefined {
    if (!name.includes(ownerMark)) return this.#options.machine;
    const owner = this.ownerOf(name);
    return owner && this.#users.get(owner.uid)?.store;
  }
}
