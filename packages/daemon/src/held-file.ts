import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from '@aovpn/host';
import type { Hold } from '@aovpn/supervisor';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** Which connections people have put down, kept across restarts. */
export class HeldFile {
  readonly #file: string;
  readonly #log: Log;

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  async read(): Promise<ReadonlyMap<string, Hold>> {
    try {
      const holds: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      if (typeof holds !== 'object' || holds === null || Array.isArray(holds)) throw new TypeError('not a table');
      return new Map(
        Object.entries(holds as Readonly<Record<string, Partial<Hold>>>).map(([name, { by, since, ends }]) => [
          name,
          { by: String(by), since: String(since), ends: String(ends) },
        ]),
      );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#file} cannot be read, so nothing is held down: ${messageOf(error)}`);
      return new Map();
    }
  }

  async write(holds: ReadonlyMap<string, Hold>): Promise<void> {
    try {
      await writeFileAtomically(this.#file, `${JSON.stringify(Object.fromEntries(holds))}\n`, 0o600);
    } catch (error) {
      this.#log.error(
        `what is held down could not be written to ${this.#file} and will not survive a restart: ${messageOf(error)}`,
      );
    }
  }
}
