/** How bad the network is. */
export interface Weather {
  /** Chance that a datagram is lost, or delivered twice. */
  readonly loss: number;
  readonly repetition: number;
  /** Largest delay, milliseconds; datagrams overtake each other. */
  readonly delayMs: number;
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

/** Time and datagrams of a simulated world: whatever happens, happens in the order of one queue, which follows from the dice alone. */
export class SimulatedNetwork {
  weather: Weather;
  /** Milliseconds. */
  now = 1000;
  /** Nothing gets through before. */
  outageUntil = 0;
  readonly #next: () => number;
  readonly #events: Event[] = [];

  constructor(next: () => number, weather: Weather) {
    this.#next = next;
    this.weather = weather;
  }

  after(ms: number, run: () => void): void {
    const event = { at: this.now + ms, run };
    const index = this.#events.findIndex(({ at }) => at > event.at);
    this.#events.splice(index < 0 ? this.#events.length : index, 0, event);
  }

  get nextAt(): number {
    return this.#events[0]?.at ?? Infinity;
  }

  /** Runs what is first in the queue. */
  runFirst(): void {
    this.#events.shift()?.run();
  }

  carry(datagrams: readonly Uint8Array[], receive: (datagram: Uint8Array) => void): void {
    for (const datagram of datagrams) {
      const { loss, repetition, delayMs } = this.weather;
      if (this.now < this.outageUntil) continue;
      if (this.#next() >= loss) this.after(this.#next() * delayMs, () => receive(datagram));
      if (this.#next() < repetition) this.after(this.#next() * delayMs, () => receive(datagram));
    }
  }
}
