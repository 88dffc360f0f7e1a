import { sameAddress, wipe, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { rekeySequence, type EspSa, type EspTransform, type OuterPath } from '@aovpn/esp';
import { endStates } from './end-states.ts';
import { algorithmAttributes } from './xfrm-algorithm.ts';
import {
  algorithmsOf,
  decodeState,
  deletePolicy,
  deleteState,
  getState,
  newState,
  putPolicy,
  replayState,
  sequencesOf,
  type KernelState,
  type NewState,
  type Policy,
  type StateAddress,
  type XfrmRequest,
} from './xfrm-message.ts';
import { sameTag, type TunnelTag } from './tunnel-tag.ts';
import * as nl from './xfrm-number.ts';
import type { XfrmSocket } from './xfrm-socket.ts';

export interface XfrmPair {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly transform: EspTransform;
  readonly esn: boolean;
}

export interface PairCounters {
  readonly spiIn: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly sequenceOut: number;
  readonly replayed: number;
  readonly unauthentic: number;
}

const totals = ['bytesIn', 'bytesOut', 'packetsIn', 'packetsOut', 'replayed', 'unauthentic'] as const;

/**
 * The states and policies of one tunnel in the kernel. Everything carries the tunnel's tag. Inbound policies name our inner addresses
 * and accept what any of our SAs brought; outbound ones name the one SA that sends: during a rekey they are replaced in one step.
 */
export class XfrmTunnel {
  readonly #socket: XfrmSocket;
  readonly #tag: TunnelTag;
  readonly #mark: number;
  readonly #copyDscp: boolean;
  readonly #pairs = new Map<number, XfrmPair>();
  #path: OuterPath | undefined;
  #addresses: readonly IpAddress[] = [];
  #current: XfrmPair | undefined;
  readonly #gone = { bytesIn: 0, bytesOut: 0, packetsIn: 0, packetsOut: 0, replayed: 0, unauthentic: 0 };

  constructor(socket: XfrmSocket, tag: TunnelTag, mark: number, copyDscp = false) {
    this.#socket = socket;
    this.#tag = tag;
    this.#mark = mark;
    this.#copyDscp = copyDscp;
  }

  get current(): XfrmPair | undefined {
    return this.#current;
  }

  get pairs(): readonly XfrmPair[] {
    return [...this.#pairs.values()];
  }

  has(spiIn: number): boolean {
    return this.#pairs.has(spiIn);
  }

  /** What the removed pairs carried. */
  get gone(): Readonly<Omit<PairCounters, 'spiIn' | 'sequenceOut'>> {
    return this.#gone;
  }

  /** The pair that a state of the kernel belongs to. */
  pairOf({ destination, spi }: Omit<StateAddress, 'tag'>): { readonly pair: XfrmPair; readonly inbound: boolean } | undefined {
    const path = this.#path;
    if (!path) return undefined;
    for (const pair of this.#pairs.values()) {
      if (pair.spiIn === spi && sameAddress(destination, path.local)) return { pair, inbound: true };
      if (pair.spiOut === spi && sameAddress(destination, path.remote)) return { pair, inbound: false };
    }
    return undefined;
  }

  /** Hands a pair to the kernel, whose keys are overwritten here. @throws {XfrmRefusal} */
  install(pair: XfrmPair, inbound: EspSa, outbound: EspSa): void {
    const path = this.#mustPath();
    const made: XfrmRequest[] = [];
    try {
      for (const [direction, sa] of [
        ['in', inbound],
        ['out', outbound],
      ] as const) {
        const algorithms = algorithmAttributes(pair.transform, sa);
        wipe(sa.encryptionKey, sa.integrityKey);
        try {
          this.#must('XFRM_MSG_NEWSA', newState(this.#state(direction, pair, path, algorithms, replayState())));
        } finally {
          wipe(...algorithms.map(([, octets]) => octets));
        }
        made.push(deleteState(this.#address(direction, pair, path)));
      }
    } catch (error) {
      this.#socket.request(made);
      throw error;
    }
    this.#pairs.set(pair.spiIn, pair);
  }

  /** From now on outbound packets take this pair. @throws {XfrmRefusal} */
  use(spiIn: number): void {
    const pair = this.#pairs.get(spiIn);
    if (!pair) return;
    this.#current = pair;
    for (const policy of this.#outbound(this.#addresses)) this.#must('XFRM_MSG_UPDPOLICY', putPolicy(policy));
  }

  /** The last octets of a removed pair count as received and sent by the tunnel. */
  remove(spiIn: number): void {
    const pair = this.#pairs.get(spiIn);
    const path = this.#path;
    if (!pair || !path) return;
    if (this.#current === pair) {
      this.#socket.request(this.#outbound(this.#addresses).map(deletePolicy));
      this.#current = undefined;
    }
    this.#add(this.counters(pair));
    this.#pairs.delete(spiIn);
    this.#socket.request([deleteState(this.#address('out', pair, path)), deleteState(this.#address('in', pair, path))]);
  }

  /** @throws {XfrmRefusal} */
  setAddresses(addresses: readonly IpAddress[]): void {
    const isIn = (address: IpAddress, list: readonly IpAddress[]): boolean => list.some((other) => sameAddress(other, address));
    const old = this.#addresses.filter((address) => !isIn(address, addresses));
    this.#socket.request([...this.#inbound(old), ...this.#outbound(old)].map(deletePolicy));
    this.#addresses = addresses;
    for (const policy of [...this.#inbound(addresses), ...this.#forward(addresses), ...this.#outbound(addresses)])
      this.#must('XFRM_MSG_UPDPOLICY', putPolicy(policy));
  }

  /** Puts back what somebody else removed. @throws {XfrmRefusal} */
  restorePolicies(): void {
    this.setAddresses(this.#addresses);
  }

  /** Whether there are pairs, and a move to these ends makes them anew. */
  isElsewhere(path: OuterPath): boolean {
    const old = this.#path;
    return old !== undefined && this.#pairs.size > 0 && !(isSameEnd(old, path, 'local') && isSameEnd(old, path, 'remote'));
  }

  /**
   * All pairs follow to other ends. A state cannot change its addresses, so the old one ends, and what it was at its very end (keys, replay window,
   * sequence numbers, counters) becomes a new one: no number is sent twice, whatever is sent meanwhile (RFC 4303 §3.3.3), and none is left out.
   * @throws {XfrmRefusal} when a state is gone, or when the kernel keeps its keys to itself (lockdown=confidentiality)
   */
  move(path: OuterPath): void {
    const old = this.#path;
    if (!old) {
      this.#path = path;
      return;
    }
    const localSame = isSameEnd(old, path, 'local');
    if (localSame && isSameEnd(old, path, 'remote')) return;
    // Who sends to us, and from which port, is no matter of the inbound state (RFC 7296 §2.23).
    this.#remake(path, localSame && old.remote.family === path.remote.family ? ['out'] : ['in', 'out']);
  }

  counters(pair: XfrmPair): PairCounters {
    const path = this.#mustPath();
    const inbound = this.#read(this.#address('in', pair, path));
    const outbound = this.#read(this.#address('out', pair, path));
    return {
      spiIn: pair.spiIn,
      bytesIn: inbound?.bytes ?? 0,
      packetsIn: inbound?.packets ?? 0,
      bytesOut: outbound?.bytes ?? 0,
      packetsOut: outbound?.packets ?? 0,
      sequenceOut: sequencesOf(outbound?.attributes.get(nl.XFRMA_REPLAY_ESN_VAL)).sent,
      replayed: inbound?.replayed ?? 0,
      unauthentic: inbound?.unauthentic ?? 0,
    };
  }

  /** Whether the kernel still has both states of a pair. */
  isWhole(pair: XfrmPair): boolean {
    const path = this.#mustPath();
    return (['in', 'out'] as const).every((direction) => this.#read(this.#address(direction, pair, path)) !== undefined);
  }

  /** Removes everything, without asking whether it is there. */
  clear(): void {
    const policies = [...this.#inbound(this.#addresses), ...this.#forward(this.#addresses), ...this.#outbound(this.#addresses)];
    this.#socket.request(policies.map(deletePolicy));
    this.#addresses = [];
    // A Map may lose the entry that is being looked at.
    for (const spiIn of this.#pairs.keys()) this.remove(spiIn);
  }

  #remake(path: OuterPath, directions: readonly ('in' | 'out')[]): void {
    const old = this.#mustPath();
    const policies = this.#outbound(this.#addresses);
    this.#path = path;
    const moves = this.pairs.flatMap((pair) =>
      directions.map((direction) => ({ direction, pair, was: this.#address(direction, pair, old) })),
    );
    if (moves.length === 0) return;
    // Packets that find a policy and no state for it would have the kernel ask other IKE daemons for one.
    this.#socket.request(policies.map(deletePolicy));
    const ended = endStates(
      this.#socket,
      moves.map(({ was }) => was),
    );
    try {
      const made = moves.map(({ direction, pair }, i) => this.#successor(direction, pair, path, ended[i]));
      const requests = [...made, ...this.#outbound(this.#addresses).map(putPolicy)];
      const problem = this.#socket.request(requests).find((one) => one !== undefined);
      if (problem !== undefined) throw new XfrmRefusal('moving SAs', problem);
    } finally {
      for (const state of ended) if (state) wipe(...algorithmsOf(state).map(([, octets]) => octets));
    }
  }

  /** What an ended state was, at other ends. Holds its keys. */
  #successor(direction: 'in' | 'out', pair: XfrmPair, path: OuterPath, was: KernelState | undefined): XfrmRequest {
    const replay = was?.attributes.get(nl.XFRMA_REPLAY_ESN_VAL);
    if (!was || !replay || !sameTag(was.tag, this.#tag)) throw new XfrmRefusal('ending an SA', 'ESRCH');
    const algorithms = algorithmsOf(was);
    if (algorithms.length === 0 || algorithms.some(([, octets]) => hasNoKey(octets)))
      throw new XfrmRefusal('reading an SA', 'EPERM');
    this.#gone.replayed += was.replayed;
    this.#gone.unauthentic += was.unauthentic;
    return newState({ ...this.#state(direction, pair, path, algorithms, replay), used: was.used });
  }

  #state(
    direction: 'in' | 'out',
    pair: XfrmPair,
    path: OuterPath,
    algorithms: NewState['algorithms'],
    replay: Uint8Array,
  ): NewState {
    const inward = direction === 'in';
    const near = { address: path.local, port: path.localPort };
    const far = { address: path.remote, port: path.remotePort };
    const [source, destination] = inward ? [far, near] : [near, far];
    return {
      spi: inward ? pair.spiIn : pair.spiOut,
      source: source.address,
      sourcePort: source.port,
      destination: destination.address,
      destinationPort: destination.port,
      tag: this.#tag,
      mark: inward ? 0 : this.#mark,
      copyDscp: this.#copyDscp,
      esn: pair.esn,
      softBytes: pair.transform.softByteLimit,
      softPackets: pair.esn ? undefined : rekeySequence,
      algorithms,
      replay,
    };
  }

  #inbound(addresses: readonly IpAddress[]): Policy[] {
    return addresses.map((inner) => ({ direction: 'in', family: inner.family, inner, tag: this.#tag }));
  }

  /** What is passed on to others behind this machine has their addresses by then. */
  #forward(addresses: readonly IpAddress[]): Policy[] {
    const families = [...new Set<IpFamily>(addresses.map(({ family }) => family))];
    return families.map((family) => ({ direction: 'fwd', family, inner: undefined, tag: this.#tag }));
  }

  #outbound(addresses: readonly IpAddress[]): Policy[] {
    const path = this.#path;
    const pair = this.#current;
    if (!path || !pair) return [];
    const state = { source: path.local, destination: path.remote, spi: pair.spiOut };
    return addresses.map((inner) => ({ direction: 'out', family: inner.family, inner, tag: this.#tag, state }));
  }

  #address(direction: 'in' | 'out', pair: XfrmPair, path: OuterPath): StateAddress {
    const [destination, spi] = direction === 'in' ? [path.local, pair.spiIn] : [path.remote, pair.spiOut];
    return { destination, spi, tag: this.#tag };
  }

  /** Without its keys. */
  #read(address: StateAddress): KernelState | undefined {
    const state = this.#readWithKeys(address);
    if (state) wipe(...algorithmsOf(state).map(([, octets]) => octets));
    return state;
  }

  #readWithKeys(address: StateAddress): KernelState | undefined {
    const body = this.#socket.get(getState(address));
    const state = body && decodeState(body);
    return sameTag(state?.tag, this.#tag) ? state : undefined;
  }

  #add(counters: PairCounters): void {
    for (const name of totals) this.#gone[name] += counters[name];
  }

  #must(what: string, request: XfrmRequest): void {
    const [problem] = this.#socket.request([request]);
    if (problem !== undefined) throw new XfrmRefusal(what, problem);
  }

  #mustPath(): OuterPath {
    if (!this.#path) throw new Error('no path yet');
    return this.#path;
  }
}

/** The kernel's no, by the errno's name. */
export class XfrmRefusal extends Error {
  readonly code: string;

  constructor(what: string, code: string) {
    super(`${what}: ${code}`);
    this.name = 'XfrmRefusal';
    this.code = code;
  }
}

function isSameEnd(a: OuterPath, b: OuterPath, end: 'local' | 'remote'): boolean {
  return sameAddress(a[end], b[end]) && a[`${end}Port`] === b[`${end}Port`];
}

/** The key is at the end; a kernel that hides it says zeroes. */
function hasNoKey(algorithm: Uint8Array): boolean {
  return algorithm.subarray(-16).every((octet) => octet === 0);
}
