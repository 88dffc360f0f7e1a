import { silenceMs, type DataPlaneStats } from '@aovpn/esp';

/**
 * ICMP and the kernel may say that the path is broken; nothing of that is authenticated, so it is only a hint to ask the gateway
 * (RFC 7296 §2.4), and one that a stranger can give at most so often, milliseconds. Of silence as often is told, whatever strangers say.
 */
const hintInterval = 5_000;
/** What left may be answered within this time; where nobody tells that something left, it is looked for this often. Milliseconds. */
const answerMs = 1_000;

export interface GatewayWatchPorts {
  /** The data plane does not tell when packets go unanswered: it is asked, by a timer. */
  readonly polls: () => boolean;
  /** Undefined: there is no tunnel to count packets of. */
  readonly stats: () => Promise<DataPlaneStats | undefined>;
  /** Whether anything on the gateway's port answers a stranger; resolves within some seconds. */
  readonly probe: () => Promise<boolean>;
  /** The gateway should be asked whether it is there. */
  readonly ask: () => void;
  /** Packets leave, and none comes in. */
  readonly unanswered: (lastInboundAt: number | undefined) => void;
  readonly answersStrangers: () => void;
}

/** Gathers hints that the gateway of a live tunnel has gone, none of which is believed: each only leads to a question that is authenticated. */
export class GatewayWatch {
  /** The gateway is being asked, and does not answer. */
  silent = false;
  readonly #ports: GatewayWatchPorts;
  #startedAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hintTaken = -Infinity;
  #silenceTold = -Infinity;
  #packetsOut = 0;
  #probing = false;

  constructor(ports: GatewayWatchPorts) {
    this.#ports = ports;
  }

  /** The tunnel carries traffic from now on. */
  start(): void {
    this.#startedAt = performance.now();
    if (this.#ports.polls()) this.#timer = setInterval(() => void this.#lookForOneWayTraffic(), answerMs);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#startedAt = undefined;
  }

  /** A packet left, and none has come for a while: if that stays so, it is a hint. */
  unanswered(): void {
    if (this.#ports.polls() || this.#startedAt === undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#look().then((stats) => this.#heedSilence(stats));
    }, answerMs);
  }

  hint(): void {
    if (!this.#mayTell(this.#hintTaken)) return;
    this.#hintTaken = performance.now();
    this.#ports.ask();
  }

  async probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    try {
      if (await this.#ports.probe()) this.#ports.answersStrangers();
    } finally {
      this.#probing = false;
    }
  }

  async #lookForOneWayTraffic(): Promise<void> {
    const stats = await this.#look();
    const { packetsOut = 0 } = stats ?? {};
    const sent = packetsOut > this.#packetsOut;
    this.#packetsOut = packetsOut;
    if (sent) this.#heedSilence(stats);
  }

  #heedSilence(stats: DataPlaneStats | undefined): void {
    const now = performance.now();
    if (now - (stats?.lastInboundAt ?? this.#startedAt ?? Infinity) <= silenceMs || !this.#mayTell(this.#silenceTold)) return;
    this.#silenceTold = now;
    this.#ports.unanswered(stats?.lastInboundAt);
  }

  /** Once the gateway is being asked, another question would only put off the answer "it is gone". */
  #mayTell(toldAt: number): boolean {
    return this.#startedAt !== undefined && !this.silent && performance.now() - toldAt >= hintInterval;
  }

  #look(): Promise<DataPlaneStats | undefined> {
    return this.#ports.stats().catch(() => undefined);
  }
}
