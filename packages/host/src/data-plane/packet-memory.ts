import { libc } from '../sys/index.ts';
import { instantiateSum } from './wasm-sum.ts';
import { webAssembly, type WasmMemory } from './web-assembly.ts';

const pageSize = 65536;
const word = 2 ** 32;

/** The lower and the upper 32 bits of a pointer, both unsigned. */
export function halvesOf(pointer: number): readonly [low: number, high: number] {
  return [pointer % word, Math.floor(pointer / word)];
}

/** Writes `base + offset` as two words. The memory may lie across a multiple of 4 GiB, wherever the kernel put it. */
export function writePointer(words: Int32Array, index: number, baseLow: number, baseHigh: number, offset: number): void {
  const low = baseLow + offset;
  words[index] = low | 0;
  words[index + 1] = low < word ? baseHigh : baseHigh + 1;
}

/**
 * Memory that the kernel, OpenSSL, WebAssembly and JavaScript all work in. Positions are offsets from its beginning;
 * {@link PacketMemory.address} makes a pointer of one. It never grows, so pointers stay good.
 */
export class PacketMemory {
  readonly octets: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** 32-bit words in the machine's order, for the structures of system calls. */
  readonly words: Int32Array<ArrayBuffer>;
  /** Pointer of offset 0. */
  readonly base: number;
  /** Ones' complement sum of the little-endian words there, folded to 16 bits. */
  readonly sum: (at: number, length: number) => number;
  readonly #memory: WasmMemory;
  readonly #baseLow: number;
  readonly #baseHigh: number;
  // Offset 0 stays unused, so that it can mean "nowhere".
  #used = 64;

  constructor(size: number) {
    const pages = Math.ceil((size + 64) / pageSize);
    this.#memory = new webAssembly.Memory({ initial: pages, maximum: pages });
    this.octets = new Uint8Array(this.#memory.buffer);
    this.view = new DataView(this.#memory.buffer);
    this.words = new Int32Array(this.#memory.buffer);
    this.base = libc.addressOf(this.octets);
    this.sum = instantiateSum(this.#memory);
    [this.#baseLow, this.#baseHigh] = halvesOf(this.base);
  }

  /** Sets aside octets for good. */
  allocate(size: number, alignment = 64): number {
    const at = Math.ceil(this.#used / alignment) * alignment;
    if (at + size > this.octets.length) throw new RangeError('packet memory is full');
    this.#used = at + size;
    return at;
  }

  address(at: number): number {
    return this.base + at;
  }

  /** Writes a 64-bit pointer to `target` into a structure at `at` (a multiple of 4). Every machine that Node runs on with koffi is little-endian. */
  setPointer(at: number, target: number): void {
    writePointer(this.words, at >> 2, this.#baseLow, this.#baseHigh, target);
  }

  /** A `size_t`. */
  setSize(at: number, value: number): void {
    this.words[at >> 2] = value;
    this.words[(at >> 2) + 1] = 0;
  }

  setNull(at: number): void {
    this.setSize(at, 0);
  }
}
