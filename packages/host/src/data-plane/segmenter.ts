import type { PacketMemory } from './packet-memory.ts';

const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

/**
 * Splits a joined TCP or UDP packet of the kernel in place: the headers of each segment are written over payload that was sent before, so that
 * nothing is copied but headers. `emit` must be done with a segment when it returns, and leave the octets around it as they were.
 */
export class Segmenter {
  readonly #memory: PacketMemory;
  readonly #template: number;
  readonly #emit: (at: number, length: number) => void;

  constructor(memory: PacketMemory, emit: (at: number, length: number) => void) {
    this.#memory = memory;
    this.#template = memory.allocate(headerCapacity);
    this.#emit = emit;
  }

  /**
   * @param at where the IP header is; the packet is `length` octets by its own account
   * @param size payload octets of each segment
   * @returns false when the packet is not what it claims to be; nothing was emitted then
   */
  split(at: number, length: number, size: number, protocol: 6 | 17): boolean {
    const { octets, view } = this.#memory;
    const v4 = octets[at]! >>> 4 === 4;
    const ipHeader = v4 ? (octets[at]! & 15) * 4 : 40;
    if (octets[at + (v4 ? 9 : 6)] !== protocol || length < ipHeader + (protocol === 6 ? 20 : 8)) return false;
    const upperHeader = protocol === 6 ? (octets[at + ipHeader + 12]! >>> 4) * 4 : 8;
    const header = ipHeader + upperHeader;
    if (upperHeader < 8 || size === 0 || length <= header || header > headerCapacity) return false;

    const template = this.#template;
    octets.copyWithin(template, at, at + header);
    const upper = template + ipHeader;
    const sequence = view.getUint32(upper + 4);
    const identification = view.getUint16(template + 4);
    const flags = octets[upper + 13]!;
    // Everything that changes counts as zero in the constant part of the sums.
    view.setInt16(upper + (protocol === 6 ? 16 : 6), 0);
    let ipConstant = 0;
    if (v4) {
      view.setInt16(template + 2, 0);
      view.setInt16(template + 4, 0);
      view.setInt16(template + 10, 0);
      ipConstant = this.#memory.sum(template, ipHeader);
    }
    const pseudo = this.#memory.sum(template + (v4 ? 12 : 8), v4 ? 8 : 32) + (protocol << 8);

    const end = at + length;
    let index = 0;
    for (let payload = at + header; payload < end; payload += size, index++) {
      const payloadLength = payload + size < end ? size : end - payload;
      const start = payload - header;
      octets.copyWithin(start, template, template + header);
      const total = header + payloadLength;
      if (v4) {
        const id = (identification + index) & 0xffff;
        view.setUint16(start + 2, total);
        view.setUint16(start + 4, id);
        view.setUint16(start + 10, ~fold(ipConstant + swap(total) + swap(id)), true);
      } else {
        view.setUint16(start + 4, total - 40);
      }
      const transport = start + ipHeader;
      const transportLength = upperHeader + payloadLength;
      const first = index === 0;
      const last = payload + payloadLength === end;
      if (protocol === 6) {
        view.setUint32(transport + 4, sequence + index * size);
        if (!last || !first) octets[transport + 13] = flags & (last ? ~CWR : first ? ~(FIN | PSH) : ~(FIN | PSH | CWR));
        view.setUint16(
          transport + 16,
          ~fold(pseudo + swap(transportLength) + this.#memory.sum(transport, transportLength)),
          true,
        );
      } else {
        view.setUint16(transport + 4, transportLength);
        const sum = ~fold(pseudo + swap(transportLength) + this.#memory.sum(transport, transportLength)) & 0xffff;
        view.setUint16(transport + 6, sum === 0 ? 0xffff : sum, true);
      }
      this.#emit(start, total);
    }
    return true;
  }
}

/** IP header with options and TCP header with options, at most. */
const headerCapacity = 128;

/** A 16-bit number as it adds to a sum of little-endian words. */
export function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/** Brings a sum of less than 2³¹ to 16 bits. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}
