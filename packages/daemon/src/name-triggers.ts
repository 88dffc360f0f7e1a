import type { Connection } from '@aovpn/supervisor';

export interface NameTriggersOptions {
  readonly connections: () => ReadonlyMap<string, Connection>;
  /** How long the tunnel stays when it carries nothing, milliseconds. */
  readonly settings: (name: string) => { readonly triggerIdleMs: number };
  /** Packets that the tunnel has carried until now, both ways; undefined: there is none. */
  readonly packets: (name: string) => Promise<number | undefined>;
  readonly want: (name: string, why: string) => void;
  readonly release: (name: string) => void;
  /** Whether another trigger wants it too. */
  readonly isWantedElse: (name: string) => boolean;
}

/** The answer must have time to be used, however short the idle time is. */
const leastIdleMs = 10_000;
/** How often in an idle time it is looked whether anything was carried. */
const looks = 4;

interface Wanted {
  /** Its packets when they were last counted. */
  packets: number | undefined;
  /** When it was last asked for or used, milliseconds of the monotonic clock. */
  used: number;
  timer: NodeJS.Timeout;
}

/**
 * AutoTrigger: a tunnel is wanted from the first question for one of its names until it has carried nothing for a while. Who uses the answer cannot
 * be known, only whether there is traffic. While it does not come up, questions count: as long as there are some, it is tried again.
 */
export class NameTriggers {
  readonly #options: NameTriggersOptions;
  readonly #wanted = new Map<string, Wanted>();

  constructor(options: NameTriggersOptions) {
    this.#options = options;
  }

  /** A name of this rule was asked for. Called for every question, however many there are. */
  asked(name: string, rule: string): void {
    const connection = this.#options.connections().get(name);
    if (!connection || mustRest(connection)) return;
    const known = this.#wanted.get(name);
    if (known) known.used = performance.now();
    else this.#begin(name);
    if (!known || connection.triggered === undefined) this.#options.want(name, `a name of ${rule} was asked for`);
  }

  /**
   * A connection moved on. What was asked for before a person put it down, or on another network, brings nothing up afterwards. Names are asked for
   * through a tunnel that an application has brought up without our hearing of it: it is not cut off with the application.
   */
  settle(): void {
    const connections = this.#options.connections();
    for (const name of this.#wanted.keys()) {
      const connection = connections.get(name);
      if (!connection || mustRest(connection)) this.#forget(name);
    }
    for (const [name, { spec, phase, triggered }] of connections) {
      if (phase.kind !== 'up' || triggered === undefined || spec.nameTriggers.length === 0 || this.#wanted.has(name)) continue;
      this.#begin(name);
      this.#options.want(name, `names of ${spec.nameTriggers.join(', ')} may be in use`);
    }
  }

  close(): void {
    for (const { timer } of this.#wanted.values()) clearInterval(timer);
    this.#wanted.clear();
  }

  #begin(name: string): void {
    const timer = setInterval(() => void this.#look(name), this.#idle(name) / looks);
    this.#wanted.set(name, { packets: undefined, used: performance.now(), timer });
  }

  async #look(name: string): Promise<void> {
    const wanted = this.#wanted.get(name);
    const phase = this.#options.connections().get(name)?.phase.kind;
    if (!wanted) return;
    const packets = phase === 'up' ? await this.#options.packets(name).catch(() => undefined) : undefined;
    if (this.#wanted.get(name) !== wanted) return;
    // A person may be looking for a telephone.
    if (phase === 'opening' || packets !== wanted.packets) wanted.used = performance.now();
    wanted.packets = packets;
    if (performance.now() - wanted.used >= this.#idle(name) && !this.#options.isWantedElse(name)) this.#forget(name);
  }

  #forget(name: string): void {
    clearInterval(this.#wanted.get(name)?.timer);
    this.#wanted.delete(name);
    this.#options.release(name);
  }

  #idle(name: string): number {
    return Math.max(leastIdleMs, this.#options.settings(name).triggerIdleMs);
  }
}

function mustRest({ held, trust, removed }: Connection): boolean {
  return held !== undefined || removed || trust?.kind === 'trusted';
}
