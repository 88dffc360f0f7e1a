import type { DataPlane, DataPlaneEvent, DataPlaneOptions, OpenDataPlane } from '@aovpn/esp';

interface Warm {
  readonly options: DataPlaneOptions;
  readonly plane: Promise<DataPlane>;
  tell: ((event: DataPlaneEvent) => void) | undefined;
  /** It has ended before anybody needed it. */
  isDead: boolean;
}

/** Each has two worker threads, some 18 MiB. */
const most = 2;

/**
 * Data planes that are opened before anybody needs them: their workers take longer to start than a handshake takes, and somebody waits for a tunnel
 * that a trigger brings up. Until they are taken they have neither device nor socket, and sleep.
 */
export class WarmPlanes {
  readonly #open: OpenDataPlane;
  readonly #warm = new Map<string, Warm>();

  constructor(open: OpenDataPlane) {
    this.#open = open;
  }

  /**
   * Opens those for `wanted`, the first ones of them, and where none is open the first that there can be one for of `next`; closes all others but those
   * for `begun`: they are about to be taken.
   * @param optionsOf undefined: none for this connection
   */
  keep(
    wanted: readonly string[],
    next: readonly string[],
    begun: readonly string[],
    optionsOf: (name: string) => DataPlaneOptions | undefined,
  ): void {
    const staying = new Set([...wanted, ...next, ...begun]);
    for (const name of this.#warm.keys()) if (!staying.has(name)) void this.#drop(name);
    this.#openSome(wanted, most, optionsOf);
    this.#openSome(next, 1, optionsOf);
  }

  #openSome(names: readonly string[], limit: number, optionsOf: (name: string) => DataPlaneOptions | undefined): void {
    for (const name of names) {
      if (this.#warm.size >= limit) return;
      const options = this.#warm.has(name) ? undefined : optionsOf(name);
      if (options) this.#warm.set(name, this.#begin(options));
    }
  }

  /** The one that is ready for a connection, or a new one. */
  taking(name: string): OpenDataPlane {
    return async (options, onEvent) => {
      const warm = this.#warm.get(name);
      if (!warm || warm.isDead || !sameOptions(warm.options, options)) {
        void this.#drop(name);
        return await this.#open(options, onEvent);
      }
      this.#warm.delete(name);
      warm.tell = onEvent;
      return await warm.plane;
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#warm.keys()].map((name) => this.#drop(name)));
  }

  #begin(options: DataPlaneOptions): Warm {
    const warm: Warm = {
      options,
      tell: undefined,
      isDead: false,
      plane: this.#open(options, (event) => {
        if (warm.tell) warm.tell(event);
        else warm.isDead ||= event.kind === 'fatal';
      }),
    };
    warm.plane.catch(() => (warm.isDead = true));
    return warm;
  }

  async #drop(name: string): Promise<void> {
    const warm = this.#warm.get(name);
    this.#warm.delete(name);
    await warm?.plane.then((plane) => plane.close()).catch(() => undefined);
  }
}

function sameOptions(a: DataPlaneOptions, b: DataPlaneOptions): boolean {
  return (
    a.device === b.device &&
    a.mtu === b.mtu &&
    a.mark === b.mark &&
    a.keepaliveSeconds === b.keepaliveSeconds &&
    (a.copyDscp ?? false) === (b.copyDscp ?? false)
  );
}
