import type { IkeAction, IkeSaConfig } from '../src/machine/contract.ts';
import { Client } from './client.ts';
import type { Pair } from './conversation.ts';
import { Responder } from './responder.ts';
import { createTestCrypto, seeded, seededOctets } from './test-crypto.ts';
import { otherPath, path } from './world.ts';

export interface Network {
  /** Chance that a datagram is lost, or delivered twice. */
  readonly loss: number;
  readonly repetition: number;
  /** Largest delay; datagrams overtake each other. */
  readonly delayMs: number;
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

/** Two peers, a bad network and a slow host on one clock that only the simulation moves. The order of events follows from the seed. */
export class Simulation {
  readonly client: Client;
  readonly responder: Responder;
  readonly pair: Pair;
  /** Both sides keep rekeying, and the client keeps moving. */
  busy = false;
  #network: Network;
  readonly #next: () => number;
  #events: Event[] = [];
  #performed = 0;
  #now = 1000;

  constructor(seed: number, config: IkeSaConfig, network: Network) {
    this.#next = seeded(seed);
    this.#network = network;
    const clientCrypto = createTestCrypto(seededOctets(this.#next));
    const responderCrypto = createTestCrypto(seededOctets(this.#next));
    this.client = new Client(clientCrypto, config);
    this.responder = new Responder(responderCrypto, { eap: config.auth.kind === 'eap' });
    this.pair = { client: this.client, responder: this.responder, clientCrypto, responderCrypto };
    Object.assign(this.client.host, { install: false, sign: false, verify: false, secret: false, traffic: false });
    this.#settle();
    this.#tick();
  }

  run(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const timer = this.client.nextTimer();
      const [event] = this.#events;
      const at = Math.min(timer?.at ?? Infinity, event?.at ?? Infinity);
      if (at > until) break;
      this.#now = Math.max(this.#now, at);
      this.client.now = this.#now;
      if (timer && timer.at <= at) this.client.fire(timer.timer, timer.at);
      else {
        this.#events.shift();
        event!.run();
      }
      this.#settle();
    }
    this.#now = until;
    this.client.now = until;
  }

  /** The network gets well, and nobody wants anything any more: long enough for everything to come to rest. */
  calm(): void {
    this.#network = { loss: 0, repetition: 0, delayMs: 10 };
    this.run(90_000);
  }

  /** What the last step brought about, on its way. */
  #settle(): void {
    this.#carry(this.client.take(), (datagram) => this.responder.receive(datagram));
    this.#carry(this.responder.take(), (datagram) => {
      if (!this.client.end) this.client.receive(datagram);
    });
    for (const action of this.client.actions.slice(this.#performed)) this.#host(action);
    this.#performed = this.client.actions.length;
  }

  #host(action: IkeAction): void {
    if (!['sign', 'verify-gateway', 'install-child', 'eap', 'ask-traffic'].includes(action.kind)) return;
    this.#at(this.#next() * 300, () => {
      if (!this.client.end) this.client.answer(action);
    });
  }

  #carry(datagrams: readonly Uint8Array[], receive: (datagram: Uint8Array) => void): void {
    for (const datagram of datagrams) {
      const { loss, repetition, delayMs } = this.#network;
      if (this.#next() >= loss) this.#at(this.#next() * delayMs, () => receive(datagram));
      if (this.#next() < repetition) this.#at(this.#next() * delayMs, () => receive(datagram));
    }
  }

  /** Once a second: the responder's retransmissions, and whatever somebody wants. */
  #tick(): void {
    this.responder.retransmit();
    if (this.busy && this.client.phase === 'open') this.#wish();
    this.#at(1000, () => this.#tick());
  }

  #wish(): void {
    const { client, responder } = this;
    const dice = this.#next();
    const free = responder.ikes.some(({ gone }) => !gone) && !responder.current.outstanding;
    const [child] = [...responder.children.values()];
    if (dice < 0.05 && free && child) responder.rekeyChild(child);
    else if (dice < 0.08 && free) responder.rekeyIke();
    else if (dice < 0.13) client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]?.spiIn ?? 0 });
    else if (dice < 0.16) client.step({ kind: 'rekey-ike' });
    else if (dice < 0.19) client.step({ kind: 'path-changed', path: dice < 0.175 ? path : otherPath });
    else if (dice < 0.22) client.step({ kind: 'check-liveness' });
    else if (dice < 0.26 && free && child) {
      // Both at once, whatever comes of it.
      responder.rekeyChild(child);
      client.step({ kind: 'rekey-child', spiIn: child.spiOut });
    } else if (dice < 0.33 && free) {
      responder.rekeyIke();
      client.step({ kind: 'rekey-ike' });
    }
  }

  #at(ms: number, run: () => void): void {
    const event = { at: this.#now + ms, run };
    const index = this.#events.findIndex(({ at }) => at > event.at);
    this.#events.splice(index < 0 ? this.#events.length : index, 0, event);
  }
}
