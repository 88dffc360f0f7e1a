import { equal } from '@aovpn/bytes';
import type { IkeEnd, IkeSaConfig, Path, SessionTicket } from '../src/machine/contract.ts';
import { pickNotify } from '../src/machine/pick.ts';
import { decodeHeader } from '../src/message/header.ts';
import { ExchangeType } from '../src/registry/exchange.ts';
import { NotifyType } from '../src/registry/notify.ts';
import { assertClean, assertMirrored, assertSameChildren, assertSameIke } from './assertion.ts';
import { drawCircumstances, retransmissionLimit, type Circumstances } from './circumstances.ts';
import { Client } from './client.ts';
import { talk } from './conversation.ts';
import { Departures } from './departure.ts';
import { mirrorOf } from './mirror.ts';
import { TicketStore } from './responder-memory.ts';
import type { ResponderOptions } from './responder-options.ts';
import { Responder } from './responder.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { packetsPerSecond, SimulatedSide } from './simulated-side.ts';
import { createTestCrypto, seeded, seededOctets, type TestCrypto } from './test-crypto.ts';
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

/**
 * Lives one life by its seed. `plain`: as it was before there were complications.
 * @throws {Error} with the seed in its message when an invariant does not hold
 */
export function simulate(seed: number, { plain = false } = {}): Life {
  try {
    return new Simulation(seed, plain).live();
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Two peers, a bad network, slow hosts and clocks that jump. Everything that happens follows from the seed. */
class Simulation {
  readonly #plain: boolean;
  readonly #next: () => number;
  readonly #circumstances: Circumstances;
  readonly #network: SimulatedNetwork;
  readonly #client: SimulatedSide;
  readonly #opposite: SimulatedSide | Responder;
  readonly #tries = new WeakMap<object, number>();
  readonly #noticeMs: number;
  readonly #departures: Departures;
  /** Where the responder takes the client to be. */
  #clientAt: Path = path;
  /** The last moment before the client was open. */
  #openAt = 0;
  #restless = true;
  #datagrams = 0;
  #traffic = packetsPerSecond;

  constructor(seed: number, plain: boolean) {
    this.#plain = plain;
    this.#next = seeded(seed);
    this.#circumstances = drawCircumstances(this.#next, plain ? undefined : seeded(seed ^ 0x5eed_0000));
    const { config, opposite, weather, complications } = this.#circumstances;
    const { ikeProposals, childProposals, ppk } = config;
    this.#network = new SimulatedNetwork(this.#next, weather);
    this.#noticeMs = 2 * retransmissionLimit(config) + config.dpdMs + 1000;
    this.#departures = new Departures(this.#noticeMs);
    const clientCrypto = withToyExchange(createTestCrypto(seededOctets(this.#next)));
    const responderCrypto = withToyExchange(createTestCrypto(seededOctets(this.#next)));
    const { ticketSeconds, authSeconds, resumes } = complications;
    const options: ResponderOptions = {
      eap: config.auth.kind === 'eap',
      ikeProposals,
      childProposals,
      ...(ppk && { ppk, ppkEarly: true }),
      ...(ticketSeconds > 0 && { tickets: new TicketStore(ticketSeconds) }),
      ...(authSeconds > 0 && { authLifetime: authSeconds }),
    };
    const ticket = resumes ? earnTicket(clientCrypto, responderCrypto, config, options) : undefined;
    const client = new Client(clientCrypto, { ...config, ...(ticket && { ticket }) }, { now: this.#network.now });
    const responder = new Responder(responderCrypto, options);
    if (opposite === 'machine') {
      talk({ client, responder, clientCrypto, responderCrypto });
      this.#opposite = new SimulatedSide('gateway', mirrorOf(client, responderCrypto), this.#circumstances);
      this.#opposite.slow();
    } else this.#opposite = responder;
    this.#client = new SimulatedSide('client', client, this.#circumstances);
    if (opposite === 'responder') this.#client.performed = 0;
    this.#client.slow();
    this.#settle();
    this.#tick();
  }

  live(): Life {
    const { lifeMs, goodbye, complications } = this.#circumstances;
    this.#run(lifeMs);
    if (this.#next() < goodbye) {
      if (complications.crossed) this.#rekeySomewhere('ike', 500);
      this.#sayGoodbye();
    }
    // Nobody wants anything any more, and the network gets well; whoever is alone must notice.
    this.#restless = false;
    this.#network.weather = { loss: 0, repetition: 0, delayMs: 10 };
    this.#network.outageUntil = 0;
    this.#traffic = 2;
    const calmAt = this.#network.now;
    this.#run(this.#noticeMs);
    // Keys have lifetimes for ever: what is judged is a moment in which nothing is under way.
    for (let tries = 0; !this.#sides().every((side) => side.isAtRest); tries++) {
      if (tries > 250) throw new Error('it never comes to rest');
      this.#judgeDepartures(calmAt);
      this.#run(500);
    }
    this.#judgeDepartures(calmAt);
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

  #noteDepartures(): void {
    const { now } = this.#network;
    for (const { machine, name } of this.#sides()) if (machine.end) this.#departures.note(name, now);
    const opposite = this.#opposite;
    const isOver = opposite instanceof Responder && opposite.ikes.length > 0 && opposite.ikes.every(({ gone }) => gone);
    if (isOver) this.#departures.note('gateway', now);
  }

  /** Who is in the middle of EAP waits for a person; that has an end as well. */
  #judgeDepartures(calmAt: number): void {
    const present = this.#sides().filter(({ machine }) => !machine.end && machine.sa.phase.name === 'open');
    this.#departures.judge(
      present.map(({ name }) => name),
      calmAt,
      this.#network.now,
    );
  }

  /** What the last step brought about, on its way. */
  #settle(): void {
    const client = this.#client;
    const opposite = this.#opposite;
    const from = client.machine.path;
    this.#send(client, (datagram) => {
      if (opposite instanceof Responder) this.#hear(opposite, datagram, from);
      else if (!opposite.machine.end) opposite.machine.receive(datagram);
    });
    if (opposite instanceof Responder) this.#carryToClient(opposite.take(), this.#clientAt);
    else
      this.#send(opposite, (datagram) => {
        if (!client.machine.end) client.machine.receive(datagram);
      });
    this.#noteDepartures();
    for (const side of this.#sides()) {
      for (const question of side.takeQuestions()) {
        this.#network.after(this.#next() * 300, () => {
          if (!side.machine.end) side.machine.answer(question);
        });
      }
    }
  }

  /**
   * The responder answers where it was asked from (RFC 7296 §2.11), and asks where it was told that the client is (RFC 4555 §3.5): on the IKE SA in use, not by
   * what comes late for one that is replaced.
   */
  #hear(responder: Responder, datagram: Uint8Array, from: Path): void {
    const heard = responder.heard.length;
    responder.receive(datagram);
    for (const { header, payloads } of responder.heard.slice(heard)) {
      const begins = header.exchange === ExchangeType.IKE_SA_INIT || header.exchange === ExchangeType.IKE_AUTH;
      const inUse = responder.ikes.findLast(({ gone }) => !gone);
      const isInUse = inUse !== undefined && equal(header.spiI, inUse.spiI) && equal(header.spiR, inUse.spiR);
      const tells = isInUse && pickNotify(payloads, NotifyType.UPDATE_SA_ADDRESSES) !== undefined;
      if (!header.response && (begins || tells)) this.#clientAt = from;
    }
    const sent = responder.take();
    const isAnswer = (octets: Uint8Array): boolean => decodeHeader(octets)?.response === true;
    this.#carryToClient(sent.filter(isAnswer), from);
    this.#carryToClient(
      sent.filter((octets) => !isAnswer(octets)),
      this.#clientAt,
    );
  }

  #carryToClient(datagrams: readonly Uint8Array[], to: Path): void {
    const { machine } = this.#client;
    this.#network.carry(datagrams, (datagram) => {
      if (!machine.end && (!this.#circumstances.complications.roams || machine.path === to)) machine.receive(datagram);
    });
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
    if (this.#client.machine.phase !== 'open' && this.#client.machine.count('established') === 0)
      this.#openAt = this.#network.now;
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
    if (this.#next() >= deletes) return;
    if (this.#circumstances.complications.crossed) this.#rekeySomewhere(this.#next() < 0.5 ? 'child' : 'ike', 150);
    this.#deleteByOpposite();
  }

  /** By one of both, in a moment. */
  #rekeySomewhere(what: 'child' | 'ike', withinMs: number): void {
    const byClient = this.#next() < 0.5;
    this.#network.after(this.#next() * withinMs, () => {
      if (byClient) rekeyByMachine(this.#client.machine, what);
      else this.#rekeyByOpposite(what);
    });
  }

  /** It begins nothing before both are authenticated, nor with a rekey of an IKE SA out: which of two rivals stays may depend on the answer. */
  #isFree(responder: Responder): boolean {
    if (responder.ikes.every(({ gone }) => gone)) return false;
    const { eager } = this.#circumstances.complications;
    if (!this.#plain && !responder.current.identities) return false;
    return responder.ikes.every((ike) => ike.gone || !ike.outstanding || (eager && ike.deleting && ike !== responder.current));
  }

  #rekeyByOpposite(what: 'child' | 'ike'): void {
    const opposite = this.#opposite;
    if (!(opposite instanceof Responder)) return rekeyByMachine(opposite.machine, what);
    if (!this.#isFree(opposite)) return;
    const [child] = [...opposite.children.values()];
    if (what === 'ike') opposite.rekeyIke();
    else if (child) opposite.rekeyChild(child);
  }

  #deleteByOpposite(): void {
    const opposite = this.#opposite;
    if (!(opposite instanceof Responder) || !this.#isFree(opposite)) return;
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
      } else if (this.#isFree(opposite)) opposite.deleteIke();
    }
    this.#settle();
  }

  /** Whatever is sent arrives. */
  get #isReliable(): boolean {
    const { weather, outages, jumps, complications } = this.#circumstances;
    return weather.loss === 0 && outages === 0 && jumps === 0 && !complications.roams;
  }

  #judge(): void {
    const client = this.#client.machine;
    const opposite = this.#opposite;
    for (const { machine, name } of this.#sides()) {
      if (!machine.end) continue;
      assertClean(machine);
      const end = describeEnd(machine.end);
      if (end === 'no-answer' && this.#isReliable) throw new Error(`${name}: given up on a network that loses nothing`);
      if (!fairEnds.has(end)) throw new Error(`${name}: an end that nobody should meet: ${JSON.stringify(machine.end)}`);
    }
    if (opposite instanceof Responder) {
      const isOver = opposite.ikes.every(({ gone }) => gone);
      if (client.end) return;
      if (isOver) throw new Error('the gateway is gone, and the client has not noticed');
      if (this.#clientAt !== client.path) throw new Error('the gateway does not know where the client is');
      const { authSeconds } = this.#circumstances.complications;
      const isDue = authSeconds > 0 && this.#network.now > this.#openAt + 1000 * authSeconds;
      if (isDue && client.count('replace') === 0) throw new Error('no new authentication is wanted');
      assertSameIke({ client, responder: opposite });
      assertSameChildren(
        { client, responder: opposite },
        client.sa.children.filter(({ stage }) => stage.name === 'lingering').length,
      );
      return;
    }
    const other = opposite.machine;
    if ((client.end === undefined) !== (other.end === undefined))
      throw new Error(`one is gone (${JSON.stringify(client.end ?? other.end)}), the other is not`);
    if (!client.end) assertMirrored(client, other);
  }
}

/** What a session before this life has left (RFC 5723). */
function earnTicket(
  clientCrypto: TestCrypto,
  responderCrypto: TestCrypto,
  config: IkeSaConfig,
  options: ResponderOptions,
): SessionTicket | undefined {
  const responder = new Responder(responderCrypto, options);
  const client = new Client(clientCrypto, config);
  talk({ client, responder, clientCrypto, responderCrypto });
  return client.last('ticket')?.ticket;
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
