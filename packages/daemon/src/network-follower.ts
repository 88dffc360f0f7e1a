import { formatAddress } from '@aovpn/bytes';
import type { Network, NetworkFacts } from '@aovpn/host';
import type { SupervisorOccurrence } from '@aovpn/supervisor';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** Connecting begins once the network has been quiet for so long; tunnels that are up move at once. Milliseconds. */
const networkQuiet = 250;

export interface NetworkFollowerOptions {
  readonly network: Network;
  readonly log: Log;
  /** The facts are new; the supervisor does not know them yet. */
  readonly onFacts: () => void;
  /** Whether some tunnel is up. */
  readonly isUp: () => boolean;
  readonly say: (occurrence: SupervisorOccurrence) => void;
  /** Puts what depends on the network right; `readFacts` tells the supervisor and comes in between. */
  readonly refresh: (readFacts: () => Promise<void>) => Promise<void>;
}

/** Tells the supervisor what the network is, and when it changes. */
export class NetworkFollower {
  readonly #options: NetworkFollowerOptions;
  readonly #watches: { close(): void }[] = [];
  #facts: NetworkFacts | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #stale = false;
  #busy = false;
  #closed = false;

  constructor(options: NetworkFollowerOptions) {
    this.#options = options;
  }

  /** What the network was when it was last looked at. */
  get facts(): NetworkFacts | undefined {
    return this.#facts;
  }

  watch(): void {
    const { network, log, isUp } = this.#options;
    const changes = network.watchNetwork((change) => {
      log.debug(`network: ${change.kinds.join(', ')} changed`);
      clearTimeout(this.#quiet);
      if (isUp()) void this.#changed();
      else this.#quiet = setTimeout(() => void this.#changed(), networkQuiet);
    });
    this.#watches.push(changes);
  }

  /** Looks although nobody said that anything changed. */
  look(): void {
    void this.#changed();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#quiet);
    for (const watch of this.#watches) watch.close();
  }

  /** Looks, and tells the supervisor. @throws {HostError} */
  async read(): Promise<void> {
    const facts = await this.#options.network.networkFacts();
    this.#facts = facts;
    this.#options.onFacts();
    const usable = facts.addresses.filter(({ device }) => facts.running.includes(device));
    const has = (family: 4 | 6): boolean => usable.some(({ prefix }) => prefix.address.family === family);
    const fingerprint = [
      ...usable.map(({ device, prefix }) => `${device} ${formatAddress(prefix.address)}`).sort(),
      ...facts.defaultRoutes.map(({ family, device, gateway }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''}`),
    ].join('\n');
    this.#options.say({ kind: 'network', network: { v4: has(4), v6: has(6), fingerprint } });
  }

  /** Takes in what is true now; a change while that is under way is looked at once more afterwards. */
  async #changed(): Promise<void> {
    this.#stale = true;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#stale && !this.#closed) {
      this.#stale = false;
      try {
        await this.#options.refresh(() => this.read());
      } catch (error) {
        this.#options.log.error(`after a change of the network: ${messageOf(error)}`);
      }
    }
    this.#busy = false;
  }
}
