import { readFile } from 'node:fs/promises';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import { writeFileAtomically } from './write-file.ts';

/** Which connections a person has put down, kept across restarts. */
export class HeldFile {
  readonly #file: string;
  readonly #log: Log;

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  async read(): Promise<readonly string[]> {
    try {
      const names: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      if (!Array.isArray(names)) throw new TypeError('not a list');
      return names.filter((name): name is string => typeof name === 'string');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#file} cannot be read, so nothing is held down: ${messageOf(error)}`);
      return [];
    }
  }

  async write(names: readonly string[]): Promise<void> {
    try {
      await writeFileAtomically(this.#file, `${JSON.stringify(names)}\n`, 0o600);
    } catch (error) {
      this.#log.error(
        `what is held down could not be written to ${this.#file} and will not survive a restart: ${messageOf(error)}`,
      );
    }
  }
}
