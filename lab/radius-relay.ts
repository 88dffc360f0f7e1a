import process from 'node:process';
import { createInterface, type Interface } from 'node:readline';
import type { RadiusServer } from './gateway/strongswan.ts';
import type { Host } from './host.ts';
import type { RadiusRelayPlace, RadiusRelaySettings } from './relay/radius-relay.ts';
import type { Running } from './running.ts';

const port = 1645;

/** What lies between a gateway and its RADIUS server: passes everything on until it is told otherwise. Runs on the gateway. */
export class RadiusRelay {
  readonly #running: Running;
  readonly #lines: Interface;
  /** Each answer that was held back so far. */
  held = 0;
  readonly #secret: string;

  private constructor(running: Running, secret: string) {
    this.#running = running;
    this.#secret = secret;
    this.#lines = createInterface({ input: running.stdout! });
    this.#lines.on('line', (line) => {
      if (line === 'holding') this.held++;
    });
  }

  static async start(host: Host, server: RadiusServer): Promise<RadiusRelay> {
    const program = new URL('./relay/radius-relay.ts', import.meta.url).pathname;
    const place: RadiusRelayPlace = { port, server };
    const running = host.spawn([process.execPath, program, JSON.stringify(place)], { name: 'radius-relay', pipes: true });
    const relay = new RadiusRelay(running, server.secret);
    await relay.#says('ready');
    return relay;
  }

  /** What the gateway is to be told of. */
  get server(): RadiusServer {
    return { address: '127.0.0.1', port, secret: this.#secret };
  }

  /** What happens to answers from now on. `{}`: they pass. */
  async set(settings: RadiusRelaySettings): Promise<void> {
    const heard = this.#says('set');
    this.#running.stdin!.write(`${JSON.stringify(settings)}\n`);
    await heard;
  }

  async stop(): Promise<void> {
    await this.#running.stop();
  }

  #says(word: string): Promise<void> {
    return new Promise((resolve, reject) => {
      let heard = false;
      const listen = (line: string): void => {
        if (line !== word) return;
        heard = true;
        this.#lines.off('line', listen);
        resolve();
      };
      this.#lines.on('line', listen);
      void this.#running.exited.then((exit) => {
        if (!heard) reject(new Error(`the RADIUS relay ended (${JSON.stringify(exit)}):\n${this.#running.output()}`));
      });
    });
  }
}
