import { readFile, rm } from 'node:fs/promises';
import { writeFileAtomically } from '@aovpn/host';
import type { SessionTicket } from '@aovpn/ike';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

interface Kept {
  /** What the connection was when the ticket was granted: another one does not use it. */
  readonly key: string;
  readonly ticket: SessionTicket;
  /** Milliseconds of the clock on the wall. */
  readonly until: number;
}

/**
 * Tickets of session resumption (RFC 5723), one for each connection. They are as good as the authentication that earned them, so they live
 * in memory and in a file of root below the run directory, which is memory too: a daemon that is started again goes on with them, a machine
 * that is switched off does not.
 */
export class TicketStore {
  readonly #file: string;
  readonly #log: Log;
  readonly #clock: () => number;
  readonly #kept = new Map<string, Kept>();
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, log: Log, clock: () => number = Date.now) {
    this.#file = file;
    this.#log = log;
    this.#clock = clock;
  }

  async load(): Promise<void> {
    try {
      const entries = Object.entries((JSON.parse(await readFile(this.#file, 'utf8'), revive) ?? {}) as Record<string, unknown>);
      for (const [name, kept] of entries) if (isKept(kept)) this.#kept.set(name, kept);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(`${this.#file} cannot be read, so no session is resumed: ${messageOf(error)}`);
    }
  }

  /** The ticket of this very connection, while it is good. */
  find(name: string, key: string): SessionTicket | undefined {
    const kept = this.#kept.get(name);
    if (!kept) return undefined;
    if (kept.key === key && kept.until > this.#clock()) return kept.ticket;
    this.forget(name);
    return undefined;
  }

  keep(name: string, key: string, ticket: SessionTicket, lifetimeMs: number): void {
    this.#overwrite(name);
    this.#kept.set(name, { key, ticket, until: this.#clock() + lifetimeMs });
    this.#write();
  }

  forget(name: string): void {
    if (!this.#kept.has(name)) return;
    this.#overwrite(name);
    this.#kept.delete(name);
    this.#write();
  }

  /** Resolves when everything is in the file. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #overwrite(name: string): void {
    this.#kept.get(name)?.ticket.skD.fill(0);
  }

  #write(): void {
    this.#writing = this.#writing.then(async () => {
      try {
        if (this.#kept.size === 0) return await rm(this.#file, { force: true });
        await writeFileAtomically(this.#file, JSON.stringify(Object.fromEntries(this.#kept), replace), 0o600);
      } catch (error) {
        this.#log.warn(`tickets could not be written to ${this.#file}: ${messageOf(error)}`);
      }
    });
  }
}

function replace(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { octets: Buffer.from(value).toString('base64') } : value;
}

function revive(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('octets' in value) || typeof value.octets !== 'string') return value;
  return new Uint8Array(Buffer.from(value.octets, 'base64'));
}

/** The file is ours alone; this is for one of another version. */
function isKept(value: unknown): value is Kept {
  if (typeof value !== 'object' || value === null) return false;
  const { key, ticket, until } = value as Partial<Kept>;
  const octets = [ticket?.ticket, ticket?.skD, ticket?.identity?.data, ticket?.gatewayIdentity?.data];
  return (
    typeof key === 'string' &&
    typeof until === 'number' &&
    typeof ticket?.suite === 'object' &&
    typeof ticket.gatewaySubject === 'string' &&
    octets.every((part) => part instanceof Uint8Array)
  );
}
