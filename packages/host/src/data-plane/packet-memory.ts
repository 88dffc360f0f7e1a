import { libc } from '../sys/index.ts';
import { instantiateSum } from './wasm-sum.ts';
import { webAssembly, type WasmMemory } from './web-assembly.ts';

const pageSize = 65536;

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
    this.#baseLow = (this.base % 2 ** 32) | 0;
    this.#baseHigh = Math.floor(this.base / 2 ** 32);
    if (Math.floor((this.base + pages * pageSize) / 2 ** 32) !== this.#baseHigh) {
      throw new RangeError('packet memory straddles a multiple of 4 GiB');
    }
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
    this.words[at >> 2] = (this.#baseLow + target) | 0;
    this.words[(at >> 2) + 1] = this.#baseHigh;
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
