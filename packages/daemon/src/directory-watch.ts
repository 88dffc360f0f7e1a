import { existsSync, watch, type FSWatcher } from 'node:fs';
import path from 'node:path';

/** Changes within this time are told once: editors and package managers write in several steps. */
const quietMs = 150;

export interface DirectoryWatchOptions {
  /** They may become others: looked at before each look. */
  readonly directories: () => readonly string[];
  readonly onChange: () => void;
  /**
   * It is called back after so many milliseconds in any case: what is told to nobody (file systems of the network, cards in readers) has no watch.
   * Asked anew after each look, and after {@link DirectoryWatch.pace}.
   */
  readonly pollMs: () => number;
}

/** Calls back after something in one of the directories changed. */
export class DirectoryWatch {
  readonly #options: DirectoryWatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  #poll: NodeJS.Timeout | undefined;
  #pollMs = 0;
  #quiet: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DirectoryWatchOptions) {
    this.#options = options;
    this.#begin();
    this.pace();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#poll);
    clearTimeout(this.#quiet);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** How often to look may be another: a shorter time begins now. */
  pace(): void {
    const pollMs = this.#options.pollMs();
    if (this.#closed || pollMs === this.#pollMs) return;
    this.#pollMs = pollMs;
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#poll);
    this.#poll = setTimeout(() => {
      // A directory that was removed and made again has lost its watch.
      this.#begin();
      this.#options.onChange();
      this.#pollMs = this.#options.pollMs();
      this.#arm();
    }, this.#pollMs);
  }

  #begin(): void {
    if (this.#closed) return;
    const wanted = new Set(this.#options.directories());
    const nearest = new Set([...wanted].map((directory) => nearestThere(directory)));
    for (const directory of this.#watchers.keys()) if (!nearest.has(directory)) this.#drop(directory);
    for (const directory of nearest) {
      if (this.#watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, () => this.#changed(directory));
        watcher.on('error', () => this.#drop(directory));
        watcher.on('close', () => this.#drop(directory));
        this.#watchers.set(directory, watcher);
      } catch {
        // Gone meanwhile, or the kernel has no watch left: the poll tries again.
      }
    }
  }

  #changed(directory: string): void {
    const wanted = this.#options.directories();
    // Above one that is not there yet, only its coming is news.
    if (!wanted.includes(directory) && wanted.every((one) => this.#watchers.has(nearestThere(one)))) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      // One of the others may have been made just now.
      this.#begin();
      this.#options.onChange();
    }, quietMs);
  }

  #drop(directory: string): void {
    const watcher = this.#watchers.get(directory);
    this.#watchers.delete(directory);
    watcher?.removeAllListeners('close');
    watcher?.close();
  }
}

/** The directory itself, or the nearest one above it that exists. */
function nearestThere(directory: string): string {
  while (!existsSync(directory) && path.dirname(directory) !== directory) directory = path.dirname(directory);
  return directory;
}
