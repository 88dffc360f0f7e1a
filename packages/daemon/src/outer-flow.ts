import { sameAddress, type IpAddress } from '@aovpn/bytes';
import type { DataPlane, OuterPath, Transport } from '@aovpn/esp';

/** From the loss of a TCP connection to the next try, milliseconds. */
const reconnect = { first: 50, again: 500 } as const;

export interface OuterFlowOptions {
  readonly gateway: IpAddress;
  readonly ports: { readonly udp: number; readonly tcp: number };
  readonly transport: Transport;
  /** A TCP connection should be made anew now. */
  readonly onReconnect: () => void;
}

/** The outer flow of a tunnel: over what, from where and to where its datagrams go. */
export class OuterFlow {
  readonly #options: OuterFlowOptions;
  #transport: Transport;
  #path: OuterPath | undefined;
  #reconnect: NodeJS.Timeout | undefined;

  constructor(options: OuterFlowOptions) {
    this.#options = options;
    this.#transport = options.transport;
  }

  /** Undefined until it is bound for the first time. */
  get path(): OuterPath | undefined {
    return this.#path;
  }

  get transport(): Transport {
    return this.#transport;
  }

  get port(): number {
    return this.#options.ports[this.#transport];
  }

  /** Binds it to whatever the network is now. @throws {HostError} when there is no way to the gateway */
  async bind(plane: DataPlane, transport: Transport = this.#transport): Promise<OuterPath> {
    this.#transport = transport;
    return await plane.connect(this.#options.gateway, this.port, transport);
  }

  /**
   * From now on it goes there; whether the gateway sees the same flow as before. RFC 9329 §6.1: another TCP connection between the same two is known by its first authentic
   * message, where `mobike` does not say that it has moved.
   */
  take(path: OuterPath, mobike: boolean | undefined): 'same' | 'moved' {
    const before = this.#path;
    this.#path = path;
    if (!before || !sameEnds(before, path)) return 'moved';
    const again = this.#transport === 'tcp' && mobike === false;
    return again || before.localPort === path.localPort ? 'same' : 'moved';
  }

  /** Without its TCP connection a tunnel is mute: only we can make another (RFC 9329 §6.1). */
  reconnect(turn: keyof typeof reconnect): void {
    clearTimeout(this.#reconnect);
    this.#reconnect = setTimeout(this.#options.onReconnect, reconnect[turn]);
  }

  close(): void {
    clearTimeout(this.#reconnect);
  }
}

function sameEnds(a: OuterPath, b: OuterPath): boolean {
  return sameAddress(a.local, b.local) && sameAddress(a.remote, b.remote) && a.remotePort === b.remotePort;
}
