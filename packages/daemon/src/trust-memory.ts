import { readFile } from 'node:fs/promises';
import { encodeUtf8, equal } from '@aovpn/bytes';
import { writeFileAtomically } from '@aovpn/host';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** RADIUS servers remembered for one profile; the oldest makes room. */
const serverLimit = 16;

interface Remembered {
  /** What the profile was when a person said yes: another one asks anew. */
  readonly profile: string;
  /** SHA-256 of certificates. */
  readonly servers: readonly string[];
}

/** RADIUS servers of which a person has said that they are the right ones, kept across restarts. */
export class TrustMemory {
  readonly #file: string;
  readonly #log: Log;
  #loaded: Promise<Map<string, Remembered>> | undefined;

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  async has(connection: string, profile: string, sha256: string): Promise<boolean> {
    const known = (await this.#load()).get(connection);
    return known?.profile === profile && known.servers.some((one) => equal(encodeUtf8(one), encodeUtf8(sha256)));
  }

  async add(connection: string, profile: string, sha256: string): Promise<void> {
    const all = await this.#load();
    const known = all.get(connection);
    const servers = known?.profile === profile ? known.servers.filter((one) => one !== sha256) : [];
    all.set(connection, { profile, servers: [...servers, sha256].slice(-serverLimit) });
    await this.#write(all);
  }

  async forget(connection: string): Promise<void> {
    const all = await this.#load();
    if (all.delete(connection)) await this.#write(all);
  }

  #load(): Promise<Map<string, Remembered>> {
    this.#loaded ??= this.#read();
    return this.#loaded;
  }

  async #read(): Promise<Map<string, Remembered>> {
    try {
      const entries = Object.entries(JSON.parse(await readFile(this.#file, 'utf8')) as Record<string, unknown>);
      return new Map(entries.filter((entry): entry is [string, Remembered] => isRemembered(entry[1])));
    } catch (error) {
      // Nothing is trusted then; a person is asked again.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#file} cannot be read, so no RADIUS server is remembered: ${messageOf(error)}`);
      return new Map();
    }
  }

  async #write(all: ReadonlyMap<string, Remembered>): Promise<void> {
    try {
      await writeFileAtomically(this.#file, `${JSON.stringify(Object.fromEntries(all))}\n`, 0o600);
    } catch (error) {
      this.#log.error(`trust in a RADIUS server could not be written to ${this.#file}: ${messageOf(error)}`);
    }
  }
}

function isRemembered(value: unknown): value is Remembered {
  if (typeof value !== 'object' || value === null) return false;
  const { profile, servers } = value as Partial<Remembered>;
  return typeof profile === 'string' && Array.isArray(servers) && servers.every((one) => typeof one === 'string');
}
