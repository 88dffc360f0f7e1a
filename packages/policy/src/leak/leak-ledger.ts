import { formatAddress, sameAddress, samePrefix, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import { createJudge, packetSorts, type PacketJudgement, type PacketSort, type PortalQuestion } from './judge-packet.ts';
import type { WatchedPacket } from './packet.ts';
import type { LeakPromise } from './promise.ts';

/** One packet that left by a link. */
export interface LeavingPacket {
  /** Milliseconds since the epoch, by the kernel. */
  readonly at: number;
  readonly device: string;
  readonly packet: WatchedPacket;
}

/** Packets of one flow that should not have been seen, during one step. */
export interface Leak {
  /** Milliseconds since the epoch, of the first one. */
  readonly at: number;
  readonly step: string;
  readonly device: string;
  /** IP protocol number; −1 for what cannot be read. */
  readonly protocol: number;
  /** Canonical address; empty for what cannot be read. */
  readonly source: string;
  readonly sourcePort?: number;
  readonly destination: string;
  readonly destinationPort?: number;
  readonly why: string;
  /** Whether it is one of those that the test sent. */
  readonly canary: boolean;
  readonly count: number;
}

export interface LeakStep {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly watched: number;
  readonly leaks: number;
}

export interface LeakFindings {
  readonly watched: number;
  readonly sorts: Readonly<Record<PacketSort, number>>;
  /** The first flows that leaked; `leaked` counts all packets. */
  readonly leaks: readonly Leak[];
  readonly leaked: number;
  readonly steps: readonly LeakStep[];
  /** Milliseconds during which the promise was in force. */
  readonly promisedMs: number;
  /** How many of the controls were seen. */
  readonly controls: number;
}

export interface LeakLedgerOptions {
  readonly promise: LeakPromise;
  /** In the payload of everything that the test sends. */
  readonly canaryMark: Uint8Array;
  /** In the payload of what it lets out on purpose. */
  readonly controlMark: Uint8Array;
  /**
   * Milliseconds before the end of a promise that do not count any more: a tunnel without LockDown lets go of its routes a moment
   * before it says that it is over.
   */
  readonly lettingGoMs: number;
}

interface Window {
  readonly from: number;
  to: number;
}

const maxFlows = 200;

/**
 * Keeps the books of a leak test: what left, what was promised at that moment, what was being done. Packets are judged once
 * everything that could be known of their moment is known ({@link settle}).
 */
export class LeakLedger {
  readonly #options: LeakLedgerOptions;
  readonly #waiting: LeavingPacket[] = [];
  readonly #windows: Window[] = [];
  readonly #portals: Window[] = [];
  readonly #steps: { name: string; from: number; watched: number; leaks: number }[] = [];
  readonly #sorts = Object.fromEntries(packetSorts.map((sort) => [sort, 0])) as Record<PacketSort, number>;
  readonly #flows = new Map<string, Leak>();
  #gateways: readonly IpAddress[] = [];
  #gatewayPorts: readonly number[] = [];
  #attached: readonly IpPrefix[] = [];
  readonly #questions: PortalQuestion[] = [];
  readonly #streams = new Set<string>();
  #judge: ((packet: WatchedPacket) => PacketJudgement) | undefined;
  #watched = 0;
  #leaked = 0;

  constructor(options: LeakLedgerOptions) {
    this.#options = options;
  }

  /** Whether the promise is in force now, as far as is known. */
  get promised(): boolean {
    return this.#windows.at(-1)?.to === Infinity;
  }

  /** From `at` on the promise is in force, or is not any more. */
  setPromised(at: number, promised: boolean): void {
    setWindow(this.#windows, at, promised);
  }

  /** From `at` on the captive portal is open, or closed. */
  setPortal(at: number, open: boolean): void {
    setWindow(this.#portals, at, open);
  }

  get watched(): number {
    return this.#watched;
  }

  get leaked(): number {
    return this.#leaked;
  }

  /** The daemon itself asks there whether the network wants a sign-in: for the name, and by TCP. */
  question(host: string, address: IpAddress | undefined, port: number): void {
    if (this.#questions.some((known) => known.host === host && known.port === port && sameOrNone(known.address, address))) return;
    this.#questions.push({ host, port, ...(address && { address }) });
    this.#judge = undefined;
  }

  /** An outer address of the gateway, and its port. */
  gateway(address: IpAddress, port: number): void {
    if (!this.#gatewayPorts.includes(port)) this.#gatewayPorts = [...this.#gatewayPorts, port];
    if (!this.#gateways.some((known) => sameAddress(known, address))) this.#gateways = [...this.#gateways, address];
    this.#judge = undefined;
  }

  /** Networks that are directly attached now; those of before still count. */
  attached(prefixes: readonly IpPrefix[]): void {
    const fresh = prefixes.filter((prefix) => !this.#attached.some((known) => samePrefix(known, prefix)));
    if (fresh.length === 0) return;
    this.#attached = [...this.#attached, ...fresh];
    this.#judge = undefined;
  }

  step(name: string, at: number): void {
    this.#steps.push({ name, from: at, watched: 0, leaks: 0 });
  }

  saw(packet: LeavingPacket): void {
    this.#waiting.push(packet);
  }

  /** Judges what left before `until`, milliseconds since the epoch. */
  settle(until: number): void {
    let rest = 0;
    for (const packet of this.#waiting) {
      if (packet.at < until) this.#take(packet);
      else this.#waiting[rest++] = packet;
    }
    this.#waiting.length = rest;
  }

  findings(now: number): LeakFindings {
    return {
      watched: this.#watched,
      sorts: { ...this.#sorts },
      leaks: [...this.#flows.values()],
      leaked: this.#leaked,
      steps: this.#steps.map((step) => ({ ...step })),
      promisedMs: this.#windows.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, now) - from), 0),
      controls: this.#sorts.control,
    };
  }

  #take(seen: LeavingPacket): void {
    const { sort, why } = this.#judgement(seen);
    this.#watched++;
    this.#sorts[sort]++;
    const step = this.#steps.findLast(({ from }) => from <= seen.at);
    if (step) step.watched++;
    if (sort !== 'leak') return;
    this.#leaked++;
    if (step) step.leaks++;
    const flow = flowOf(seen.packet);
    const name = step?.name ?? '';
    const key = [name, seen.device, ...Object.values(flow)].join(' ');
    const known = this.#flows.get(key);
    if (known) this.#flows.set(key, { ...known, count: known.count + 1 });
    else if (this.#flows.size < maxFlows) {
      const canary = seen.packet.kind === 'ip' && includes(seen.packet.payload, this.#options.canaryMark);
      this.#flows.set(key, { at: seen.at, step: name, device: seen.device, ...flow, why, canary, count: 1 });
    }
  }

  #judgement({ at, packet }: LeavingPacket): PacketJudgement {
    // A control is one only when it would have been a leak: it must have come the whole way to that verdict.
    const judge = (this.#judge ??= createJudge(this.#options.promise, {
      gateways: this.#gateways,
      gatewayPorts: this.#gatewayPorts,
      attached: this.#attached,
      questions: this.#questions,
      streams: this.#streams,
    }));
    const judgement = judge(packet);
    if (judgement.sort !== 'leak') return judgement;
    if (packet.kind === 'ip' && includes(packet.payload, this.#options.controlMark))
      return { sort: 'control', why: 'let out by the test itself' };
    const window = this.#windows.find(
      ({ from, to }) => from <= at && at < to - (to === Infinity ? 0 : this.#options.lettingGoMs),
    );
    if (!window) return { sort: 'unpromised', why: 'nothing is promised while the tunnel is not up' };
    if (
      this.#portals.some(({ from, to }) => from <= at && at < to + portalTail) &&
      packet.kind === 'ip' &&
      isPortalTraffic(packet)
    )
      return { sort: 'portal', why: 'a person has opened the captive portal' };
    return judgement;
  }
}

/** The last octets of connections that the closing of the portal cuts off, milliseconds. */
const portalTail = 200;

function sameOrNone(a: IpAddress | undefined, b: IpAddress | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameAddress(a, b);
}

function isPortalTraffic({ protocol, destinationPort }: Extract<WatchedPacket, { kind: 'ip' }>): boolean {
  return (
    (protocol === 6 || protocol === 17) && destinationPort !== undefined && [53, 80, 443, 8080, 8443].includes(destinationPort)
  );
}

function flowOf(packet: WatchedPacket): Pick<Leak, 'protocol' | 'source' | 'sourcePort' | 'destination' | 'destinationPort'> {
  if (packet.kind !== 'ip') return { protocol: -1, source: '', destination: '' };
  const { protocol, source, destination, sourcePort, destinationPort } = packet;
  return {
    protocol,
    source: formatAddress(source),
    ...(sourcePort !== undefined && { sourcePort }),
    destination: formatAddress(destination),
    ...(destinationPort !== undefined && { destinationPort }),
  };
}

function setWindow(windows: Window[], at: number, open: boolean): void {
  const last = windows.at(-1);
  if (open && last?.to !== Infinity) windows.push({ from: at, to: Infinity });
  else if (!open && last?.to === Infinity) last.to = Math.max(last.from, at);
}

function includes(haystack: Uint8Array, needle: Uint8Array): boolean {
  outer: for (
    let at = haystack.indexOf(needle[0]!);
    at >= 0 && at + needle.length <= haystack.length;
    at = haystack.indexOf(needle[0]!, at + 1)
  ) {
    for (let i = 1; i < needle.length; i++) if (haystack[at + i] !== needle[i]) continue outer;
    return true;
  }
  return false;
}
