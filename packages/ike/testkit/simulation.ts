import type { IkeEnd } from '../src/machine/contract.ts';
import { assertClean, assertMirrored, assertSameChildren, assertSameIke } from './assertion.ts';
import { drawCircumstances, retransmissionLimit, type Circumstances } from './circumstances.ts';
import { Client } from './client.ts';
import { talk, type Pair } from './conversation.ts';
import { mirrorOf } from './mirror.ts';
import { Responder } from './responder.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { packetsPerSecond, SimulatedSide } from './simulated-side.ts';
import { createTestCrypto, seeded, seededOctets } from './test-crypto.ts';
import { withToyExchange } from './toy-exchange.ts';
import { otherPath, path } from './world.ts';

export interface Life {
  readonly circumstances: Circumstances;
  /** `open`, or how it ended for the client. */
  readonly outcome: string;
  readonly rekeys: number;
  readonly datagrams: number;
  readonly mostPackets: number;
  readonly longestUseMs: number;
}

/** What may end a life: everything else is a fault. */
const fairEnds = new Set([
  'closed',
  'peer-closed',
  'no-answer',
  // A host that sleeps while it is asked for a password.
  'no-secret',
  // A peer that keeps putting a rekey off, and one that makes no second CHILD_SA (which our machine is).
  'TEMPORARY_FAILURE',
  'STATE_NOT_FOUND',
  'NO_ADDITIONAL_SAS',
]);
const opposeTries = 12;

/** Lives one life by its seed. @throws {Error} with the seed in its message when an invariant does not hold */
export function simulate(seed: number): Life {
  try {
    return new Simulation(seed).live();
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Two peers, a bad network, slow hosts and clocks that jump. Everything that happens follows from the seed. */
class Simulation {
  readonly #next: () => number;
  readonly #circumstances: Circumstances;
  readonly #network: SimulatedNetwork;
  readonly #client: SimulatedSide;
  readonly #opposite: SimulatedSide | Responder;
  readonly #tries = new WeakMap<object, number>();
  #restless = true;
  #datagrams = 0;
  #traffic = packetsPerSecond;

  constructor(seed: number) {
    this.#next = seeded(seed);
    this.#circumstances = drawCircumstances(this.#next);
    const { config, opposite, weather } = this.#circumstances;
    const { ikeProposals, childProposals, ppk } = config;
    this.#network = new SimulatedNetwork(this.#next, weather);
    const clientCrypto = withToyExchange(createTestCrypto(seededOctets(this.#next)));
    const responderCrypto = withToyExchange(createTestCrypto(seededOctets(this.#next)));
    const client = new Client(clientCrypto, config, { now: this.#network.now });
    const responder = new Responder(responderCrypto, {
      eap: config.auth.kind === 'eap',
      ikeProposals,
      childProposals,
      ...(ppk && { ppk, ppkEarly: true }),
    });
    if (opposite === 'machine') {
      talk({ client, responder, clientCrypto, responderCrypto });
      this.#opposite = new SimulatedSide('gateway', mirrorOf(client, responderCrypto), this.#circumstances);
      slow(this.#opposite);
    } else this.#opposite = responder;
    this.#client = new SimulatedSide('client', client, this.#circumstances);
    if (opposite === 'responder') this.#client.performed = 0;
    slow(this.#client);
    this.#settle();
    this.#tick();
  }

  live(): Life {
    const { lifeMs, goodbye, config } = this.#circumstances;
    this.#run(lifeMs);
    if (this.#next() < goodbye) this.#sayGoodbye();
    // Nobody wants anything any more, and the network gets well; whoever is alone must notice.
    this.#restless = false;
    this.#network.weather = { loss: 0, repetition: 0, delayMs: 10 };
    this.#network.outageUntil = 0;
    this.#traffic = 2;
    this.#run(2 * retransmissionLimit(config) + config.dpdMs + 1000);
    // Keys have lifetimes for ever: what is judged is a moment in which nothing is under way.
    for (let tries = 0; !this.#sides().every(({ machine }) => isAtRest(machine)); tries++) {
      if (tries > 250) throw new Error('it never comes to rest');
      this.#run(500);
    }
    this.#judge();
    const sides = this.#sides();
    return {
      circumstances: this.#circumstances,
      outcome: describeEnd(this.#client.machine.end),
      rekeys: sides.reduce((sum, { machine }) => sum + machine.count('rekeyed'), 0),
      datagrams: this.#datagrams,
      mostPackets: Math.max(...sides.map((side) => side.mostPackets)),
      longestUseMs: Math.max(...sides.map((side) => side.longestUseMs)),
    };
  }

  #sides(): SimulatedSide[] {
    return this.#opposite instanceof Responder ? [this.#client] : [this.#client, this.#opposite];
  }

  #run(ms: number): void {
    const network = this.#network;
    const until = network.now + ms;
    for (;;) {
      const sides = this.#sides();
      const at = Math.min(network.nextAt, ...sides.map((side) => side.nextAt));
      if (at > until) break;
      network.now = Math.max(network.now, at);
      for (const side of sides) side.machine.now = network.now + side.offset;
      const due = sides.find((side) => side.nextAt <= at);
      if (due) due.fireNext();
      else network.runFirst();
      this.#settle();
    }
    network.now = until;
  }

  /** What the last step brought about, on its way. */
  #settle(): void {
    const client = this.#client;
    const opposite = this.#opposite;
    this.#send(client, (datagram) => {
      if (opposite instanceof Responder) opposite.receive(datagram);
      else if (!opposite.machine.end) opposite.machine.receive(datagram);
    });
    const toClient = (datagram: Uint8Array): void => {
      if (!client.machine.end) client.machine.receive(datagram);
    };
    if (opposite instanceof Responder) this.#network.carry(opposite.take(), toClient);
    else this.#send(opposite, toClient);
    for (const side of this.#sides()) {
      for (const question of side.takeQuestions()) {
        this.#network.after(this.#next() * 300, () => {
          if (!side.machine.end) side.machine.answer(question);
        });
      }
    }
  }

  #send(side: SimulatedSide, receive: (datagram: Uint8Array) => void): void {
    const datagrams = side.machine.take();
    this.#datagrams += datagrams.length;
    for (const datagram of datagrams) side.wire.see(datagram);
    this.#network.carry(datagrams, receive);
  }

  /** Once a second: traffic, the responder's retransmissions, and whatever somebody wants. */
  #tick(): void {
    for (const side of this.#sides()) if (!side.machine.end) side.sendTraffic(Math.floor(this.#next() * this.#traffic));
    if (this.#opposite instanceof Responder) this.#retransmit(this.#opposite);
    if (this.#restless) this.#wish();
    this.#network.after(1000, () => this.#tick());
  }

  /** A responder has patience, too: it forgets who does not answer it. */
  #retransmit(responder: Responder): void {
    responder.retransmit();
    for (const ike of responder.ikes) {
      if (!ike.outstanding || ike.gone) continue;
      const tries = (this.#tries.get(ike.outstanding) ?? 0) + 1;
      this.#tries.set(ike.outstanding, tries);
      if (tries <= opposeTries) continue;
      // One that is being replaced is no loss.
      if (ike.deleting && ike !== responder.current) ike.gone = true;
      else return responder.vanish();
    }
  }

  #wish(): void {
    const { rekeys, collisions, deletes, moves, outages, jumps } = this.#circumstances;
    const client = this.#client;
    const network = this.#network;
    if (this.#next() < outages) network.outageUntil = network.now + 1000 + this.#next() * 20_000;
    if (this.#next() < jumps) {
      const sides = this.#sides();
      sides[Math.floor(this.#next() * sides.length)]!.jump(1000 + this.#next() * 120_000);
    }
    if (client.machine.end) return;
    if (this.#next() < moves) {
      const where = this.#next() < 0.5 ? path : otherPath;
      client.machine.path = where;
      client.machine.step({ kind: 'path-changed', path: where });
    }
    if (this.#next() < moves) client.machine.step({ kind: 'check-liveness' });
    const dice = this.#next();
    if (dice < rekeys) {
      const what = this.#next() < 0.7 ? 'child' : 'ike';
      if (this.#next() < 0.5) rekeyByMachine(client.machine, what);
      else this.#rekeyByOpposite(what);
    } else if (dice < rekeys + collisions) {
      const what = this.#next() < 0.6 ? 'child' : 'ike';
      // At once or nearly so, in either order.
      const [first, second] =
        this.#next() < 0.5
          ? [() => rekeyByMachine(client.machine, what), () => this.#rekeyByOpposite(what)]
          : [() => this.#rekeyByOpposite(what), () => rekeyByMachine(client.machine, what)];
      first();
      this.#network.after(this.#next() * 150, second);
    }
    if (this.#next() < deletes) this.#deleteByOpposite();
  }

  #rekeyByOpposite(what: 'child' | 'ike'): void {
    const opposite = this.#opposite;
    if (!(opposite instanceof Responder)) return rekeyByMachine(opposite.machine, what);
    if (!isFree(opposite)) return;
    const [child] = [...opposite.children.values()];
    if (what === 'ike') opposite.rekeyIke();
    else if (child) opposite.rekeyChild(child);
  }

  #deleteByOpposite(): void {
    const opposite = this.#opposite;
    if (!(opposite instanceof Responder) || !isFree(opposite)) return;
    const [child] = [...opposite.children.values()];
    if (child) opposite.deleteChild(child.spiIn);
  }

  /** By one, by the other, or by both at once. */
  #sayGoodbye(): void {
    const dice = this.#next();
    const client = this.#client.machine;
    const opposite = this.#opposite;
    if (dice < 0.7 && !client.end) client.step({ kind: 'close', why: 'goodbye' });
    if (dice > 0.4) {
      if (!(opposite instanceof Responder)) {
        if (!opposite.machine.end) opposite.machine.step({ kind: 'close', why: 'goodbye' });
      } else if (isFree(opposite)) opposite.deleteIke();
    }
    this.#settle();
  }

  #judge(): void {
    const client = this.#client.machine;
    const opposite = this.#opposite;
    for (const { machine, name } of this.#sides()) {
      if (!machine.end) continue;
      assertClean(machine);
      const end = describeEnd(machine.end);
      if (!fairEnds.has(end)) throw new Error(`${name}: an end that nobody should meet: ${JSON.stringify(machine.end)}`);
    }
    if (opposite instanceof Responder) {
      const isOver = opposite.ikes.every(({ gone }) => gone);
      if (client.end) return;
      if (isOver) throw new Error('the gateway is gone, and the client has not noticed');
      const pair: Pick<Pair, 'client' | 'responder'> = { client, responder: opposite };
      assertSameIke(pair);
      assertSameChildren(pair, client.sa.children.filter(({ stage }) => stage.name === 'lingering').length);
      return;
    }
    const other = opposite.machine;
    if ((client.end === undefined) !== (other.end === undefined))
      throw new Error(`one is gone (${JSON.stringify(client.end ?? other.end)}), the other is not`);
    if (!client.end) assertMirrored(client, other);
  }
}

/** A host that does nothing at once. */
function slow({ machine }: SimulatedSide): void {
  Object.assign(machine.host, { install: false, sign: false, verify: false, secret: false, traffic: false });
}

function isAtRest({ sa }: Client): boolean {
  const underWay = new Set(['installing', 'standby', 'replaced']);
  return (
    sa.wanted.length === 0 &&
    sa.associations.every(({ outstanding, role }) => !outstanding && role !== 'successor' && role !== 'rival') &&
    sa.children.every(({ stage }) => !underWay.has(stage.name))
  );
}

/** With a request out anywhere it begins nothing: which of two rival IKE SAs stays may depend on the answer. */
function isFree({ ikes }: Responder): boolean {
  return ikes.some(({ gone }) => !gone) && ikes.every(({ gone, outstanding }) => gone || !outstanding);
}

function rekeyByMachine(machine: Client, what: 'child' | 'ike'): void {
  if (machine.end) return;
  const [spiIn] = machine.sending;
  if (what === 'ike') machine.step({ kind: 'rekey-ike' });
  else if (spiIn !== undefined) machine.step({ kind: 'rekey-child', spiIn });
}

function describeEnd(end: IkeEnd | undefined): string {
  if (!end) return 'open';
  if (end.kind !== 'failed') return end.kind;
  const { failure } = end;
  if (failure.kind === 'notify') return failure.name;
  return failure.kind === 'eap' ? failure.failure.kind : failure.kind;
}
