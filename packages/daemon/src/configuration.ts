import type { AppStore } from './app-store.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import type { StoreChange } from './profile-store.ts';
import type { Profiles } from './profiles.ts';
import type { SettingsFile } from './settings-file.ts';

export interface ConfigurationOptions {
  readonly settings: SettingsFile;
  readonly store: Profiles;
  readonly apps: AppStore;
  /** Settings are as they will be in force; before profiles and credentials are looked at. */
  readonly prepare: () => Promise<void>;
  /** Before profiles come into force: of a network that has just changed we hear a moment later. */
  readonly lookAtNetwork: () => Promise<void>;
  /** A profile came into force, was refused, or is gone. */
  readonly take: (change: StoreChange) => Promise<void>;
  /** Whether the credentials beside this profile, or its settings (`settingsChanged`), make it another one. */
  readonly load: (name: string, settingsChanged: boolean) => Promise<void>;
  /** Profiles or settings are others; before the plan is made anew. */
  readonly onChanged: () => void;
  readonly refreshPlan: () => Promise<void>;
  readonly log: Log;
}

/** Reads settings, profiles, credentials and applications anew and puts what changed into force, one time after the other. */
export class Configuration {
  readonly #options: ConfigurationOptions;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ConfigurationOptions) {
    this.#options = options;
  }

  async read(): Promise<void> {
    const mine = this.#reading.then(() => this.#read());
    this.#reading = mine.catch((error: unknown) =>
      this.#options.log.error(`reading the configuration failed: ${messageOf(error)}`),
    );
    await mine;
  }

  /** What is asked for from now on is not read any more. */
  close(): void {
    this.#closed = true;
  }

  async #read(): Promise<void> {
    if (this.#closed) return;
    const { settings, store, apps, prepare, lookAtNetwork, take, load, onChanged, refreshPlan, log } = this.#options;
    const settingsChanged = await settings.reload();
    await prepare();
    const changes = settingsChanged ? await store.reconsider() : await store.scan();
    if (changes.some(({ kind }) => kind === 'in-force')) await lookAtNetwork();
    for (const change of changes) await take(change);
    // Credentials beside profiles that did not change themselves.
    const taken = new Set(changes.flatMap((change) => (change.kind === 'in-force' ? [change.stored.name] : [])));
    for (const name of store.names()) if (!taken.has(name)) await load(name, settingsChanged);
    if (settingsChanged || changes.length > 0) onChanged();
    const appsChanged = apps.isLoaded && (await apps.load());
    if (changes.length > 0 || appsChanged || settingsChanged)
      await refreshPlan().catch((error: unknown) => log.error(`the plan could not be applied: ${messageOf(error)}`));
  }
}
