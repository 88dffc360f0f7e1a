import { compareOctets, concat } from '@aovpn/bytes';
import { NLM_F_APPEND, NLM_F_CREATE } from '../network/rtnetlink-number.ts';
import { u32, type Attribute } from '../network/rtnetlink.ts';
import {
  elementOf,
  encodeRule,
  setTypes,
  UnknownWord,
  unnamedSet,
  wordsOf,
  type Interval,
  type SetType,
  isOne,
} from './encode-rule.ts';
import { familyNumber, kinds, type NftMessage } from './nfnetlink.ts';
import { nested, number, text } from './nft-expression.ts';

/** Larger ones are nft's business: they would hold up the event loop. Characters. */
const maxLength = 64 * 1024;
/** A message has no room for many more: a length in it has 16 bits. */
const maxElements = 1000;
const hooks = {
  inet: { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 },
  arp: { input: 0, output: 1 },
} as const;
const priorities: Readonly<Record<string, number>> = { raw: -300, mangle: -150, filter: 0 };
const setFlag = { anonymous: 1, constant: 2, interval: 4 } as const;
/** Of an element: the first key that is no longer in the interval. */
const intervalEnd = 1;
/** What nft notes about an element for itself: its interval has no end. */
const openInterval = Uint8Array.of(1, 4, 1, 0, 0, 0);

type Family = keyof typeof hooks;

/**
 * What nft would send to the kernel for a ruleset, for as many words of its language as the small tables need that come with every tunnel. nft, a
 * process of its own, takes longer than a handshake.
 * @param ruleset as for `nft -f`
 * @returns undefined: there is a word that is nft's business
 */
export function encodeRuleset(ruleset: string): readonly NftMessage[] | undefined {
  if (ruleset.length > maxLength) return undefined;
  try {
    return new RulesetEncoder(ruleset).encode();
  } catch (error) {
    if (error instanceof UnknownWord) return undefined;
    throw error;
  }
}

class RulesetEncoder {
  readonly #lines: string[];
  readonly #messages: NftMessage[] = [];
  #sets = 0;

  constructor(ruleset: string) {
    this.#lines = ruleset
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
  }

  encode(): readonly NftMessage[] {
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      const [, deletes, family, name, block] = wordsIn(/^(delete )?table (inet|arp) (\w+)( \{)?$/, line);
      const table: Table = { family: family as Family, name: name! };
      if (deletes !== undefined && block !== undefined) throw new UnknownWord(line);
      if (deletes !== undefined) this.#push(table, kinds.deleteTable, 0, [1, text(table.name)]);
      else {
        this.#push(table, kinds.newTable, 0, [1, text(table.name)], [2, number(0)]);
        if (block !== undefined) this.#content(table);
      }
    }
    return this.#messages;
  }

  #content(table: Table): void {
    const chains = new Map<string, readonly string[]>();
    for (let line = this.#next(); line !== '}'; line = this.#next()) {
      const [, what, name] = wordsIn(/^(set|chain) (\w+) \{$/, line);
      const lines: string[] = [];
      for (let inner = this.#next(); inner !== '}'; inner = this.#next()) lines.push(inner);
      if (what === 'set') this.#set(table, name!, lines);
      else chains.set(name!, this.#chain(table, name!, lines));
    }
    // A rule may lead to any chain.
    for (const [name, rules] of chains) for (const rule of rules) this.#rule(table, name, rule);
  }

  #set(table: Table, name: string, [first = '', second, ...more]: readonly string[]): void {
    const typeName = wordsIn(/^type (\w+)$/, first)[1]!;
    if (!isSetType(typeName) || more.length > 0) throw new UnknownWord(first);
    const type = setTypes[typeName];
    const id = this.#newSet(table, name, type, 0, []);
    if (second === undefined) return;
    const words = wordsOf(wordsIn(/^elements = \{ (.*) \}$/, second)[1]!).filter((word) => word !== ',');
    const elements = words.map((word) => elementOf(word, type));
    if (!elements.every(isOne)) throw new UnknownWord(second);
    this.#elements(
      table,
      name,
      id,
      elements.map(({ first: key }) => element(key)),
    );
  }

  #chain(table: Table, name: string, lines: readonly string[]): readonly string[] {
    const common: readonly Attribute[] = [
      [1, text(table.name)],
      [3, text(name)],
    ];
    if (!lines[0]?.startsWith('type ')) {
      this.#push(table, kinds.newChain, NLM_F_CREATE, ...common);
      return lines;
    }
    const [, hook, priority, more] = wordsIn(/^type filter hook (\w+) priority (\w+)(?: \+ (\d+))?$/, lines[0]);
    const policy = wordsIn(/^policy (accept|drop)$/, lines[1] ?? '')[1];
    const places: Readonly<Record<string, number>> = hooks[table.family];
    if (!Object.hasOwn(places, hook!) || !Object.hasOwn(priorities, priority!)) throw new UnknownWord(lines[0]);
    const at = priorities[priority!]! + Number(more ?? 0);
    this.#push(
      table,
      kinds.newChain,
      NLM_F_CREATE,
      ...common,
      [7, text('filter')],
      nested(4, [1, number(places[hook!]!)], [2, number(at)]),
      [5, number(policy === 'accept' ? 1 : 0)],
    );
    return lines.slice(2);
  }

  #rule(table: Table, chain: string, rule: string): void {
    const expressions = encodeRule(rule, table.family === 'inet', (type, elements, interval) =>
      this.#unnamedSet(table, type, elements, interval),
    );
    this.#push(
      table,
      kinds.newRule,
      NLM_F_CREATE | NLM_F_APPEND,
      [1, text(table.name)],
      [2, text(chain)],
      nested(4, ...expressions),
    );
  }

  #unnamedSet(table: Table, type: SetType, elements: readonly Interval[], interval: boolean): number {
    const encoded = interval ? intervalElements(elements) : elements.map(({ first }) => element(first));
    const flags = setFlag.anonymous | setFlag.constant | (interval ? setFlag.interval : 0);
    const order = interval ? 'network' : type.order;
    const id = this.#newSet(table, unnamedSet, { ...type, order }, flags, [nested(9, [1, number(encoded.length)])]);
    this.#elements(table, unnamedSet, id, encoded);
    return id;
  }

  #newSet(table: Table, name: string, type: SetType, flags: number, more: readonly Attribute[]): number {
    const id = ++this.#sets;
    this.#push(
      table,
      kinds.newSet,
      NLM_F_CREATE,
      [1, text(table.name)],
      [2, text(name)],
      [3, number(flags)],
      [4, number(type.number)],
      [5, number(type.length)],
      [10, number(id)],
      ...more,
      // For whoever lists it: the order of the octets of a key.
      [13, concat(Uint8Array.of(0, 4), u32(type.order === 'host' ? 1 : 2))],
    );
    return id;
  }

  #elements(table: Table, set: string, id: number, elements: readonly Attribute[]): void {
    if (elements.length > maxElements) throw new UnknownWord(`${elements.length} elements`);
    this.#push(
      table,
      kinds.newElement,
      NLM_F_CREATE,
      [1, text(table.name)],
      [2, text(set)],
      [4, number(id)],
      nested(3, ...elements),
    );
  }

  #push({ family }: Table, kind: number, flags: number, ...attributes: readonly Attribute[]): void {
    this.#messages.push({ kind, flags, family: familyNumber(family), attributes });
  }

  #next(): string {
    const line = this.#lines.shift();
    if (line === undefined) throw new UnknownWord('the end');
    return line;
  }
}

interface Table {
  readonly family: Family;
  readonly name: string;
}

/** Where each begins, and where it has ended; those that touch are one, as nft makes them. @throws {UnknownWord} when they overlap */
function intervalElements(intervals: readonly Interval[]): readonly Attribute[] {
  const elements: Attribute[] = [];
  let end: Uint8Array | undefined;
  for (const [i, { first, last }] of intervals.toSorted((a, b) => compareOctets(a.first, b.first)).entries()) {
    const touches = end ? compareOctets(first, end) : 1;
    if (touches < 0 || (i > 0 && !end)) throw new UnknownWord('intervals that overlap');
    if (touches > 0) {
      if (end) elements.push(element(end, intervalEnd));
      else if (first.some((octet) => octet !== 0)) elements.push(element(new Uint8Array(first.length), intervalEnd));
    }
    end = successor(last);
    if (touches > 0) elements.push(element(first, 0, end ? undefined : openInterval));
    else if (!end) throw new UnknownWord('intervals that touch at the end of all keys');
  }
  if (end) elements.push(element(end, intervalEnd));
  return elements;
}

function element(key: Uint8Array, flags = 0, note?: Uint8Array): Attribute {
  return nested(
    1,
    nested(1, [1, key]),
    ...(flags === 0 ? [] : [[3, number(flags)] as const]),
    ...(note === undefined ? [] : [[6, note] as const]),
  );
}

/** The next key; undefined behind the last one. */
function successor(key: Uint8Array): Uint8Array | undefined {
  const next = key.slice();
  for (let i = next.length - 1; i >= 0; i--) {
    next[i]!++;
    if (next[i] !== 0) return next;
  }
  return undefined;
}

function isSetType(name: string): name is keyof typeof setTypes {
  return Object.hasOwn(setTypes, name);
}

function wordsIn(form: RegExp, line: string): RegExpExecArray {
  const found = form.exec(line);
  if (!found) throw new UnknownWord(line);
  return found;
}
