import type { IkeAction } from '../src/machine/contract.ts';
import type { Client } from './client.ts';
import { formerMs, lingerMs } from '../src/machine/choice.ts';
import { lifetimeBound, packetLimit, retransmissionLimit, type Circumstances } from './circumstances.ts';
import { WireWatch } from './wire-watch.ts';

interface Use {
  readonly installedAt: number;
  packets: number;
}

/** A machine in a simulated world: a clock of its own that may jump, a slow host, and a data plane that only counts. */
export class SimulatedSide {
  readonly name: string;
  readonly machine: Client;
  readonly wire = new WireWatch();
  /** Its clock is ahead of the world's by so much, milliseconds. */
  offset = 0;
  /** When its clock last jumped, by itself. */
  #jumpedAt = -Infinity;
  performed = 0;
  /** The most packets that went out under one key, and the longest that one was in use. */
  mostPackets = 0;
  longestUseMs = 0;
  readonly #circumstances: Circumstances;
  readonly #use = new Map<number, Use>();
  /** Since when there are keys of an IKE SA, by its number. */
  readonly #seen = new Map<number, number>();

  constructor(name: string, machine: Client, circumstances: Circumstances) {
    this.name = name;
    this.machine = machine;
    this.#circumstances = circumstances;
    this.performed = machine.actions.length;
    machine.host.traffic = false;
  }

  /** From now on its host does nothing at once. */
  slow(): void {
    Object.assign(this.machine.host, { install: false, sign: false, verify: false, secret: false, traffic: false });
  }

  /** Nothing is under way. */
  get isAtRest(): boolean {
    const { wanted, associations, children } = this.machine.sa;
    return (
      wanted.length === 0 &&
      associations.every(({ outstanding, role }) => !outstanding && role !== 'successor' && role !== 'rival') &&
      children.every(({ stage }) => stage.name === 'active' || stage.name === 'lingering')
    );
  }

  /** When its next timer runs out, in the world's time. */
  get nextAt(): number {
    return (this.machine.nextTimer()?.at ?? Infinity) - this.offset;
  }

  /** It sleeps, or its clock is set: so much of its time passes at once. */
  jump(ms: number): void {
    this.offset += ms;
    this.#jumpedAt = this.machine.now + ms;
  }

  fireNext(): void {
    const next = this.machine.nextTimer();
    if (next) this.machine.fire(next.timer, next.at);
  }

  /** What the host was asked since last time and answers when it gets to it. */
  takeQuestions(): IkeAction[] {
    const { actions } = this.machine;
    const asked = actions.slice(this.performed).filter(({ kind }) => questions.has(kind));
    this.performed = actions.length;
    return asked;
  }

  /** One second of traffic. @throws {Error} when a key is used or kept for too long, or used for too much */
  sendTraffic(packets: number): void {
    const { machine } = this;
    const [spiIn] = machine.sending;
    this.#judgeIkeKeys();
    for (const known of this.#use.keys()) {
      if (machine.children.has(known)) continue;
      this.#use.delete(known);
      machine.volumes.delete(known);
    }
    for (const known of machine.children.keys())
      if (!this.#use.has(known)) this.#use.set(known, { installedAt: machine.now, packets: 0 });
    this.#judgeKeptKeys();
    if (spiIn === undefined || machine.phase !== 'open') return;
    const use = this.#use.get(spiIn)!;
    const { soft, hard } = packetLimit;
    const before = use.packets;
    // As the data plane does it: asks for new keys in time, and stops when the numbers are used up (RFC 4303 §3.3.3).
    use.packets = Math.min(hard, before + packets);
    machine.volumes.set(spiIn, use.packets * octetsPerPacket);
    this.mostPackets = Math.max(this.mostPackets, use.packets);
    const age = machine.now - use.installedAt;
    this.longestUseMs = Math.max(this.longestUseMs, age);
    const bound = lifetimeBound(this.#circumstances.config);
    if (this.#isTooOld(age, this.#circumstances.config.childRekeyMs))
      throw new Error(`${this.name}: a key has been in use for ${age} ms, the bound is ${bound} ms`);
    if (use.packets > soft + (packetsPerSecond * bound) / 1000)
      throw new Error(`${this.name}: ${use.packets} packets under one key`);
    if (before < soft && use.packets >= soft) machine.step({ kind: 'rekey-child', spiIn });
  }

  #judgeIkeKeys(): void {
    const { sa, now } = this.machine;
    for (const known of this.#seen.keys()) if (!sa.associations.some(({ id }) => id === known)) this.#seen.delete(known);
    for (const { id, protection } of sa.associations) {
      const since = this.#seen.get(id) ?? now;
      if (protection) this.#seen.set(id, since);
      if (this.machine.phase === 'open' && this.#isTooOld(now - since, this.#circumstances.config.ikeRekeyMs, formerMs))
        throw new Error(`${this.name}: keys of an IKE SA have been there for ${now - since} ms`);
    }
  }

  /** Of pairs that do not send any more. */
  #judgeKeptKeys(): void {
    const { childRekeyMs } = this.#circumstances.config;
    const graceMs = lingerMs + retransmissionLimit(this.#circumstances.config);
    for (const { installedAt } of this.#use.values()) {
      const age = this.machine.now - installedAt;
      if (this.machine.phase === 'open' && this.#isTooOld(age, childRekeyMs, graceMs))
        throw new Error(`${this.name}: a key has been kept for ${age} ms`);
    }
  }

  /** Whoever has slept past the lifetime has the rest of the bound to mend that. */
  #isTooOld(ageMs: number, lifetimeMs: number, graceMs = 0): boolean {
    const bound = lifetimeBound(this.#circumstances.config, lifetimeMs) + graceMs;
    return ageMs > bound && this.machine.now - this.#jumpedAt > bound - lifetimeMs;
  }
}

/** The most that a tick sends. */
export const packetsPerSecond = 40;
const octetsPerPacket = 1000;
const questions = new Set<IkeAction['kind']>(['sign', 'solve-puzzle', 'verify-gateway', 'install-child', 'eap', 'ask-traffic']);
