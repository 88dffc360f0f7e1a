import { libc } from '../sys/index.ts';
import type { PacketMemory } from './packet-memory.ts';
import { fold, swap } from './segmenter.ts';
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP, NEEDS_CHECKSUM, virtioField, virtioHeaderLength } from './virtio-header.ts';
import type { DeviceOffload } from './worker-protocol.ts';

const flowLimit = 16;
const segmentLimit = 128;
/** An IP packet's length field holds no more; the device takes it whole. */
const joinedLimit = 65535;

const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;

/** A run of segments of one TCP connection, or datagrams of one UDP flow, that will be written as one packet. */
class Flow {
  /** Ports, then addresses: what tells flows apart. */
  readonly key = new Int32Array(9);
  protocol = 0;
  v4 = true;
  /** Where the first packet is; its headers become those of the joined packet. */
  head = 0;
  headerLength = 0;
  /** Of all headers and payloads. */
  length = 0;
  segments = 0;
  /** Payload octets of every segment but the last. */
  size = 0;
  nextSequence = 0;
  identification = 0;
  /** FIN and PSH of the last segment. */
  flags = 0;
  vectors = 0;
}

/**
 * Writes inner packets to the TUN device, joining what the kernel could have joined itself (its GRO rules): consecutive segments of a TCP
 * connection that differ in nothing but sequence, length and checksum, and equal datagrams of a UDP flow. Packets stay where they are; one `writev` names
 * the pieces. The order of packets within a flow is kept. A packet whose checksum does not fit is handed on alone, for the kernel to judge.
 */
export class Coalescer {
  readonly #memory: PacketMemory;
  readonly #flows: readonly Flow[];
  #open = 0;
  #device = -1;
  #offload: DeviceOffload = { vnetHeader: false, udpSegmentation: false };
  readonly #failed: (errno: number) => void;

  constructor(memory: PacketMemory, failed: (errno: number) => void) {
    this.#memory = memory;
    this.#failed = failed;
    this.#flows = Array.from({ length: flowLimit }, () => {
      const flow = new Flow();
      flow.vectors = memory.allocate((segmentLimit + 1) * 16);
      return flow;
    });
  }

  setDevice(fd: number, offload: DeviceOffload): void {
    this.flush();
    this.#device = fd;
    this.#offload = offload;
  }

  /** Takes the IP packet of checked length at `at`; the {@link virtioHeaderLength} octets before it must be free. It may be written now or by {@link flush}. */
  add(at: number, length: number): void {
    const { octets, view } = this.#memory;
    const v4 = octets[at]! >>> 4 === 4;
    const ipHeader = v4 ? 20 : 40;
    const protocol = octets[at + (v4 ? 9 : 6)]!;
    const joinable =
      this.#offload.vnetHeader &&
      (protocol === 6 ? length > ipHeader + 20 : protocol === 17 && this.#offload.udpSegmentation && length > ipHeader + 8) &&
      // No options; no fragment, first or later.
      (!v4 || (octets[at] === 0x45 && (view.getUint16(at + 6) & 0x3fff) === 0));
    if (!joinable) {
      // Without ports to go by, the order is kept with everything: a bare ACK must not overtake data of its connection.
      if (this.#open > 0 && protocol === 6 && length >= ipHeader + 20) this.#flushFlowOf(at, ipHeader, v4, protocol);
      else if (this.#open > 0 && protocol === 17 && length >= ipHeader + 8) this.#flushFlowOf(at, ipHeader, v4, protocol);
      this.#writeAlone(at, length);
      return;
    }
    const index = this.#find(at, ipHeader, v4, protocol);
    if (protocol === 6) this.#addTcp(at, length, ipHeader, v4, index);
    else this.#addUdp(at, length, ipHeader, v4, index);
  }

  /** Writes everything that waits. */
  flush(): void {
    for (let i = 0; i < this.#open; i++) this.#write(this.#flows[i]!);
    this.#open = 0;
  }

  #addTcp(at: number, length: number, ipHeader: number, v4: boolean, index: number): void {
    const { octets, view } = this.#memory;
    const tcp = at + ipHeader;
    const header = ipHeader + (octets[tcp + 12]! >>> 4) * 4;
    const flags = octets[tcp + 13]!;
    const payload = length - header;
    const upper = length - ipHeader;
    if (
      header < ipHeader + 20 ||
      payload <= 0 ||
      (flags & ~(FIN | PSH)) !== ACK ||
      !this.#checksumFits(at, ipHeader, v4, 6, upper)
    ) {
      if (index >= 0) this.#close(index);
      this.#writeAlone(at, length);
      return;
    }
    const sequence = view.getUint32(tcp + 4);
    if (index >= 0) {
      const flow = this.#flows[index]!;
      if (
        sequence === flow.nextSequence &&
        header === flow.headerLength &&
        payload <= flow.size &&
        flow.segments < segmentLimit &&
        flow.length + payload <= joinedLimit &&
        this.#sameIp(flow, at, v4) &&
        this.#sameTcp(flow, tcp, ipHeader)
      ) {
        this.#append(flow, at + header, payload);
        flow.nextSequence = (sequence + payload) >>> 0;
        flow.flags = flags & (FIN | PSH);
        if (flow.flags !== 0 || payload < flow.size) this.#close(index);
        return;
      }
      this.#close(index);
    }
    if (flags & (FIN | PSH)) return this.#writeAlone(at, length);
    const flow = this.#start(at, length, header, v4, 6);
    flow.nextSequence = (sequence + payload) >>> 0;
  }

  #addUdp(at: number, length: number, ipHeader: number, v4: boolean, index: number): void {
    const { view } = this.#memory;
    const udp = at + ipHeader;
    const header = ipHeader + 8;
    const payload = length - header;
    const upper = length - ipHeader;
    const whole = view.getUint16(udp + 4) === upper && view.getUint16(udp + 6) !== 0;
    if (!whole || !this.#checksumFits(at, ipHeader, v4, 17, upper)) {
      if (index >= 0) this.#close(index);
      this.#writeAlone(at, length);
      return;
    }
    if (index >= 0) {
      const flow = this.#flows[index]!;
      const fits = payload <= flow.size && flow.segments < udpSegmentLimit && flow.length + payload <= joinedLimit;
      if (fits && this.#sameIp(flow, at, v4)) {
        this.#append(flow, at + header, payload);
        if (payload < flow.size) this.#close(index);
        return;
      }
      this.#close(index);
    }
    this.#start(at, length, header, v4, 17);
  }

  /** The checksum of TCP or UDP, checked before joining would hide it. */
  #checksumFits(at: number, ipHeader: number, v4: boolean, protocol: number, upper: number): boolean {
    const pseudo = this.#memory.sum(at + (v4 ? 12 : 8), v4 ? 8 : 32) + (protocol << 8) + swap(upper);
    return fold(pseudo + this.#memory.sum(at + ipHeader, upper)) === 0xffff;
  }

  /** TOS and TTL the same; IPv4 identification counting up unless DF makes it meaningless (RFC 6864). */
  #sameIp(flow: Flow, at: number, v4: boolean): boolean {
    const { octets, view } = this.#memory;
    const { head } = flow;
    if (!v4) return view.getInt32(at) === view.getInt32(head) && octets[at + 7] === octets[head + 7];
    if (octets[at + 1] !== octets[head + 1] || octets[at + 8] !== octets[head + 8] || octets[at + 6] !== octets[head + 6])
      return false;
    return (octets[at + 6]! & 0x40) !== 0 || view.getUint16(at + 4) === ((flow.identification + flow.segments) & 0xffff);
  }

  /** Acknowledgment, window and all options the same. */
  #sameTcp(flow: Flow, tcp: number, ipHeader: number): boolean {
    const { view } = this.#memory;
    const head = flow.head + ipHeader;
    if (view.getInt32(tcp + 8) !== view.getInt32(head + 8) || view.getUint16(tcp + 14) !== view.getUint16(head + 14))
      return false;
    const end = flow.headerLength - ipHeader;
    for (let i = 20; i < end; i += 4) if (view.getInt32(tcp + i) !== view.getInt32(head + i)) return false;
    return true;
  }

  /** Index of the open flow that a packet with ports belongs to, or −1. */
  #find(at: number, ipHeader: number, v4: boolean, protocol: number): number {
    const { view } = this.#memory;
    const ports = view.getInt32(at + ipHeader);
    for (let i = 0; i < this.#open; i++) {
      const flow = this.#flows[i]!;
      const { key } = flow;
      if (key[0] !== ports || flow.v4 !== v4 || flow.protocol !== protocol) continue;
      if (v4) {
        if (view.getInt32(at + 12) === key[1] && view.getInt32(at + 16) === key[2]) return i;
        continue;
      }
      let word = 0;
      while (word < 8 && view.getInt32(at + 8 + 4 * word) === key[1 + word]) word++;
      if (word === 8) return i;
    }
    return -1;
  }

  #flushFlowOf(at: number, ipHeader: number, v4: boolean, protocol: number): void {
    if (v4 && this.#memory.octets[at] !== 0x45) return this.flush();
    const index = this.#find(at, ipHeader, v4, protocol);
    if (index >= 0) this.#close(index);
  }

  #start(at: number, length: number, header: number, v4: boolean, protocol: number): Flow {
    if (this.#open === flowLimit) this.#close(0);
    const { view } = this.#memory;
    const flow = this.#flows[this.#open++]!;
    const { key } = flow;
    key[0] = view.getInt32(at + (v4 ? 20 : 40));
    const words = v4 ? 2 : 8;
    for (let i = 0; i < words; i++) key[1 + i] = view.getInt32(at + (v4 ? 12 : 8) + 4 * i);
    flow.protocol = protocol;
    flow.v4 = v4;
    flow.head = at;
    flow.headerLength = header;
    flow.length = length;
    flow.segments = 1;
    flow.size = length - header;
    flow.identification = v4 ? view.getUint16(at + 4) : 0;
    flow.flags = 0;
    this.#memory.setPointer(flow.vectors, at - virtioHeaderLength);
    this.#memory.setSize(flow.vectors + 8, length + virtioHeaderLength);
    return flow;
  }

  #append(flow: Flow, payload: number, length: number): void {
    const vector = flow.vectors + 16 * flow.segments++;
    this.#memory.setPointer(vector, payload);
    this.#memory.setSize(vector + 8, length);
    flow.length += length;
  }

  /** Writes a flow and forgets it. */
  #close(index: number): void {
    const flows = this.#flows as Flow[];
    const flow = flows[index]!;
    this.#write(flow);
    // Those behind it move up, so that the oldest stays first.
    this.#open--;
    for (let i = index; i < this.#open; i++) flows[i] = flows[i + 1]!;
    flows[this.#open] = flow;
  }

  #write(flow: Flow): void {
    if (flow.segments === 1) return this.#writeAlone(flow.head, flow.length);
    const { octets, view } = this.#memory;
    const { head, v4, protocol } = flow;
    const ipHeader = v4 ? 20 : 40;
    const upper = flow.length - ipHeader;
    if (v4) {
      view.setUint16(head + 2, flow.length);
      view.setUint16(head + 10, 0);
      view.setUint16(head + 10, ~this.#memory.sum(head, 20), true);
    } else {
      view.setUint16(head + 4, upper);
    }
    // The sum of the pseudo header, for the kernel to finish should it ever need to.
    const pseudo = fold(this.#memory.sum(head + (v4 ? 12 : 8), v4 ? 8 : 32) + (protocol << 8) + swap(upper));
    const offset = protocol === 6 ? 16 : 6;
    view.setUint16(head + ipHeader + offset, pseudo, true);
    if (protocol === 6) octets[head + ipHeader + 13]! |= flow.flags;
    else view.setUint16(head + ipHeader + 4, upper);
    const header = head - virtioHeaderLength;
    octets[header + virtioField.flags] = NEEDS_CHECKSUM;
    octets[header + virtioField.gsoType] = protocol === 17 ? GSO_UDP : v4 ? GSO_TCPV4 : GSO_TCPV6;
    view.setUint16(header + virtioField.headerLength, flow.headerLength, true);
    view.setUint16(header + virtioField.gsoSize, flow.size, true);
    view.setUint16(header + virtioField.checksumStart, ipHeader, true);
    view.setUint16(header + virtioField.checksumOffset, offset, true);
    const result = libc.writev(this.#device, this.#memory.address(flow.vectors), flow.segments);
    if (result < 0) this.#failed(-result);
  }

  #writeAlone(at: number, length: number): void {
    let from = at;
    let total = length;
    if (this.#offload.vnetHeader) {
      from -= virtioHeaderLength;
      total += virtioHeaderLength;
      const { view } = this.#memory;
      view.setInt32(from, 0);
      view.setInt32(from + 4, 0);
      view.setInt16(from + 8, 0);
    }
    const result = libc.write(this.#device, this.#memory.address(from), total);
    if (result < 0) this.#failed(-result);
  }
}

/** `UDP_MAX_SEGMENTS`: the kernel takes no more in one. */
const udpSegmentLimit = 64;
