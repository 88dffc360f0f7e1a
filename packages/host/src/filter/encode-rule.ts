import { equal, parseAddress, parsePrefix } from '@aovpn/bytes';
import { u32, type Attribute } from '../network/rtnetlink.ts';
import {
  compare,
  count,
  decide,
  loadDestinationKind,
  loadMeta,
  loadPayload,
  lookUp,
  mask,
  number,
  padded,
  reject,
  setMark,
  toNetworkOrder,
  type MetaKey,
  type Verdict,
} from './nft-expression.ts';

/** A word that is not understood here: nft must read the text. */
export class UnknownWord extends Error {}

/** What keys of sets are, as nft numbers and orders them for whoever lists a ruleset; `length` in octets. */
export interface SetType {
  readonly number: number;
  readonly length: number;
  readonly order: 'host' | 'network';
}

/** By the names that nft has for them. */
export const setTypes = {
  ipv4_addr: { number: 7, length: 4, order: 'network' },
  ipv6_addr: { number: 8, length: 16, order: 'network' },
  inet_proto: { number: 12, length: 1, order: 'network' },
  uid: { number: 24, length: 4, order: 'host' },
  icmpv6_type: { number: 29, length: 1, order: 'network' },
  ifname: { number: 41, length: 16, order: 'host' },
} as const satisfies Readonly<Record<string, SetType>>;

/** From the first to the last key, both in it and in network byte order; one key: both are the same. */
export interface Interval {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Makes a set without a name in the same transaction and tells its number. */
export type MakeSet = (type: SetType, elements: readonly Interval[], interval: boolean) => number;

/** What nft calls a set that gets its name from the kernel. */
export const unnamedSet = '__set%d';

const protocols = { igmp: 2, tcp: 6, udp: 17, icmpv6: 58 } as const;
const icmpv6Types: Readonly<Record<string, number>> = {
  'mld-listener-report': 131,
  'mld-listener-done': 132,
  'nd-router-solicit': 133,
  'nd-router-advert': 134,
  'nd-neighbor-solicit': 135,
  'nd-neighbor-advert': 136,
  'mld2-listener-report': 143,
};
const ports = { sport: 0, dport: 2 } as const;
const addresses = {
  ip: { nfproto: 2, type: setTypes.ipv4_addr, saddr: 12, daddr: 16 },
  ip6: { nfproto: 10, type: setTypes.ipv6_addr, saddr: 8, daddr: 24 },
} as const;
/** Of ARP for IPv4 on Ethernet (RFC 826): the octets before the protocol addresses. */
const arpAddresses = { saddr: 14, daddr: 24 } as const;
/** IFNAMSIZ. */
const nameLength = 16;

/**
 * One rule as expressions, as nft 1.0 makes them.
 * @param inet of a table for both families: an address says which one is meant
 * @throws {UnknownWord}
 */
export function encodeRule(rule: string, inet: boolean, makeSet: MakeSet): readonly Attribute[] {
  return new RuleEncoder(wordsOf(rule), inet, makeSet).encode();
}

class RuleEncoder {
  readonly #words: string[];
  readonly #inet: boolean;
  readonly #makeSet: MakeSet;
  readonly #expressions: Attribute[] = [];
  /** Said already: by what a condition implies, too. */
  readonly #known = new Set<string>();

  constructor(words: string[], inet: boolean, makeSet: MakeSet) {
    this.#words = words;
    this.#inet = inet;
    this.#makeSet = makeSet;
  }

  encode(): readonly Attribute[] {
    while (this.#words.length > 0) this.#statement();
    return this.#expressions;
  }

  #statement(): void {
    const word = this.#next();
    switch (word) {
      case 'iifname':
      case 'oifname':
        return this.#match(loadMeta(word), setTypes.ifname);
      case 'ip':
      case 'ip6':
        return this.#address(word);
      case 'arp':
        return this.#arp();
      case 'meta':
        return this.#meta();
      case 'th':
        return this.#port();
      case 'udp':
        this.#imply('l4proto', protocols.udp);
        return this.#port();
      case 'icmpv6':
        this.#expect('type');
        this.#imply('nfproto', addresses.ip6.nfproto);
        this.#imply('l4proto', protocols.icmpv6);
        return this.#match(loadPayload('transport', 0, 1), setTypes.icmpv6_type);
      case 'fib':
        this.#expect('daddr');
        this.#expect('type');
        this.#expect('broadcast');
        this.#push(loadDestinationKind(), compare(true, u32(3)));
        return;
      case 'counter':
        this.#push(count());
        return;
      case 'reject':
        return this.#reject();
      default:
        this.#push(decide(this.#verdict(word)));
    }
  }

  #address(family: 'ip' | 'ip6'): void {
    const { nfproto, type, ...offsets } = addresses[family];
    const side = this.#oneOf(offsets);
    if (!this.#inet) throw new UnknownWord(family);
    this.#imply('nfproto', nfproto);
    this.#match(loadPayload('network', side, type.length), type);
  }

  #arp(): void {
    const side = this.#oneOf(arpAddresses);
    this.#expect('ip');
    this.#match(loadPayload('network', side, 4), setTypes.ipv4_addr);
  }

  #meta(): void {
    const key = this.#next();
    switch (key) {
      case 'mark':
        if (this.#take('set')) {
          this.#push(...setMark(numberOf(this.#next())));
          return;
        }
        this.#expect('!=');
        this.#push(loadMeta('mark'), compare(false, u32(numberOf(this.#next()))));
        return;
      case 'l4proto':
        return this.#match(loadMeta('l4proto'), setTypes.inet_proto);
      case 'skuid':
        return this.#match(loadMeta('skuid'), setTypes.uid);
      default:
        throw new UnknownWord(key);
    }
  }

  #port(): void {
    const side = this.#oneOf(ports);
    const port = numberOf(this.#next());
    if (port > 0xffff) throw new UnknownWord(String(port));
    this.#push(loadPayload('transport', side, 2), compare(true, Uint8Array.of(port >> 8, port & 0xff)));
  }

  #reject(): void {
    this.#expect('with');
    const how = this.#next();
    if (how === 'tcp') this.#expect('reset');
    else {
      if (how !== 'icmpx') throw new UnknownWord(how);
      this.#expect('admin-prohibited');
    }
    this.#push(reject(how === 'tcp' ? 'tcp reset' : 'admin-prohibited'));
  }

  /** What is loaded, against one key, a set with a name or one that stands in the rule. */
  #match(load: Attribute, type: SetType): void {
    const equal = !this.#take('!=');
    const word = this.#next();
    this.#push(load);
    if (word.startsWith('@')) {
      this.#push(lookUp(word.slice(1), undefined, !equal));
      return;
    }
    const elements = word === '{' ? this.#elements(type) : [elementOf(word, type)];
    const [only] = elements;
    // nft makes no set for one, and shows none.
    if (elements.length === 1) return this.#compareOne(equal, only!, word === '{' ? undefined : word, type);
    const interval = elements.some((element) => !isOne(element));
    // Ranges are looked for in network byte order.
    if (type === setTypes.uid && interval) this.#push(toNetworkOrder());
    const keys = type === setTypes.uid && !interval ? elements.map(reversed) : elements;
    this.#push(lookUp(unnamedSet, this.#makeSet(type, keys, interval), !equal));
  }

  #compareOne(equal: boolean, element: Interval, word: string | undefined, type: SetType): void {
    const { first, last } = element;
    if (type === setTypes.ifname) {
      // `aov*` is its beginning alone, without the octet that ends a name.
      const wild = word !== undefined && isWild(word);
      this.#push(compare(equal, wild ? first.subarray(0, first.indexOf(0)) : first));
    } else if (isOne(element)) {
      this.#push(compare(equal, type === setTypes.uid ? reversed(element).first : first));
    } else {
      const bits = first.map((octet, i) => ~(octet ^ last[i]!) & 0xff);
      if (type === setTypes.uid) throw new UnknownWord('a range of users alone');
      this.#push(mask(bits), compare(equal, first));
    }
  }

  #elements(type: SetType): readonly Interval[] {
    const elements: Interval[] = [];
    do {
      const word = this.#next();
      if (type === setTypes.ifname && isWild(word)) throw new UnknownWord(word);
      elements.push(elementOf(word, type));
    } while (this.#take(','));
    this.#expect('}');
    return elements;
  }

  #verdict(word: string): Verdict {
    switch (word) {
      case 'accept':
      case 'drop':
      case 'return':
        return { kind: word };
      case 'jump':
      case 'goto':
        return { kind: word, chain: this.#next() };
      default:
        throw new UnknownWord(word);
    }
  }

  #imply(key: 'nfproto' | ('l4proto' & MetaKey), value: number): void {
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#push(loadMeta(key), compare(true, Uint8Array.of(value)));
  }

  #push(...expressions: readonly Attribute[]): void {
    this.#expressions.push(...expressions);
  }

  #next(): string {
    const word = this.#words.shift();
    if (word === undefined) throw new UnknownWord('the end');
    return word;
  }

  #take(word: string): boolean {
    if (this.#words[0] !== word) return false;
    this.#words.shift();
    return true;
  }

  #expect(word: string): void {
    if (!this.#take(word)) throw new UnknownWord(this.#words[0] ?? 'the end');
  }

  #oneOf(values: Readonly<Record<string, number>>): number {
    const word = this.#next();
    if (!Object.hasOwn(values, word)) throw new UnknownWord(word);
    return values[word]!;
  }
}

/** `"a b"` is one word, with its quotation marks. @throws {UnknownWord} */
export function wordsOf(line: string): string[] {
  const words = line.match(/"[^"\\]*"|[{},]|[^\s{},"]+/g) ?? [];
  if (words.join('') !== line.replaceAll(/"[^"]*"|\s/g, (part) => (part.startsWith('"') ? part : '')))
    throw new UnknownWord(line);
  return words;
}

/** One key or a range of them. @throws {UnknownWord} */
export function elementOf(word: string, type: SetType): Interval {
  switch (type) {
    case setTypes.ipv4_addr:
    case setTypes.ipv6_addr:
      return addressesOf(word, type.length);
    case setTypes.ifname:
      return one(nameOf(word));
    case setTypes.inet_proto:
      return one(Uint8Array.of(namedNumber(word, protocols)));
    case setTypes.icmpv6_type:
      return one(Uint8Array.of(namedNumber(word, icmpv6Types)));
    case setTypes.uid: {
      const [from = '', to = from, ...more] = word.split('-');
      if (more.length > 0 || numberOf(from) > numberOf(to)) throw new UnknownWord(word);
      return { first: number(numberOf(from)), last: number(numberOf(to)) };
    }
    default:
      throw new UnknownWord(word);
  }
}

export function isOne({ first, last }: Interval): boolean {
  return equal(first, last);
}

function addressesOf(word: string, length: number): Interval {
  const address = parseAddress(word);
  if (address?.bytes.length === length) return one(address.bytes);
  const prefix = parsePrefix(word);
  if (prefix?.address.bytes.length !== length) throw new UnknownWord(word);
  const host = prefix.address.bytes.map((_, i) => 0xff >> Math.min(8, Math.max(0, prefix.length - i * 8)));
  return {
    first: prefix.address.bytes.map((octet, i) => octet & ~host[i]!),
    last: prefix.address.bytes.map((octet, i) => octet | host[i]!),
  };
}

function nameOf(word: string): Uint8Array {
  if (!/^"[^"]+"$/.test(word)) throw new UnknownWord(word);
  const name = new TextEncoder().encode(isWild(word) ? word.slice(1, -2) : word.slice(1, -1));
  if (name.length >= nameLength) throw new UnknownWord(word);
  return padded(name, nameLength);
}

function isWild(word: string): boolean {
  return word.endsWith('*"');
}

function one(key: Uint8Array): Interval {
  return { first: key, last: key };
}

function reversed({ first, last }: Interval): Interval {
  return { first: first.toReversed(), last: last.toReversed() };
}

function namedNumber(word: string, names: Readonly<Record<string, number>>): number {
  if (!Object.hasOwn(names, word)) throw new UnknownWord(word);
  return names[word]!;
}

function numberOf(word: string): number {
  const value = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/.test(word) ? Number(word) : Number.NaN;
  if (!(value <= 0xffff_ffff)) throw new UnknownWord(word);
  return value;
}
