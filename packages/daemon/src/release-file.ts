import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from '@aovpn/host';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** Who released the LockDown of a profile, and when. */
export interface Release {
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

/** Profiles whose LockDown root has released, kept across restarts. What cannot be read counts as not released. */
export class ReleaseFile {
  readonly #file: string;
  readonly #log: Log;
  #releases: ReadonlyMap<string, Release> = new Map();

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  get releases(): ReadonlyMap<string, Release> {
    return this.#releases;
  }

  async read(): Promise<void> {
    try {
      const found: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      if (typeof found !== 'object' || found === null || Array.isArray(found)) throw new TypeError('not a table');
      this.#releases = new Map(Object.entries(found).filter((entry): entry is [string, Release] => isRelease(entry[1])));
    } catch (error) {
      this.#releases = new Map();
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.error(`${this.#file} cannot be read, so no LockDown counts as released: ${messageOf(error)}`);
    }
  }

  /** @throws {Error} of the file system; then nothing has changed */
  async add(names: readonly string[], release: Release): Promise<void> {
    await this.#write(new Map([...this.#releases, ...names.map((name) => [name, release] as const)]));
  }

  /** @throws {Error} of the file system; then nothing has changed */
  async remove(names: readonly string[]): Promise<void> {
    if (names.some((name) => this.#releases.has(name)))
      await this.#write(new Map([...this.#releases].filter(([name]) => !names.includes(name))));
  }

  async #write(releases: ReadonlyMap<string, Release>): Promise<void> {
    await writeFileAtomically(this.#file, `${JSON.stringify(Object.fromEntries(releases))}\n`, 0o600);
    this.#releases = releases;
  }
}

function isRelease(value: unknown): value is Release {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<Release>).at === 'string' &&
    typeof (value as Partial<Release>).by === 'string'
  );
}
