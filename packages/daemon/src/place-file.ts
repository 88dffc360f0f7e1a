import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from '@aovpn/host';
import { formatAddress, parseAddress } from '@aovpn/bytes';
import type { Places } from '@aovpn/supervisor';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** Where connections have worked, kept across restarts: names of gateways and their addresses, no secrets. Losing it costs a moment. */
export class PlaceFile {
  readonly #file: string;
  readonly #log: Log;
  #places = new Map<string, Places>();
  /** Writings go one after the other. */
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  async read(): Promise<ReadonlyMap<string, Places>> {
    try {
      const document: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      if (typeof document !== 'object' || document === null) throw new TypeError('not an object');
      this.#places = new Map(Object.entries(document).map(([name, list]) => [name, readPlaces(list)]));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#file} cannot be read, so no gateway is tried before another: ${messageOf(error)}`);
    }
    return new Map(this.#places);
  }

  async keep(name: string, places: Places): Promise<void> {
    this.#places.set(name, places);
    await this.#write();
  }

  async forget(name: string): Promise<void> {
    if (this.#places.delete(name)) await this.#write();
  }

  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const document = Object.fromEntries(
        [...this.#places].map(([name, places]) => [
          name,
          places.map(({ server, address, transport }) => ({ server, address: formatAddress(address), transport })),
        ]),
      );
      try {
        await writeFileAtomically(this.#file, `${JSON.stringify(document)}\n`, 0o600);
      } catch (error) {
        this.#log.warn(`where connections worked could not be written to ${this.#file}: ${messageOf(error)}`);
      }
    });
    return this.#writing;
  }
}

function readPlaces(list: unknown): Places {
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: { readonly server?: unknown; readonly address?: unknown; readonly transport?: unknown } | null) => {
    const address = typeof entry?.address === 'string' ? parseAddress(entry.address) : undefined;
    return typeof entry?.server === 'string' && address
      ? [{ server: entry.server, address, transport: entry.transport === 'tcp' ? 'tcp' : 'udp' }]
      : [];
  });
}
