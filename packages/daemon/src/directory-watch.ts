import { watch, type FSWatcher } from 'node:fs';

/** Changes within this time are told once: editors and package managers write in several steps. */
const quietMs = 150;

/** Calls back after something in one of the directories changed, and every `pollMs` in any case: files elsewhere have no watch. */
export class DirectoryWatch {
  readonly #directories: () => readonly string[];
  readonly #onChange: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #poll: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;

  /** @param directories which may become others: looked at before each look */
  constructor(directories: readonly string[] | (() => readonly string[]), onChange: () => void, pollMs: number) {
    this.#directories = typeof directories === 'function' ? directories : () => directories;
    this.#onChange = onChange;
    this.#begin();
    this.#poll = setInterval(() => {
      // A directory that was removed and made again has lost its watch.
      this.#begin();
      onChange();
    }, pollMs);
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #begin(): void {
    for (const directory of this.#directories()) {
      if (this.#watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, () => {
          clearTimeout(this.#quiet);
          this.#quiet = setTimeout(() => {
            // One of the others may have been made just now.
            this.#begin();
            this.#onChange();
          }, quietMs);
        });
        watcher.on('error', () => this.#drop(directory));
        watcher.on('close', () => this.#drop(directory));
        this.#watchers.set(directory, watcher);
      } catch {
        // Not there (yet): the poll tries again.
      }
    }
  }

  #drop(directory: string): void {
    const watcher = this.#watchers.get(directory);
    this.#watchers.delete(directory);
    watcher?.removeAllListeners('close');
    watcher?.close();
  }
}
