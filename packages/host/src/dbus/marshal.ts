import { alignmentOf, parseSignature, type DbusType } from './signature.ts';

/**
 * Values as JavaScript has them: numbers (`x`, `t`: bigint), booleans, strings; arrays and structs as arrays, `ay` as octets,
 * dictionaries as lists of pairs.
 */
export type DbusValue = number | bigint | boolean | string | Uint8Array | DbusVariant | readonly DbusValue[];

export interface DbusVariant {
  readonly signature: string;
  readonly value: DbusValue;
}

/** D-Bus specification, "Marshaling": 64 MiB an array, which no message of ours comes near. */
const maxArray = 1 << 26;

/** Little-endian, from offset 0, as bodies and headers begin. @throws {TypeError} when a value does not fit its type: our bug */
export function marshal(signature: string, values: readonly DbusValue[]): Uint8Array {
  const writer = new Writer();
  const types = parseSignature(signature);
  if (types.length !== values.length) throw new TypeError(`${values.length} values for "${signature}"`);
  for (const [i, type] of types.entries()) writer.write(type, values[i]!);
  return writer.take();
}

/** @throws {RangeError} for what does not fit the signature: the peer's fault */
export function unmarshal(signature: string, octets: Uint8Array, littleEndian: boolean): readonly DbusValue[] {
  const reader = new Reader(octets, littleEndian);
  const values = parseSignature(signature).map((type) => reader.read(type, 0));
  if (reader.rest > 0) throw new RangeError('more octets than the signature says');
  return values;
}

class Writer {
  #octets = new Uint8Array(256);
  #view = new DataView(this.#octets.buffer);
  #length = 0;

  take(): Uint8Array {
    const taken = this.#octets.slice(0, this.#length);
    this.#octets.fill(0);
    return taken;
  }

  write(type: DbusType, value: DbusValue): void {
    this.#align(alignmentOf(type));
    switch (type.kind) {
      case 'basic':
        return this.#basic(type.code, value);
      case 'variant': {
        const { signature, value: inner } = value as DbusVariant;
        const [innerType, ...more] = parseSignature(signature);
        if (!innerType || more.length > 0) throw new TypeError('a variant holds one complete type');
        this.#signature(signature);
        return this.write(innerType, inner);
      }
      case 'struct': {
        const fields = value as readonly DbusValue[];
        if (fields.length !== type.fields.length) throw new TypeError('a struct of the wrong length');
        for (const [i, field] of type.fields.entries()) this.write(field, fields[i]!);
        return undefined;
      }
      case 'array': {
        const at = this.#length;
        this.#grow(4);
        this.#align(alignmentOf(type.element));
        const start = this.#length;
        if (value instanceof Uint8Array) {
          this.#grow(value.length);
          this.#octets.set(value, start);
        } else for (const element of value as readonly DbusValue[]) this.write(type.element, element);
        this.#view.setUint32(at, this.#length - start, true);
      }
    }
  }

  #basic(code: Extract<DbusType, { kind: 'basic' }>['code'], value: DbusValue): void {
    if (code === 'g') return this.#signature(value as string);
    if (code === 's' || code === 'o') {
      const text = Buffer.from(value as string, 'utf8');
      if (text.includes(0)) throw new TypeError('a zero octet in a string');
      const at = this.#grow(4 + text.length + 1);
      this.#view.setUint32(at, text.length, true);
      this.#octets.set(text, at + 4);
      return undefined;
    }
    const at = this.#grow({ y: 1, b: 4, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8 }[code]);
    switch (code) {
      case 'y':
        return this.#view.setUint8(at, value as number);
      case 'b':
        return this.#view.setUint32(at, value === true ? 1 : 0, true);
      case 'n':
        return this.#view.setInt16(at, value as number, true);
      case 'q':
        return this.#view.setUint16(at, value as number, true);
      case 'i':
        return this.#view.setInt32(at, value as number, true);
      case 'u':
        return this.#view.setUint32(at, value as number, true);
      case 'x':
        return this.#view.setBigInt64(at, value as bigint, true);
      case 't':
        return this.#view.setBigUint64(at, value as bigint, true);
      case 'd':
        return this.#view.setFloat64(at, value as number, true);
    }
  }

  #signature(text: string): void {
    const at = this.#grow(text.length + 2);
    this.#octets[at] = text.length;
    this.#octets.set(Buffer.from(text, 'latin1'), at + 1);
  }

  #align(to: number): void {
    const over = this.#length % to;
    if (over > 0) this.#grow(to - over);
  }

  #grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#octets.length) {
      const bigger = new Uint8Array(Math.max(this.#length, this.#octets.length * 2));
      bigger.set(this.#octets);
      // A secret may be in what is left behind.
      this.#octets.fill(0);
      this.#octets = bigger;
      this.#view = new DataView(bigger.buffer);
    }
    return at;
  }
}

class Reader {
  readonly #octets: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  #at = 0;

  constructor(octets: Uint8Array, littleEndian: boolean) {
    this.#octets = octets;
    this.#view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
    this.#little = littleEndian;
  }

  get rest(): number {
    return this.#octets.length - this.#at;
  }

  read(type: DbusType, depth: number): DbusValue {
    if (depth > 64) throw new RangeError('values too deep');
    this.#align(alignmentOf(type));
    switch (type.kind) {
      case 'basic':
        return this.#basic(type.code);
      case 'variant': {
        const signature = this.#text(this.#octets[this.#take(1)]!, 'latin1');
        const [inner, ...more] = parseSignature(signature);
        if (!inner || more.length > 0) throw new RangeError('a variant of other than one type');
        return { signature, value: this.read(inner, depth + 1) };
      }
      case 'struct':
        return type.fields.map((field) => this.read(field, depth + 1));
      case 'array': {
        const length = this.#view.getUint32(this.#take(4), this.#little);
        if (length > maxArray) throw new RangeError('an array that is too long');
        this.#align(alignmentOf(type.element));
        const end = this.#at + length;
        if (end > this.#octets.length) throw new RangeError('an array beyond the end');
        if (type.element.kind === 'basic' && type.element.code === 'y') return this.#octets.slice(this.#take(length), end);
        const values: DbusValue[] = [];
        while (this.#at < end) values.push(this.read(type.element, depth + 1));
        if (this.#at !== end) throw new RangeError('an array that ends inside an element');
        return values;
      }
    }
  }

  #basic(code: Extract<DbusType, { kind: 'basic' }>['code']): DbusValue {
    switch (code) {
      case 'y':
        return this.#view.getUint8(this.#take(1));
      case 'b': {
        const value = this.#view.getUint32(this.#take(4), this.#little);
        if (value > 1) throw new RangeError('a boolean that is neither');
        return value === 1;
      }
      case 'n':
        return this.#view.getInt16(this.#take(2), this.#little);
      case 'q':
        return this.#view.getUint16(this.#take(2), this.#little);
      case 'i':
        return this.#view.getInt32(this.#take(4), this.#little);
      case 'u':
        return this.#view.getUint32(this.#take(4), this.#little);
      case 'x':
        return this.#view.getBigInt64(this.#take(8), this.#little);
      case 't':
        return this.#view.getBigUint64(this.#take(8), this.#little);
      case 'd':
        return this.#view.getFloat64(this.#take(8), this.#little);
      case 's':
      case 'o':
        return this.#text(this.#view.getUint32(this.#take(4), this.#little), 'utf8');
      case 'g':
        return this.#text(this.#octets[this.#take(1)]!, 'latin1');
    }
  }

  #text(length: number, encoding: 'utf8' | 'latin1'): string {
    const at = this.#take(length + 1);
    if (this.#octets[at + length] !== 0) throw new RangeError('a string without its end mark');
    return Buffer.from(this.#octets.buffer, this.#octets.byteOffset + at, length).toString(encoding);
  }

  #align(to: number): void {
    const over = this.#at % to;
    if (over > 0) this.#take(to - over);
  }

  #take(count: number): number {
    const at = this.#at;
    if (count < 0 || at + count > this.#octets.length) throw new RangeError('beyond the end');
    this.#at += count;
    return at;
  }
}
