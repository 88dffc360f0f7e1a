import { sameAddress, wipe, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { rekeySequence, type EspSa, type EspTransform, type OuterPath } from '@aovpn/esp';
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
  skipSequences,
  type KernelState,
  type NewState,
  type Policy,
  type StateAddress,
  type XfrmRequest,
} from './xfrm-message.ts';
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
 * Numbers that an outbound SA leaves out when it is made anew for another path: more than can be sent between the reading of the old one's
 * counter and its end.
 */
const movedSequenceGap = 1024;

/**
 * The states and policies of one tunnel in the kernel. Everything carries the tunnel's interface id. Inbound policies name our inner addresses
 * and accept what any of our SAs brought; outbound ones name the one SA that sends: during a rekey they are replaced in one step.
 */
export class XfrmTunnel {
  readonly #socket: XfrmSocket;
  readonly #interfaceId: number;
  readonly #mark: number;
  readonly #pairs = new Map<number, XfrmPair>();
  #path: OuterPath | undefined;
  #addresses: readonly IpAddress[] = [];
  #current: XfrmPair | undefined;
  readonly #gone = { bytesIn: 0, bytesOut: 0, packetsIn: 0, packetsOut: 0, replayed: 0, unauthentic: 0 };

  constructor(socket: XfrmSocket, interfaceId: number, mark: number) {
    this.#socket = socket;
    this.#interfaceId = interfaceId;
    this.#mark = mark;
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
  pairOf({ destination, spi }: StateAddress): { readonly pair: XfrmPair; readonly inbound: boolean } | undefined {
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
        made.push(deleteState(stateAddress(direction, pair, path)));
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
    this.#socket.request([deleteState(stateAddress('out', pair, path)), deleteState(stateAddress('in', pair, path))]);
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

  /**
   * All pairs follow to other ends. A state cannot change its addresses, so each is made anew from what the kernel says of it (keys, replay
   * window, sequence numbers, counters) and the old one removed; the numbers of the outbound one jump ahead, so that none is used twice
   * (RFC 4303 §3.3.3).
   * @throws {XfrmRefusal} when a state is gone, or when the kernel keeps its keys to itself (lockdown=confidentiality)
   */
  move(path: OuterPath): void {
    const old = this.#path;
    this.#path = path;
    if (!old) return;
    const localSame = sameAddress(old.local, path.local) && old.localPort === path.localPort;
    const remoteSame = sameAddress(old.remote, path.remote) && old.remotePort === path.remotePort;
    if (localSame && remoteSame) return;
    const moves: StateMove[] = [];
    try {
      for (const pair of this.#pairs.values()) {
        // Who sends to us, and from which port, is no matter of the inbound state (RFC 7296 §2.23).
        if (!localSame || old.remote.family !== path.remote.family) moves.push(this.#moveOf('in', pair, old, path));
        moves.push(this.#moveOf('out', pair, old, path));
      }
      // One datagram as a rule: between the end of a state and the policy that names its successor packets find none.
      const policies = this.#outbound(this.#addresses).map(putPolicy);
      const requests = [...moves.flatMap(({ remove, make }) => [remove, make]), ...policies];
      const problems = this.#socket.request(requests);
      const failed = problems.findIndex((problem, i) => problem !== undefined && requests[i]!.type !== nl.XFRM_MSG_DELSA);
      if (failed >= 0) throw new XfrmRefusal('moving SAs', problems[failed]!);
    } finally {
      for (const { make } of moves) wipe(...make.attributes.map(([, octets]) => octets));
    }
  }

  counters(pair: XfrmPair): PairCounters {
    const path = this.#mustPath();
    const inbound = this.#read(stateAddress('in', pair, path));
    const outbound = this.#read(stateAddress('out', pair, path));
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
    return (['in', 'out'] as const).every((direction) => this.#read(stateAddress(direction, pair, path)) !== undefined);
  }

  /** Removes everything, without asking whether it is there. */
  clear(): void {
    const policies = [...this.#inbound(this.#addresses), ...this.#forward(this.#addresses), ...this.#outbound(this.#addresses)];
    this.#socket.request(policies.map(deletePolicy));
    this.#addresses = [];
    // A Map may lose the entry that is being looked at.
    for (const spiIn of this.#pairs.keys()) this.remove(spiIn);
  }

  #moveOf(direction: 'in' | 'out', pair: XfrmPair, old: OuterPath, path: OuterPath): StateMove {
    const was = stateAddress(direction, pair, old);
    const state = this.#readWithKeys(was);
    const replay = state?.attributes.get(nl.XFRMA_REPLAY_ESN_VAL);
    if (!state || !replay) throw new XfrmRefusal('reading an SA', 'ESRCH');
    const algorithms = algorithmsOf(state);
    if (algorithms.length === 0 || algorithms.some(([, octets]) => hasNoKey(octets)))
      throw new XfrmRefusal('reading an SA', 'EPERM');
    const next = direction === 'out' ? skipSequences(replay, movedSequenceGap, pair.esn) : replay;
    this.#gone.replayed += state.replayed;
    this.#gone.unauthentic += state.unauthentic;
    const make = newState({ ...this.#state(direction, pair, path, algorithms, next), used: state.used });
    // The same destination and SPI cannot be there twice, so the old one goes first.
    return { remove: deleteState(was), make };
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
      interfaceId: this.#interfaceId,
      mark: inward ? 0 : this.#mark,
      esn: pair.esn,
      softBytes: pair.transform.softByteLimit,
      softPackets: pair.esn ? undefined : rekeySequence,
      algorithms,
      replay,
    };
  }

  #inbound(addresses: readonly IpAddress[]): Policy[] {
    return addresses.map((inner) => ({ direction: 'in', family: inner.family, inner, interfaceId: this.#interfaceId }));
  }

  /** What is passed on to others behind this machine has their addresses by then. */
  #forward(addresses: readonly IpAddress[]): Policy[] {
    const families = [...new Set<IpFamily>(addresses.map(({ family }) => family))];
    return families.map((family) => ({ direction: 'fwd', family, inner: undefined, interfaceId: this.#interfaceId }));
  }

  #outbound(addresses: readonly IpAddress[]): Policy[] {
    const path = this.#path;
    const pair = this.#current;
    if (!path || !pair) return [];
    const state = { source: path.local, destination: path.remote, spi: pair.spiOut };
    return addresses.map((inner) => ({ direction: 'out', family: inner.family, inner, interfaceId: this.#interfaceId, state }));
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
    return state?.interfaceId === this.#interfaceId ? state : undefined;
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

interface StateMove {
  readonly remove: XfrmRequest;
  /** Holds keys. */
  readonly make: XfrmRequest;
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

function stateAddress(direction: 'in' | 'out', pair: XfrmPair, path: OuterPath): StateAddress {
  return direction === 'in' ? { destination: path.local, spi: pair.spiIn } : { destination: path.remote, spi: pair.spiOut };
}

/** The key is at the end; a kernel that hides it says zeroes. */
function hasNoKey(algorithm: Uint8Array): boolean {
  return algorithm.subarray(-16).every((octet) => octet === 0);
}
