import { constant, errno, errnoName, libc } from '../sys/index.ts';
import type { PacketMemory } from './packet-memory.ts';

const messageLimit = 64;
/** `UDP_MAX_SEGMENTS` of Linux before 6.10. */
const segmentLimit = 64;
/** A send with `UDP_SEGMENT` is one IP packet until it is split. */
const segmentedLimit = 65535 - 48 - 64;
const messageLength = 64;
/** Two control messages: `UDP_SEGMENT`, and the Traffic Class. */
const controlLength = 48;
const segmentControlLength = 24;

/** Where batches go. */
export interface SendTarget {
  readonly fd: number;
  /** For the Traffic Class of outer packets; a packet pair in front of a TCP connection has none. */
  readonly family: 4 | 6 | 'none';
  /** Where the socket address lies in packet memory. */
  readonly address: number;
  readonly addressLength: number;
  /** Whether equal datagrams may go as one. */
  segmentation: boolean;
  /** The longest datagram that needs no fragments: longer ones never go by segmentation. */
  readonly segmentLength: number;
}

/** What happened to datagrams that could not be sent. */
export interface SendTrouble {
  tooBig(): void;
  pathError(code: string): void;
}

/**
 * Datagrams that lie behind each other in memory, sent with as few system calls as the kernel allows: runs of equal length become one message
 * with `UDP_SEGMENT` (the last may be shorter), and all messages go by one `sendmmsg`.
 */
export class SendBatch {
  readonly #memory: PacketMemory;
  readonly #trouble: SendTrouble;
  readonly #messages: number;
  readonly #vectors: number;
  readonly #controls: number;
  readonly #pollEntry: number;
  // Run i: where it starts, length of each datagram, number of them, octets in all, Traffic Class.
  readonly #start = new Int32Array(messageLimit);
  readonly #size = new Int32Array(messageLimit);
  readonly #count = new Int32Array(messageLimit);
  readonly #total = new Int32Array(messageLimit);
  readonly #trafficClass = new Int32Array(messageLimit);
  #runs = 0;
  #closed = true;
  #octets = 0;

  constructor(memory: PacketMemory, trouble: SendTrouble) {
    this.#memory = memory;
    this.#trouble = trouble;
    this.#messages = memory.allocate(messageLimit * messageLength);
    this.#vectors = memory.allocate(messageLimit * 16);
    this.#controls = memory.allocate(messageLimit * controlLength);
    this.#pollEntry = memory.allocate(8);
    for (let i = 0; i < messageLimit; i++) {
      const control = this.#controls + i * controlLength;
      memory.setSize(control, 18);
      memory.words[(control >> 2) + 2] = constant.SOL_UDP;
      memory.words[(control >> 2) + 3] = constant.UDP_SEGMENT;
    }
  }

  /** Octets that wait. */
  get octets(): number {
    return this.#octets;
  }

  /** Takes a datagram in; it must lie directly behind the one before, or the batch be empty. False: flush first. */
  append(at: number, length: number, target: SendTarget, trafficClass = 0): boolean {
    const last = this.#runs - 1;
    if (
      !this.#closed &&
      length <= this.#size[last]! &&
      trafficClass === this.#trafficClass[last]! &&
      this.#count[last]! < segmentLimit &&
      this.#total[last]! + length <= segmentedLimit &&
      at === this.#start[last]! + this.#total[last]!
    ) {
      this.#count[last]!++;
      this.#total[last]! += length;
      this.#closed = length < this.#size[last]!;
    } else {
      if (this.#runs === messageLimit) return false;
      const run = this.#runs++;
      this.#start[run] = at;
      this.#size[run] = length;
      this.#count[run] = 1;
      this.#total[run] = length;
      this.#trafficClass[run] = trafficClass;
      this.#closed = !target.segmentation || length > target.segmentLength;
    }
    this.#octets += length;
    return true;
  }

  /** Sends everything; waits for room in the socket's buffer, since dropping here would only make the sender repeat itself. */
  flush(target: SendTarget): void {
    for (let run = 0; run < this.#runs; run++) {
      this.#prepare(run, this.#start[run]!, this.#total[run]!, this.#count[run]! > 1 ? this.#size[run]! : 0, target);
    }
    const runs = this.#runs;
    this.#runs = 0;
    this.#octets = 0;
    this.#closed = true;
    let sent = 0;
    let trials = 0;
    while (sent < runs) {
      const result = this.#send(target, sent, runs - sent);
      if (result > 0) {
        sent += result;
        trials = 0;
      } else if (trials++ < 40 && this.#shouldRepeat(-result, trials, target)) {
        continue;
      } else {
        if (this.#count[sent]! > 1 && isSegmentationRefusal(-result)) this.#sendSingly(sent, target, -result);
        else this.#fail(-result);
        sent++;
        trials = 0;
      }
    }
  }

  #send(target: SendTarget, first: number, count: number): number {
    const { base } = this.#memory;
    const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
    return libc.sendmmsg(target.fd, base + this.#messages + first * messageLength, count, flags);
  }

  /** EAGAIN waits for room; another error may be an old ICMP answer that the kernel hands out once, so everything is tried twice. */
  #shouldRepeat(code: number, trials: number, target: SendTarget): boolean {
    if (code === errno.EINTR) return true;
    if (code === errno.EAGAIN || code === errno.ENOBUFS) {
      const { words, base } = this.#memory;
      words[this.#pollEntry >> 2] = target.fd;
      words[(this.#pollEntry >> 2) + 1] = code === errno.EAGAIN ? constant.POLLOUT : 0;
      libc.poll(base + this.#pollEntry, 1, code === errno.EAGAIN ? 50 : 1);
      return true;
    }
    return trials === 1;
  }

  #prepare(message: number, at: number, length: number, segment: number, target: SendTarget): void {
    const memory = this.#memory;
    const vector = this.#vectors + message * 16;
    memory.setPointer(vector, at);
    memory.setSize(vector + 8, length);
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
    const header = this.#messages + message * messageLength;
    memory.setPointer(header, target.address);
    memory.words[(header + 8) >> 2] = target.addressLength;
    memory.setPointer(header + 16, vector);
    memory.setSize(header + 24, 1);
    const trafficClass = target.family === 'none' ? 0 : this.#trafficClass[message]!;
    const control = this.#controls + message * controlLength;
    if (segment > 0) memory.words[(control + 16) >> 2] = segment;
    if (trafficClass > 0) {
      // struct cmsghdr: length (8 octets), level, type; then the value
      const words = (control + segmentControlLength) >> 2;
      memory.setSize(control + segmentControlLength, 20);
      memory.words[words + 2] = target.family === 4 ? constant.SOL_IP : constant.SOL_IPV6;
      memory.words[words + 3] = target.family === 4 ? constant.IP_TOS : constant.IPV6_TCLASS;
      memory.words[words + 4] = trafficClass;
    }
    const from = segment > 0 ? control : control + segmentControlLength;
    const controls = (segment > 0 ? segmentControlLength : 0) + (trafficClass > 0 ? controlLength - segmentControlLength : 0);
    if (controls > 0) memory.setPointer(header + 32, from);
    else memory.setNull(header + 32);
    memory.setSize(header + 40, controls);
    memory.words[(header + 48) >> 2] = 0;
  }

  /** The kernel or the device would not split: one by one, and with EIO never again (no checksum offload there). */
  #sendSingly(run: number, target: SendTarget, code: number): void {
    if (code === errno.EIO || code === errno.EOPNOTSUPP) target.segmentation = false;
    const size = this.#size[run]!;
    const end = this.#start[run]! + this.#total[run]!;
    for (let at = this.#start[run]!; at < end; at += size) {
      this.#prepare(run, at, Math.min(size, end - at), 0, target);
      for (let trials = 0; ;) {
        const result = this.#send(target, run, 1);
        if (result > 0) break;
        if (trials++ < 40 && this.#shouldRepeat(-result, trials, target)) continue;
        this.#fail(-result);
        break;
      }
    }
  }

  #fail(code: number): void {
    if (code === errno.EMSGSIZE) this.#trouble.tooBig();
    else this.#trouble.pathError(errnoName(code));
  }
}

function isSegmentationRefusal(code: number): boolean {
  return code === errno.EINVAL || code === errno.EMSGSIZE || code === errno.EIO || code === errno.EOPNOTSUPP;
}
