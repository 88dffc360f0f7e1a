import type { Endpoint } from '@aovpn/bytes';

/** Datagrams that wait; more come only of a gateway that asks again and again, and whatever is lost is asked for again. */
const most = 64;

/**
 * IKE datagrams leave in the order of the machine's actions, and never before the data plane has done what came ahead of them. An answer to the gateway's Delete
 * tells it that nothing more comes by the old pair of SAs: a packet that a busy worker still sends by it would be lost.
 */
export class SendGate {
  readonly #send: (datagram: Uint8Array, to: Endpoint | undefined) => void;
  readonly #waiting: { readonly datagram: Uint8Array; readonly to: Endpoint | undefined }[] = [];
  #held = 0;

  constructor(send: (datagram: Uint8Array, to: Endpoint | undefined) => void) {
    this.#send = send;
  }

  send(datagram: Uint8Array, to: Endpoint | undefined): void {
    if (this.#held === 0) this.#send(datagram, to);
    else if (this.#waiting.length < most) this.#waiting.push({ datagram, to });
  }

  /** Whatever is sent from now on waits until the returned function is called. */
  hold(): () => void {
    this.#held++;
    return () => {
      this.#held--;
      if (this.#held === 0) this.flush();
    };
  }

  /** What waits leaves now. */
  flush(): void {
    for (const { datagram, to } of this.#waiting.splice(0)) this.#send(datagram, to);
  }
}
