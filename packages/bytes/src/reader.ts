/** Thrown when a reader is asked for more octets than there are, or when octets are left over. */
export class TruncatedError extends Error {
  override readonly name = 'TruncatedError';
  readonly what: string;
  readonly offset: number;

  constructor(what: string, offset: number, problem: string) {
    super(`${what}: ${problem} at octet ${offset}`);
    this.what = what;
    this.offset = offset;
  }
}

/**
 * Reads big-endian fields from octets. Never returns fewer octets than asked: it throws {@link TruncatedError}.
 * Slices are views on the input; whoever keeps one beyond the input's life copies it.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what = 'octets') {
    this.#bytes = bytes;
    this.#what = what;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.bytes(1)[0]!;
  }

  u16(): number {
    const b = this.bytes(2);
    return (b[0]! << 8) | b[1]!;
  }

  u24(): number {
    const b = this.bytes(3);
    return (b[0]! << 16) | (b[1]! << 8) | b[2]!;
  }

  u32(): number {
    const b = this.bytes(4);
    return b[0]! * 0x1000000 + ((b[1]! << 16) | (b[2]! << 8) | b[3]!);
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** A view of the next `length` octets. */
  bytes(length: number): Uint8Array {
    if (length < 0 || length > this.remaining) {
      throw new TruncatedError(this.#what, this.#offset, `${length} octets wanted, ${this.remaining} there`);
    }
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  /** A view of everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** A reader over the next `length` octets. */
  sub(length: number, what = this.#what): Reader {
    return new Reader(this.bytes(length), what);
  }

  /** @throws {TruncatedError} when octets are left over */
  end(): void {
    if (this.remaining > 0) throw new TruncatedError(this.#what, this.#offset, `${this.remaining} octets left over`);
  }
}
