import { closeCanary, sendCanary, type Canary } from '@aovpn/host';

/** Connections under way that stay open, so that the kernel repeats their SYN while things change. */
const openConnections = 32;

export interface CanaryCounts {
  readonly tried: number;
  readonly taken: number;
  readonly underPromise: number;
  readonly refused: Readonly<Record<string, number>>;
}

/** Sends one canary after the other, round and round. */
export class CanarySender {
  #canaries: readonly Canary[] = [];
  readonly #promised: () => boolean;
  readonly #connections: number[] = [];
  readonly #refused = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #next = 0;
  #tried = 0;
  #taken = 0;
  #underPromise = 0;

  /** @param promised whether what is sent now must not be seen */
  constructor(promised: () => boolean) {
    this.#promised = promised;
  }

  get counts(): CanaryCounts {
    return {
      tried: this.#tried,
      taken: this.#taken,
      underPromise: this.#underPromise,
      refused: Object.fromEntries([...this.#refused].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  use(canaries: readonly Canary[]): void {
    this.#canaries = canaries;
  }

  start(perSecond: number): void {
    // A timer that fires late makes up for it: the rate is a promise to the reader of the report.
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      const due = Math.min(200, Math.floor(((now - last) * perSecond) / 1000));
      if (due > 0) last = now;
      for (let i = 0; i < due; i++) this.#send();
    }, 5);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const fd of this.#connections.splice(0)) closeCanary(fd);
  }

  #send(): void {
    const canary = this.#canaries[this.#next++ % Math.max(1, this.#canaries.length)];
    if (!canary) return;
    this.#tried++;
    if (this.#promised()) this.#underPromise++;
    const { result, fd } = sendCanary(canary);
    if (result === 'sent') this.#taken++;
    else this.#refused.set(result, (this.#refused.get(result) ?? 0) + 1);
    if (fd === undefined) return;
    this.#connections.push(fd);
    if (this.#connections.length > openConnections) closeCanary(this.#connections.shift()!);
  }
}
