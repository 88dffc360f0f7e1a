import { addressFromBytes } from '@aovpn/bytes';
import {
  clampMss,
  classifyDatagram,
  familyOfNextHeader,
  InnerAddresses,
  innerTrafficClass,
  ipPacketLength,
  NextHeader,
  nonEspMarkerLength,
  setTrafficClass,
  trafficClassOf,
} from '@aovpn/esp';
import { constant, errno, errnoName, libc } from '../sys/index.ts';
import { Coalescer } from './coalescer.ts';
import { CommandInbox } from './command-inbox.ts';
import { EarlyPackets } from './early-packets.ts';
import { readErrorQueue } from './error-queue.ts';
import { CipherScratch } from './esp-cipher.ts';
import { InboundSa } from './inbound-sa.ts';
import { PacketMemory } from './packet-memory.ts';
import { rehearsalLength, rehearsalSa } from './rehearsal.ts';
import { childCounterIndex, childRow, counter, sharedCounters, type WorkerCommand, type WorkerSetup } from './worker-protocol.ts';

/** Datagrams in memory at the same time; those of a joined packet stay there until it is written. */
const slots = 48;
/** Room for the longest datagram or GRO packet; not a power of two, so that slots do not fight for the same cache lines. */
const slotStride = 65536 + 2112;
const messageLength = 64;
const nameLength = 32;
const controlLength = 64;
/** IKE messages that may wait for the main thread; a flood beyond is dropped. */
const ikeBacklog = 128;
const troubleInterval = 1000;

/** The UDP → TUN direction: receives datagrams, opens ESP, writes inner packets; hands IKE on. Runs in its own thread until stopped. */
export class Receiver {
  readonly #inbox: CommandInbox;
  readonly #counters: Float64Array;
  readonly #memory = new PacketMemory((slots + 1) * slotStride + 128 * 1024);
  readonly #scratch = new CipherScratch(this.#memory);
  readonly #slots: number;
  readonly #messages: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #polls: number;
  readonly #coalescer: Coalescer;
  readonly #pairs = new Map<number, InboundSa>();
  readonly #early = new EarlyPackets();
  readonly #earlySlot: number;
  /** The newest first. */
  #sockets: number[] = [];
  #addresses = new InnerAddresses([]);
  #device = -1;
  #deviceMtu = 0;
  #lastPair: InboundSa | undefined;
  /** Traffic Class of the outer header of what is being taken. */
  #outerClass = 0;
  /** Datagrams to ask for at a time: few while the kernel joins them, since those fill the cache by themselves. */
  #want = 16;
  #ikeHandedOn = 0;
  #lastTroubleAt = 0;

  constructor(setup: WorkerSetup) {
    this.#inbox = new CommandInbox(setup);
    this.#counters = sharedCounters(setup.shared);
    const memory = this.#memory;
    this.#messages = memory.allocate(slots * messageLength);
    this.#names = memory.allocate(slots * nameLength);
    this.#controls = memory.allocate(slots * controlLength);
    this.#polls = memory.allocate(8 * 8);
    const vectors = memory.allocate(slots * 16);
    this.#coalescer = new Coalescer(memory, (code) => this.#deviceFailed(code));
    this.#slots = memory.allocate(slots * slotStride);
    this.#earlySlot = memory.allocate(slotStride);
    for (let i = 0; i < slots; i++) {
      memory.setPointer(vectors + i * 16, this.#slots + i * slotStride);
      memory.setSize(vectors + i * 16 + 8, 65536);
      const message = this.#messages + i * messageLength;
      memory.setPointer(message, this.#names + i * nameLength);
      memory.setPointer(message + 16, vectors + i * 16);
      memory.setSize(message + 24, 1);
      memory.setPointer(message + 32, this.#controls + i * controlLength);
    }
  }

  /** Before {@link run}; see {@link rehearsalSa}. */
  rehearse(): void {
    const pair = new InboundSa(rehearsalSa(), this.#memory, this.#scratch);
    pair.open(this.#earlySlot, rehearsalLength);
    pair.free();
  }

  run(): void {
    while (!this.#inbox.stopped) {
      if (this.#inbox.waiting) this.#inbox.carryOut((command) => this.#perform(command));
      else this.#wait();
    }
    for (const pair of this.#pairs.values()) pair.free();
    this.#memory.octets.fill(0);
    this.#inbox.close();
  }

  /** Sleeps until a datagram, an error or a command comes, and takes the datagrams. */
  #wait(): void {
    const { words, base } = this.#memory;
    const entry = this.#polls >> 2;
    words[entry] = this.#inbox.wakeFd;
    words[entry + 1] = constant.POLLIN;
    const sockets = this.#sockets;
    for (let i = 0; i < sockets.length; i++) {
      words[entry + 2 + 2 * i] = sockets[i]!;
      words[entry + 3 + 2 * i] = constant.POLLIN;
    }
    if (libc.poll(base + this.#polls, 1 + sockets.length, -1) <= 0) return;
    // A wake-up may come after its command was taken already: unread, it would keep us awake for ever.
    if (words[entry + 1]! >> 16 !== 0) return this.#inbox.carryOut((command) => this.#perform(command));
    for (let i = 0; i < sockets.length; i++) {
      // events in the lower half of the word, revents in the upper
      const events = words[entry + 3 + 2 * i]! >> 16;
      if (events & constant.POLLERR) this.#takeErrors(sockets[i]!);
      if (events & constant.POLLIN) this.#takeDatagrams(sockets[i]!);
    }
  }

  /** Takes everything that waits in a socket, or until a command comes. */
  #takeDatagrams(fd: number): void {
    const { words, base } = this.#memory;
    let next = 0;
    while (!this.#inbox.waiting) {
      const want = Math.min(this.#want, slots - next);
      for (let i = next; i < next + want; i++) {
        const message = (this.#messages + i * messageLength) >> 2;
        words[message + 2] = nameLength;
        words[message + 10] = controlLength;
        words[message + 12] = 0;
      }
      const got = libc.recvmmsg(fd, base + this.#messages + next * messageLength, want, constant.MSG_DONTWAIT);
      if (got < 0) {
        if (got === -errno.EINTR) continue;
        // An ICMP error for something sent earlier: told once, receiving goes on.
        if (got !== -errno.EAGAIN) this.#pathError(errnoName(-got));
        break;
      }
      let octets = 0;
      for (let i = next; i < next + got; i++) octets += this.#takeMessage(i);
      this.#publish();
      next += got;
      // Joined packets of the kernel are nearly full: there is nothing to gain by keeping them.
      this.#want = octets > got * 8192 ? 4 : 24;
      if (got < want) break;
      if (next === slots) {
        this.#coalescer.flush();
        next = 0;
      }
    }
    this.#coalescer.flush();
  }

  /** One message of `recvmmsg`: a datagram, or equal ones joined by UDP_GRO. Returns its octets. */
  #takeMessage(slot: number): number {
    const { words } = this.#memory;
    const message = (this.#messages + slot * messageLength) >> 2;
    const length = words[message + 14]!;
    const at = this.#slots + slot * slotStride;
    if (words[message + 12]! & (constant.MSG_TRUNC | constant.MSG_CTRUNC)) {
      this.#count(counter.malformed, 1);
      return length;
    }
    let size = length;
    // struct cmsghdr: length (8 octets), level, type; then the value. Each takes 24 octets here.
    const controls = (this.#controls + slot * controlLength) >> 2;
    const controlsEnd = controls + (words[message + 10]! >> 2);
    this.#outerClass = 0;
    for (let control = controls; control + 4 < controlsEnd; control += 6) {
      const level = words[control + 2];
      const type = words[control + 3];
      if (level === constant.SOL_UDP && type === constant.UDP_GRO) {
        const joined = words[control + 4]!;
        if (joined > 0) size = joined;
      } else if (
        (level === constant.SOL_IP && type === constant.IP_TOS) ||
        (level === constant.SOL_IPV6 && type === constant.IPV6_TCLASS)
      ) {
        // IPv4 gives one octet, IPv6 an int.
        this.#outerClass = words[control + 4]! & 0xff;
      }
    }
    const end = at + length;
    for (let start = at; start < end; start += size) this.#takeDatagram(start, Math.min(size, end - start), slot);
    return length;
  }

  #takeDatagram(at: number, length: number, slot: number): void {
    const kind = classifyDatagram(this.#memory.octets, at, length);
    if (kind === 'esp') this.#takeEsp(at, length);
    else if (kind === 'ike') this.#handOn(at + nonEspMarkerLength, length - nonEspMarkerLength, slot);
    else if (kind === 'malformed') this.#count(counter.malformed, 1);
  }

  #takeEsp(at: number, length: number): void {
    const { octets, view } = this.#memory;
    if (length < 8) return this.#count(counter.malformed, 1);
    const spi = view.getUint32(at);
    let pair = this.#lastPair;
    if (pair?.spiIn !== spi) {
      pair = this.#pairs.get(spi);
      if (!pair) {
        this.#early.keep(spi, octets.slice(at, at + length), this.#inbox.now());
        return this.#count(counter.unknownSpi, 1);
      }
      this.#publish();
      this.#lastPair = pair;
    }
    const refusal = pair.open(at, length);
    if (refusal !== undefined) return this.#count(counter[refusal], 1);
    const { payloadAt } = pair;
    if (pair.nextHeader === NextHeader.NONE) return;
    // What padding for traffic flow confidentiality there is lies behind the packet (RFC 4303 §2.7).
    const inner = ipPacketLength(octets, payloadAt, pair.payloadLength);
    if (inner === 0 || familyOfNextHeader(pair.nextHeader) !== octets[payloadAt]! >>> 4) return this.#count(counter.malformed, 1);
    if (!this.#addresses.allowsInbound(octets, payloadAt)) return this.#count(counter.policyIn, 1);
    if (this.#outerClass !== 0 && !this.#takeEcn(payloadAt)) return this.#count(counter.policyIn, 1);
    pair.bytes += inner;
    this.#count(counter.packetsIn, 1);
    this.#count(counter.bytesIn, inner);
    if (this.#device < 0) return;
    clampMss(octets, payloadAt, inner, this.#deviceMtu);
    this.#coalescer.add(payloadAt, inner);
  }

  /** What the network on the way said about congestion, for the inner packet. False: it is dropped (RFC 6040 §4.2). */
  #takeEcn(at: number): boolean {
    const { octets } = this.#memory;
    const inner = trafficClassOf(octets, at);
    const now = innerTrafficClass(inner, this.#outerClass);
    if (now === undefined) return false;
    if (now !== inner) setTrafficClass(octets, at, now);
    return true;
  }

  /** What came for a pair before the pair was there. */
  #takeEarly(spi: number): void {
    this.#outerClass = 0;
    for (const packet of this.#early.take(spi, this.#inbox.now())) {
      this.#memory.octets.set(packet, this.#earlySlot);
      this.#count(counter.unknownSpi, -1);
      this.#takeEsp(this.#earlySlot, packet.length);
      this.#publish();
      this.#coalescer.flush();
    }
  }

  /** An IKE message for the main thread. */
  #handOn(at: number, length: number, slot: number): void {
    if (this.#ikeHandedOn - this.#inbox.ikeTaken >= ikeBacklog) return this.#count(counter.malformed, 1);
    this.#ikeHandedOn = (this.#ikeHandedOn + 1) | 0;
    const { octets } = this.#memory;
    const name = this.#names + slot * nameLength;
    this.#inbox.post({
      kind: 'ike',
      datagram: octets.slice(at, at + length),
      from: octets.slice(name, name + 28),
      at: this.#inbox.now(),
    });
  }

  /** Makes what was counted for the last pair visible. */
  #publish(): void {
    const pair = this.#lastPair;
    if (!pair) return;
    const index = childCounterIndex(pair.row, childRow.bytesIn);
    if (this.#counters[index] === pair.bytes) return;
    this.#counters[index] = pair.bytes;
    this.#counters[counter.lastInboundAt] = this.#inbox.now();
    if (pair.rekeyAsked) return;
    const why = pair.rekeyWhy;
    if (!why) return;
    pair.rekeyAsked = true;
    this.#inbox.post({ kind: 'rekey-needed', spiIn: pair.spiIn, why });
  }

  #takeErrors(fd: number): void {
    for (const error of readErrorQueue(fd)) {
      if (error.pathMtu > 0) this.#inbox.post({ kind: 'path-mtu', mtu: error.pathMtu });
      else this.#pathError(errnoName(error.errno));
    }
  }

  #pathError(code: string): void {
    const now = this.#inbox.now();
    if (now - this.#lastTroubleAt < troubleInterval) return;
    this.#lastTroubleAt = now;
    this.#inbox.post({ kind: 'path-error', code });
  }

  /** EIO: the device is down, which is the plan's affair; EINVAL: a packet that the kernel does not like. */
  #deviceFailed(code: number): void {
    if (code !== errno.EBADFD || this.#device < 0) return;
    this.#device = -1;
    this.#inbox.post({ kind: 'device-gone', code: errnoName(code) });
  }

  #perform(command: WorkerCommand): void {
    switch (command.kind) {
      case 'device':
        this.#device = command.fd;
        this.#deviceMtu = command.mtu;
        return this.#coalescer.setDevice(command.fd, command.offload);
      case 'flow':
        this.#sockets = [command.fd, ...this.#sockets.filter((fd) => fd !== command.fd)].slice(0, 4);
        return;
      case 'retire':
        this.#sockets = this.#sockets.filter((fd) => fd !== command.fd);
        return;
      case 'install':
        this.#pairs.set(command.spiIn, new InboundSa(command, this.#memory, this.#scratch));
        return this.#takeEarly(command.spiIn);
      case 'remove': {
        const pair = this.#pairs.get(command.spiIn);
        if (!pair) return;
        if (this.#lastPair === pair) this.#lastPair = undefined;
        this.#pairs.delete(command.spiIn);
        return pair.free();
      }
      case 'addresses':
        this.#addresses = new InnerAddresses(command.addresses.map(addressFromBytes));
        return;
      case 'use':
      case 'path-mtu':
        return;
    }
  }

  #count(index: number, by: number): void {
    this.#counters[index]! += by;
  }
}
