import {
  clampMss,
  innerMtu,
  InnerAddresses,
  ipPacketLength,
  natKeepalive,
  outerTrafficClass,
  packetTooBig,
  silenceMs,
  trafficClassOf,
} from '@aovpn/esp';
import { addressFromBytes } from '@aovpn/bytes';
import { constant, errno, errnoName, libc } from '../sys/index.ts';
import { CommandInbox } from './command-inbox.ts';
import { CipherScratch } from './esp-cipher.ts';
import { OutboundSa } from './outbound-sa.ts';
import { PacketMemory } from './packet-memory.ts';
import { SendBatch, type SendTarget } from './send-batch.ts';
import { rehearsalLength, rehearsalSa } from './rehearsal.ts';
import { Segmenter } from './segmenter.ts';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  NEEDS_CHECKSUM,
  virtioField,
  virtioHeaderLength,
} from './virtio-header.ts';
import { childCounterIndex, childRow, counter, sharedCounters, type WorkerCommand, type WorkerSetup } from './worker-protocol.ts';

const inputCapacity = 65536 + 64;
const outputCapacity = 256 * 1024;
/** Behind a packet that is being sealed: the whole digest of an HMAC. */
const slack = 64;
/** What waits is sent at the latest when there is so much of it, so that both ends work at the same time. */
const flushOctets = 48 * 1024;
/** Path errors, and packets without an answer, are told once in so many milliseconds. */
const troubleInterval = 1000;

/** The TUN → UDP direction: reads inner packets, seals them, sends them. Runs in its own thread until stopped. */
export class Transmitter {
  readonly #inbox: CommandInbox;
  readonly #counters: Float64Array;
  readonly #keepaliveMs: number;
  readonly #copyDscp: boolean;
  readonly #memory = new PacketMemory(inputCapacity + outputCapacity + 64 * 1024);
  readonly #scratch = new CipherScratch(this.#memory);
  readonly #input: number;
  readonly #output: number;
  readonly #polls: number;
  readonly #name: number;
  readonly #batch: SendBatch;
  readonly #segmenter: Segmenter;
  readonly #pairs = new Map<number, OutboundSa>();
  #current: OutboundSa | undefined;
  #addresses = new InnerAddresses([]);
  #device = -1;
  #deviceMtu = 0;
  #headerLength = 0;
  #target: SendTarget | undefined;
  #outerFamily: 4 | 6 = 4;
  #pathMtu = 0;
  /** The longest inner packet that needs no outer fragments. */
  #innerLimit = 0;
  #outputEnd: number;
  #lastSentAt = 0;
  #lastTroubleAt = 0;
  #lastSilenceAt = 0;

  constructor(setup: WorkerSetup) {
    this.#inbox = new CommandInbox(setup);
    this.#counters = sharedCounters(setup.shared);
    this.#keepaliveMs = setup.keepaliveMs;
    this.#copyDscp = setup.copyDscp;
    // The octets before the input take the headers of a segment; those behind it its trailer.
    this.#input = this.#memory.allocate(inputCapacity + 256) + 128;
    this.#output = this.#memory.allocate(outputCapacity);
    this.#outputEnd = this.#output;
    this.#polls = this.#memory.allocate(16);
    this.#name = this.#memory.allocate(32);
    this.#batch = new SendBatch(this.#memory, {
      tooBig: () => this.#count(counter.tooBig, 1),
      pathError: (code) => this.#pathError(code),
    });
    this.#segmenter = new Segmenter(this.#memory, (at, length) => this.#seal(at, length));
  }

  /** Before {@link run}; see {@link rehearsalSa}. */
  rehearse(): void {
    const pair = new OutboundSa(rehearsalSa(), this.#memory, this.#scratch);
    pair.seal(this.#input, rehearsalLength, this.#output);
    pair.free();
  }

  run(): void {
    while (!this.#inbox.stopped) {
      if (this.#inbox.waiting) this.#inbox.carryOut((command) => this.#perform(command));
      else if (this.#device < 0 || !this.#readDevice()) this.#wait();
    }
    for (const pair of this.#pairs.values()) pair.free();
    this.#memory.octets.fill(0);
    this.#inbox.close();
  }

  /** Reads packets until none waits or there is something else to do. False: none waits. */
  #readDevice(): boolean {
    const { base } = this.#memory;
    for (let i = 0; i < 64; i++) {
      const length = libc.read(this.#device, base + this.#input, inputCapacity);
      if (length > 0) {
        this.#take(this.#input + this.#headerLength, length - this.#headerLength);
        if (this.#batch.octets >= flushOctets) this.#flush();
        if (this.#inbox.waiting) break;
      } else {
        this.#flush();
        if (length === -errno.EAGAIN) return false;
        if (length !== -errno.EINTR) {
          this.#device = -1;
          this.#inbox.post({ kind: 'device-gone', code: errnoName(-length) });
        }
        return true;
      }
    }
    this.#flush();
    return true;
  }

  /** One packet of the device, perhaps a joined one. */
  #take(at: number, available: number): void {
    const { octets, view } = this.#memory;
    const length = ipPacketLength(octets, at, available);
    if (length === 0) return this.#count(counter.malformed, 1);
    if (!this.#addresses.allowsOutbound(octets, at)) return this.#count(counter.policyOut, 1);
    if (!this.#current || !this.#target) return this.#count(counter.noSa, 1);
    const header = at - virtioHeaderLength;
    const gsoType = this.#headerLength === 0 ? GSO_NONE : octets[header + virtioField.gsoType]! & ~GSO_ECN;
    if (gsoType === GSO_NONE) {
      if (this.#headerLength > 0 && octets[header + virtioField.flags]! & NEEDS_CHECKSUM) {
        const start = view.getUint16(header + virtioField.checksumStart, true);
        const field = start + view.getUint16(header + virtioField.checksumOffset, true);
        if (field + 2 > length) return this.#count(counter.malformed, 1);
        // The field holds the sum of the pseudo header already.
        const sum = ~this.#memory.sum(at + start, length - start) & 0xffff;
        view.setUint16(at + field, sum === 0 ? 0xffff : sum, true);
      }
      if (length > this.#innerLimit && this.#refuse(at, length)) return;
      clampMss(octets, at, length, this.#innerLimit);
      return this.#seal(at, length);
    }
    const size = view.getUint16(header + virtioField.gsoSize, true);
    const protocol = gsoType === GSO_UDP ? 17 : gsoType === GSO_TCPV4 || gsoType === GSO_TCPV6 ? 6 : 0;
    if (protocol === 0) return this.#count(counter.malformed, 1);
    const ipHeader = octets[at]! >>> 4 === 4 ? (octets[at]! & 15) * 4 : 40;
    const upperHeader = protocol === 6 ? (octets[at + ipHeader + 12]! >>> 4) * 4 : 8;
    if (ipHeader + upperHeader + size > this.#innerLimit && this.#refuse(at, length)) return;
    if (!this.#segmenter.split(at, length, size, protocol)) this.#count(counter.malformed, 1);
  }

  /** Tells the sender that its packet is too long. False: it may go, in outer fragments. */
  #refuse(at: number, length: number): boolean {
    const { octets } = this.#memory;
    const v6 = octets[at]! >>> 4 === 6;
    // IPv6 packets of 1280 octets always pass (RFC 8200 §5), if need be in outer fragments.
    if (v6 && this.#innerLimit < 1280 && length <= 1280) return false;
    const error = packetTooBig(octets, at, length, v6 ? Math.max(1280, this.#innerLimit) : this.#innerLimit);
    if (!error) return false;
    this.#count(counter.tooBig, 1);
    const to = this.#output;
    this.#flush();
    octets.fill(0, to, to + this.#headerLength);
    octets.set(error, to + this.#headerLength);
    libc.write(this.#device, this.#memory.address(to), this.#headerLength + error.length);
    return true;
  }

  /** Seals an inner packet and puts it into the batch. */
  #seal(at: number, length: number): void {
    const sa = this.#current!;
    const target = this.#target!;
    const sealed = sa.lengthOf(length);
    if (this.#outputEnd + sealed + slack > this.#output + outputCapacity) this.#flush();
    if (sa.seal(at, length, this.#outputEnd) === 0) return this.#count(counter.noSa, 1);
    const trafficClass = outerTrafficClass(trafficClassOf(this.#memory.octets, at), this.#copyDscp);
    if (!this.#batch.append(this.#outputEnd, sealed, target, trafficClass)) {
      const from = this.#outputEnd;
      this.#flush();
      this.#memory.octets.copyWithin(this.#outputEnd, from, from + sealed);
      this.#batch.append(this.#outputEnd, sealed, target, trafficClass);
    }
    this.#outputEnd += sealed;
    this.#count(counter.packetsOut, 1);
    this.#count(counter.bytesOut, length);
  }

  #flush(): void {
    if (this.#batch.octets === 0) return;
    this.#batch.flush(this.#target!);
    this.#outputEnd = this.#output;
    this.#lastSentAt = this.#inbox.now();
    this.#heedSilence();
    const sa = this.#current;
    if (!sa) return;
    this.#counters[childCounterIndex(sa.row, childRow.bytesOut)] = sa.bytes;
    this.#counters[childCounterIndex(sa.row, childRow.sequenceOut)] = sa.sequence;
    if (!sa.rekeyAsked && sa.state !== 'fine') {
      sa.rekeyAsked = true;
      this.#inbox.post({
        kind: 'rekey-needed',
        spiIn: sa.spiIn,
        why: sa.bytes >= sa.transform.softByteLimit ? 'bytes' : 'sequence',
      });
    }
  }

  /** The main thread need not look by a timer, which would wake an idle machine, for what can only be so when packets leave. */
  #heedSilence(): void {
    const now = this.#lastSentAt;
    if (now - this.#counters[counter.lastInboundAt]! <= silenceMs || now - this.#lastSilenceAt < troubleInterval) return;
    this.#lastSilenceAt = now;
    this.#inbox.post({ kind: 'unanswered' });
  }

  /** Sleeps until the device, a command or a keepalive needs us. */
  #wait(): void {
    const { words, base } = this.#memory;
    const entry = this.#polls >> 2;
    words[entry] = this.#inbox.wakeFd;
    words[entry + 1] = constant.POLLIN;
    words[entry + 2] = this.#device;
    words[entry + 3] = constant.POLLIN;
    const ready = libc.poll(base + this.#polls, 2, this.#keepaliveTimeout());
    // A wake-up may come after its command was taken already: unread, it would keep us awake for ever.
    if (ready > 0 && words[entry + 1]! >> 16 !== 0) this.#inbox.carryOut((command) => this.#perform(command));
  }

  /** Milliseconds until a keepalive is due, which is sent when it is (RFC 3948 §4: only when nothing else was); −1 for never. */
  #keepaliveTimeout(): number {
    if (this.#keepaliveMs === 0 || !this.#target) return -1;
    const now = this.#inbox.now();
    const lastSentAt = Math.max(this.#lastSentAt, this.#counters[counter.lastIkeSentAt]!);
    const left = lastSentAt + this.#keepaliveMs - now;
    if (left > 0) return Math.ceil(left);
    this.#memory.octets[this.#output] = natKeepalive;
    this.#batch.append(this.#output, 1, this.#target);
    this.#batch.flush(this.#target);
    this.#lastSentAt = now;
    return this.#keepaliveMs;
  }

  #perform(command: WorkerCommand): void {
    switch (command.kind) {
      case 'device':
        this.#device = command.fd;
        this.#deviceMtu = command.mtu;
        this.#headerLength = command.offload.vnetHeader ? virtioHeaderLength : 0;
        return this.#setLimits();
      case 'flow': {
        this.#flush();
        this.#memory.octets.set(command.remote, this.#name);
        this.#outerFamily = command.family;
        this.#pathMtu = command.pathMtu;
        this.#target = {
          fd: command.fd,
          family: command.remote.length > 0 ? command.family : 'none',
          address: this.#name,
          addressLength: command.remote.length,
          segmentation: command.segmentation,
          segmentLength: command.pathMtu - (command.family === 4 ? 28 : 48),
        };
        this.#lastSentAt = this.#inbox.now();
        return this.#setLimits();
      }
      case 'install':
        this.#pairs.set(command.spiIn, new OutboundSa(command, this.#memory, this.#scratch));
        return;
      case 'use':
        this.#flush();
        this.#current = this.#pairs.get(command.spiIn) ?? this.#current;
        return this.#setLimits();
      case 'remove': {
        const pair = this.#pairs.get(command.spiIn);
        if (!pair) return;
        this.#flush();
        if (this.#current === pair) this.#current = undefined;
        this.#pairs.delete(command.spiIn);
        return pair.free();
      }
      case 'addresses':
        this.#addresses = new InnerAddresses(command.addresses.map(addressFromBytes));
        return;
      case 'path-mtu': {
        this.#flush();
        this.#pathMtu = command.mtu;
        if (this.#target) this.#target = { ...this.#target, segmentLength: command.mtu - (this.#outerFamily === 4 ? 28 : 48) };
        return this.#setLimits();
      }
      case 'retire':
        return;
    }
  }

  #setLimits(): void {
    const transform = this.#current?.transform;
    const limit = transform && this.#pathMtu > 0 ? innerMtu(this.#pathMtu, this.#outerFamily, transform) : this.#deviceMtu;
    this.#innerLimit = Math.min(this.#deviceMtu, Math.max(limit, smallestInnerLimit));
  }

  #pathError(code: string): void {
    const now = this.#inbox.now();
    if (now - this.#lastTroubleAt < troubleInterval) return;
    this.#lastTroubleAt = now;
    this.#inbox.post({ kind: 'path-error', code });
  }

  #count(index: number, by: number): void {
    this.#counters[index]! += by;
  }
}

/** However small somebody says the path is: below that, outer fragments are the lesser evil (RFC 1191 §7, RFC 879). */
const smallestInnerLimit = 552;
