import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Host } from './host.ts';
import type { Fetched, FlowReport, ProbeRequest } from './probe/probe.ts';
import { hangMs, patience } from './patience.ts';
import type { Running } from './running.ts';

export interface FetchOptions {
  readonly family?: 4 | 6;
  /** Default 5 s. */
  readonly timeoutMs?: number;
}

/** An application on a host: it knows nothing of tunnels, it just uses names and addresses. */
export class Application {
  readonly #running: Running;
  readonly #waiting = new Map<number, { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }>();
  #asked = 0;

  constructor(host: Host) {
    const program = new URL('./probe/probe.ts', import.meta.url).pathname;
    this.#running = host.spawn([process.execPath, program], { name: 'application', pipes: true });
    this.#running.stdin!.on('error', () => undefined);
    createInterface({ input: this.#running.stdout! }).on('line', (line) => {
      const { id, value, error } = JSON.parse(line) as {
        id: number;
        value?: unknown;
        error?: { message: string; code?: string };
      };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
      else waiting?.resolve(value as never);
    });
    void this.#running.exited.then(() => {
      for (const waiting of this.#waiting.values())
        waiting.reject(new Error(`the application ended: ${this.#running.spawnError?.message ?? ''}`));
    });
  }

  fetch(url: string, options: FetchOptions = {}): Promise<Fetched> {
    return this.#ask({
      op: 'fetch',
      url,
      ...options,
      timeoutMs: options.timeoutMs === undefined ? hangMs : options.timeoutMs * patience,
    });
  }

  /** Tries again until the page comes; for measuring how long something takes to work. */
  fetchUntil(
    url: string,
    options: FetchOptions & { readonly everyMs?: number } = {},
  ): Promise<Fetched & { readonly waitedMs: number }> {
    return this.#ask({ op: 'fetch-until', url, timeoutMs: 2 * hangMs, everyMs: 10, ...options });
  }

  async resolve(name: string, family?: 4 | 6): Promise<string[]> {
    const found = await this.#ask<{ address: string }[]>({ op: 'resolve', name, ...(family ? { family } : {}) });
    return found.map(({ address }) => address);
  }

  connect(address: string, port: number, timeoutMs = hangMs): Promise<{ readonly localAddress: string }> {
    return this.#ask({ op: 'connect', address, port, timeoutMs });
  }

  /** Numbered datagrams to an echo server, until `stop`. */
  async flow(address: string, port: number, perSecond: number, size = 200): Promise<Flow> {
    const name = `flow-${this.#asked}`;
    await this.#ask({ op: 'flow-start', flow: name, address, port, perSecond, size });
    return {
      look: () => this.#ask({ op: 'flow-look', flow: name }),
      stop: (drainMs = 2000) => this.#ask({ op: 'flow-stop', flow: name, drainMs }),
    };
  }

  #ask<T>(request: ProbeRequest): Promise<T> {
    const id = ++this.#asked;
    return new Promise<T>((resolve, reject) => {
      if (this.#running.exit) return reject(new Error(`the application has ended:\n${this.#running.spawnError?.message ?? ''}`));
      this.#waiting.set(id, { resolve, reject });
      this.#running.stdin!.write(`${JSON.stringify({ id, request })}\n`);
    });
  }
}

export interface Flow {
  look(): Promise<FlowReport>;
  /** @param drainMs how long to wait for another late answer; no longer than until nothing is missing. */
  stop(drainMs?: number): Promise<FlowReport>;
}
