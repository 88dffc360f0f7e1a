import {
  check,
  closeDescriptor,
  constant,
  errno,
  libc,
  littleEndian,
  setOption,
  setBuffer,
  watchReadable,
} from '../sys/index.ts';
import { encodeLinkAddress, linkAddressLength } from './link-address.ts';

/** A packet that this machine sent, as the device got it: below every filter, route and queue discipline. */
export interface CapturedPacket {
  /** Milliseconds since the epoch, by the kernel. */
  readonly at: number;
  readonly index: number;
  readonly etherType: number;
  /** From the network header on, at most {@link snapLength} octets; good until the callback returns. */
  readonly octets: Uint8Array;
}

export interface PacketCapture {
  /** Packets that the kernel could not keep for us since the start: what was not seen cannot be judged. */
  missed(): number;
  /** Takes in what waits now. */
  drain(): void;
  close(): void;
}

/** Headers, a DNS question, and our own marks fit; what is secret in a packet mostly does not. Octets. */
const snapLength = 512;
const batch = 64;
const bufferOctets = 16 << 20;
const controlLength = 64;
const messageHeader = 56;
/** `struct mmsghdr` of 64-bit Linux. */
const messageLength = 64;

/** Classic BPF, <linux/filter.h>: operations and the places of what stands beside the packet. */
const load = 0x20;
const jumpEqual = 0x15;
const answer = 0x06;
const besidePacket = 0xffff_f000;
const packetType = besidePacket + 4;
const interfaceIndex = besidePacket + 8;

/**
 * Hears every packet that leaves by any device but loopback (AF_PACKET). Needs CAP_NET_RAW. What leaves by AF_XDP or is offloaded to
 * hardware never comes by here.
 * @throws {SysError}
 */
export function openPacketCapture(onPacket: (packet: CapturedPacket) => void): PacketCapture {
  const type = constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC;
  // Protocol 0: nothing is heard before the filter is there.
  const fd = check('socket AF_PACKET', libc.socket(constant.AF_PACKET, type, 0));
  let missed = 0;
  let open = true;
  try {
    attachOutgoingFilter(fd);
    setBuffer(fd, 'receive', bufferOctets);
    setOption(fd, constant.SOL_SOCKET, constant.SO_TIMESTAMPNS, 1);
    const any = encodeLinkAddress(constant.ETH_P_ALL, 0);
    check('bind AF_PACKET', libc.bindSocket(fd, libc.addressOf(any), any.length));
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  const ring = new Ring();
  const drain = (): void => {
    while (open) {
      const count = libc.recvmmsg(fd, ring.prepare(), batch, constant.MSG_DONTWAIT);
      // A device that went down tells so once; the others go on.
      if (count === -errno.EINTR || count === -errno.ENETDOWN) continue;
      if (count <= 0) return;
      for (let i = 0; i < count && open; i++) onPacket(ring.packet(i));
      if (count < batch) return;
    }
  };
  const watch = watchReadable(fd, drain);
  return {
    missed: () => {
      if (open) missed += takeDrops(fd);
      return missed;
    },
    drain,
    close: () => {
      if (!open) return;
      missed += takeDrops(fd);
      open = false;
      watch.close();
      closeDescriptor(fd);
    },
  };
}

function attachOutgoingFilter(fd: number): void {
  const loopback = libc.interfaceIndex('lo');
  const program: readonly (readonly [number, number, number, number])[] = [
    [load, 0, 0, packetType],
    [jumpEqual, 0, 3, constant.PACKET_OUTGOING],
    [load, 0, 0, interfaceIndex],
    [jumpEqual, 1, 0, loopback],
    [answer, 0, 0, snapLength],
    [answer, 0, 0, 0],
  ];
  const code = new DataView(new ArrayBuffer(128));
  for (const [i, [operation, ifTrue, ifFalse, value]] of program.entries()) {
    code.setUint16(i * 8, operation, littleEndian);
    code.setUint8(i * 8 + 2, ifTrue);
    code.setUint8(i * 8 + 3, ifFalse);
    code.setUint32(i * 8 + 4, value, littleEndian);
  }
  const description = new DataView(new ArrayBuffer(128));
  description.setUint16(0, program.length, littleEndian);
  description.setBigUint64(8, BigInt(libc.addressOf(code)), littleEndian);
  check(
    'setsockopt SO_ATTACH_FILTER',
    libc.setsockopt(fd, constant.SOL_SOCKET, constant.SO_ATTACH_FILTER, libc.addressOf(description), 16),
  );
  libc.keepUntilHere(code);
}

/** Reading the counter sets it back to zero. */
function takeDrops(fd: number): number {
  const counts = new Uint32Array(new ArrayBuffer(128), 0, 2);
  const length = new Uint32Array(new ArrayBuffer(128), 0, 1);
  length[0] = 8;
  const result = libc.getsockopt(
    fd,
    constant.SOL_PACKET,
    constant.PACKET_STATISTICS,
    libc.addressOf(counts),
    libc.addressOf(length),
  );
  return result < 0 ? 0 : counts[1]!;
}

/** Memory for one `recvmmsg` of a whole batch. */
class Ring {
  readonly #memory = new ArrayBuffer(batch * (messageLength + 16 + linkAddressLength + 4 + controlLength + snapLength));
  readonly #view = new DataView(this.#memory);
  readonly #octets = new Uint8Array(this.#memory);
  readonly #vectors = batch * messageLength;
  readonly #names = this.#vectors + batch * 16;
  readonly #controls = this.#names + batch * (linkAddressLength + 4);
  readonly #data = this.#controls + batch * controlLength;
  readonly #base = libc.addressOf(this.#memory);

  /** The address of the array of headers, fresh for the next call. */
  prepare(): number {
    const pointer = (at: number, to: number): void => this.#view.setBigUint64(at, BigInt(this.#base + to), littleEndian);
    for (let i = 0; i < batch; i++) {
      const header = i * messageLength;
      const vector = this.#vectors + i * 16;
      pointer(header, this.#names + i * (linkAddressLength + 4));
      this.#view.setUint32(header + 8, linkAddressLength, littleEndian);
      pointer(header + 16, vector);
      this.#view.setBigUint64(header + 24, 1n, littleEndian);
      pointer(header + 32, this.#controls + i * controlLength);
      this.#view.setBigUint64(header + 40, BigInt(controlLength), littleEndian);
      this.#view.setUint32(header + messageHeader, 0, littleEndian);
      pointer(vector, this.#data + i * snapLength);
      this.#view.setBigUint64(vector + 8, BigInt(snapLength), littleEndian);
    }
    return this.#base;
  }

  packet(i: number): CapturedPacket {
    const name = this.#names + i * (linkAddressLength + 4);
    const length = this.#view.getUint32(i * messageLength + messageHeader, littleEndian);
    const data = this.#data + i * snapLength;
    return {
      at: this.#stamp(i),
      index: this.#view.getInt32(name + 4, littleEndian),
      etherType: this.#view.getUint16(name + 2),
      octets: this.#octets.subarray(data, data + Math.min(length, snapLength)),
    };
  }

  /** The first control message is the time: nothing else was asked for. */
  #stamp(i: number): number {
    const control = this.#controls + i * controlLength;
    const hasTime =
      this.#view.getBigUint64(i * messageLength + 40, littleEndian) >= 32n &&
      this.#view.getInt32(control + 8, littleEndian) === constant.SOL_SOCKET &&
      this.#view.getInt32(control + 12, littleEndian) === constant.SO_TIMESTAMPNS;
    if (!hasTime) return Date.now();
    const seconds = Number(this.#view.getBigInt64(control + 16, littleEndian));
    return seconds * 1000 + Number(this.#view.getBigInt64(control + 24, littleEndian)) / 1e6;
  }
}
