import type { CharacterSet, NameExpression, State } from './name-expression.ts';

/** Why an expression is not understood, and where: `offset` in UTF-16 units. */
export interface ExpressionFault {
  readonly offset: number;
  readonly why: string;
}

/** Longest expression. */
const lengthLimit = 512;
/** Counted repetitions multiply: `((a{20}){20}){20}` would be 8000 states. */
const stateLimit = 1024;
/** Highest number in braces. */
const countLimit = 255;
/** Groups within groups. */
const depthLimit = 32;

/** Reads an expression; it stands for a whole name, as if it were between `^` and `$`. */
export function compileNameExpression(text: string): NameExpression | { readonly fault: ExpressionFault } {
  try {
    return new Compiler(text).compile();
  } catch (error) {
    if (error instanceof Fault) return { fault: { offset: error.offset, why: error.message } };
    throw error;
  }
}

class Fault extends Error {
  readonly offset: number;
  constructor(offset: number, why: string) {
    super(why);
    this.offset = offset;
  }
}

/** A piece of the automaton under construction: where it begins, and the ends that lead nowhere yet. */
interface Fragment {
  readonly start: number;
  readonly exits: readonly ((target: number) => void)[];
}

/** What an expression is made of, before it becomes states: a repetition needs to be built more than once. */
type Node =
  | { readonly kind: 'set'; readonly set: CharacterSet }
  | { readonly kind: 'begin' | 'end' }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'choice'; readonly branches: readonly Node[] }
  | { readonly kind: 'repeat'; readonly body: Node; readonly least: number; readonly most: number };

const any: CharacterSet = {
  negated: true,
  ranges: [
    [0x0a, 0x0a],
    [0x0d, 0x0d],
    [0x2028, 0x2029],
  ],
};
const digit: CharacterSet = { negated: false, ranges: [[0x30, 0x39]] };
const word: CharacterSet = {
  negated: false,
  ranges: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ],
};
const blank: CharacterSet = {
  negated: false,
  ranges: [
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
  ],
};
const namedSets: ReadonlyMap<string, CharacterSet> = new Map([
  ['d', digit],
  ['w', word],
  ['s', blank],
  ['D', { ...digit, negated: true }],
  ['W', { ...word, negated: true }],
  ['S', { ...blank, negated: true }],
]);

class Compiler {
  readonly #text: string;
  readonly #states: State[] = [];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  compile(): NameExpression {
    if (this.#text.length > lengthLimit) throw new Fault(lengthLimit, `it is longer than ${lengthLimit} characters`);
    // Case is folded anyway, so the one option that people write says nothing new.
    if (this.#text.startsWith('(?i)')) this.#at = 4;
    const node = this.#choice();
    if (this.#at < this.#text.length) throw new Fault(this.#at, 'there is a ")" without "("');
    const { start, exits } = this.#build(node);
    const accept = this.#add({ kind: 'accept' });
    for (const exit of exits) exit(accept);
    return { states: this.#states, start };
  }

  #choice(): Node {
    const branches = [this.#sequence()];
    while (this.#take('|')) branches.push(this.#sequence());
    return branches.length === 1 ? branches[0]! : { kind: 'choice', branches };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#text.length && !'|)'.includes(this.#text[this.#at]!)) parts.push(this.#repeated());
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #repeated(): Node {
    const atom = this.#atom();
    const from = this.#at;
    const counts = this.#quantifier();
    if (!counts) return atom;
    if (atom.kind === 'begin' || atom.kind === 'end') throw new Fault(from, 'an anchor cannot be repeated');
    // Lazy or greedy is the same for a whole name.
    this.#take('?');
    if (this.#at < this.#text.length && '*+?'.includes(this.#text[this.#at]!)) {
      throw new Fault(this.#at, 'a repetition cannot be repeated without a group');
    }
    return { kind: 'repeat', body: atom, ...counts };
  }

  #quantifier(): { readonly least: number; readonly most: number } | undefined {
    if (this.#take('*')) return { least: 0, most: Number.POSITIVE_INFINITY };
    if (this.#take('+')) return { least: 1, most: Number.POSITIVE_INFINITY };
    if (this.#take('?')) return { least: 0, most: 1 };
    if (this.#text[this.#at] !== '{') return undefined;
    const from = this.#at;
    const found = /^\{(\d{1,4})(,(\d{0,4}))?\}/.exec(this.#text.slice(from, from + 12));
    if (!found) throw new Fault(from, '"{" begins no repetition; write "\\{" for the character');
    this.#at += found[0].length;
    const least = Number(found[1]);
    const most = found[2] === undefined ? least : found[3] === '' ? Number.POSITIVE_INFINITY : Number(found[3]);
    if (most < least) throw new Fault(from, 'the numbers in braces are in the wrong order');
    if (least > countLimit || (Number.isFinite(most) && most > countLimit)) {
      throw new Fault(from, `more than ${countLimit} repetitions`);
    }
    return { least, most };
  }

  #atom(): Node {
    const from = this.#at;
    const character = this.#text[this.#at++]!;
    switch (character) {
      case '.':
        return { kind: 'set', set: any };
      case '^':
        return { kind: 'begin' };
      case '$':
        return { kind: 'end' };
      case '(':
        return this.#group(from);
      case '[':
        return { kind: 'set', set: this.#class(from) };
      case '\\':
        return this.#escape(from);
      case '*':
      case '+':
      case '?':
        throw new Fault(from, `nothing stands before "${character}" that could be repeated`);
      case '{':
      case '}':
      case ']':
        throw new Fault(from, `write "\\${character}" for the character`);
      default:
        return single(character);
    }
  }

  #group(from: number): Node {
    if (++this.#depth > depthLimit) throw new Fault(from, `groups within groups, more than ${depthLimit} deep`);
    if (this.#take('?') && !this.#take(':')) throw new Fault(from, 'look-around and options are not understood');
    const body = this.#choice();
    if (!this.#take(')')) throw new Fault(from, 'there is a "(" without ")"');
    this.#depth--;
    return body;
  }

  #escape(from: number): Node {
    const character = this.#text[this.#at++];
    if (character === undefined) throw new Fault(from, 'it ends with a lone "\\"');
    const named = namedSets.get(character);
    if (named) return { kind: 'set', set: named };
    if (character === 'A') return { kind: 'begin' };
    if (character === 'z' || character === 'Z') return { kind: 'end' };
    if (/[0-9]/.test(character)) throw new Fault(from, 'references to groups are not understood');
    if (/[A-Za-z]/.test(character)) throw new Fault(from, `"\\${character}" is not understood`);
    return single(character);
  }

  #class(from: number): CharacterSet {
    const negated = this.#take('^');
    const ranges: (readonly [number, number])[] = [];
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new Fault(from, 'there is a "[" without "]"');
      if (character === ']') break;
      const first = this.#classItem();
      if (this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== undefined && this.#text[this.#at + 1] !== ']') {
        const at = this.#at++;
        const last = this.#classItem();
        if (typeof first !== 'number' || typeof last !== 'number') throw new Fault(at, 'a range needs a character at both ends');
        if (last < first) throw new Fault(at, 'the range is in the wrong order');
        ranges.push([first, last]);
      } else if (typeof first === 'number') {
        ranges.push([first, first]);
      } else {
        ranges.push(...(first.negated ? complement(first.ranges) : first.ranges));
      }
    }
    this.#at++;
    if (ranges.length === 0) throw new Fault(from, 'the class is empty');
    return { negated, ranges };
  }

  #classItem(): number | CharacterSet {
    const from = this.#at;
    const character = this.#text[this.#at++]!;
    // Subtraction and named classes of other dialects must not pass for plain characters.
    if (character === '[') throw new Fault(from, 'write "\\[" for the character');
    if (character !== '\\') return character.charCodeAt(0);
    const escaped = this.#text[this.#at++];
    if (escaped === undefined) throw new Fault(from, 'it ends with a lone "\\"');
    const named = namedSets.get(escaped);
    if (named) return named;
    if (/[A-Za-z0-9]/.test(escaped)) throw new Fault(from, `"\\${escaped}" is not understood`);
    return escaped.charCodeAt(0);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #add(state: State): number {
    if (this.#states.length >= stateLimit) throw new Fault(0, 'its repetitions multiply to more than we are ready to try');
    return this.#states.push(state) - 1;
  }

  #build(node: Node): Fragment {
    switch (node.kind) {
      case 'set': {
        const state: State = { kind: 'one', set: node.set, next: -1 };
        return { start: this.#add(state), exits: [(target) => (state.next = target)] };
      }
      case 'begin':
      case 'end': {
        const state: State = { kind: node.kind, next: -1 };
        return { start: this.#add(state), exits: [(target) => (state.next = target)] };
      }
      case 'sequence':
        return this.#chain(node.parts.map((part) => () => this.#build(part)));
      case 'choice':
        return this.#fork(node.branches);
      case 'repeat': {
        const { body, least, most } = node;
        const parts = Array.from({ length: least }, () => () => this.#build(body));
        if (Number.isFinite(most)) for (let i = least; i < most; i++) parts.push(() => this.#optional(body));
        else parts.push(() => this.#loop(body));
        return this.#chain(parts);
      }
    }
  }

  #chain(parts: readonly (() => Fragment)[]): Fragment {
    let whole: Fragment | undefined;
    for (const build of parts) {
      const part = build();
      for (const exit of whole?.exits ?? []) exit(part.start);
      whole = { start: whole?.start ?? part.start, exits: part.exits };
    }
    return whole ?? this.#nothing();
  }

  /** Consumes nothing. */
  #nothing(): Fragment {
    const state: State = { kind: 'fork', next: -1, other: -1 };
    const exit = (target: number): void => {
      state.next = target;
      state.other = target;
    };
    return { start: this.#add(state), exits: [exit] };
  }

  #fork(branches: readonly Node[]): Fragment {
    const [first, ...rest] = branches;
    const left = this.#build(first!);
    if (rest.length === 0) return left;
    const right = this.#fork(rest);
    const start = this.#add({ kind: 'fork', next: left.start, other: right.start });
    return { start, exits: [...left.exits, ...right.exits] };
  }

  #optional(body: Node): Fragment {
    const { start, exits } = this.#build(body);
    const fork: State = { kind: 'fork', next: start, other: -1 };
    return { start: this.#add(fork), exits: [...exits, (target) => (fork.other = target)] };
  }

  #loop(body: Node): Fragment {
    const { start, exits } = this.#build(body);
    const fork: State = { kind: 'fork', next: start, other: -1 };
    const index = this.#add(fork);
    for (const exit of exits) exit(index);
    return { start: index, exits: [(target) => (fork.other = target)] };
  }
}

function single(character: string): Node {
  const unit = character.charCodeAt(0);
  return { kind: 'set', set: { negated: false, ranges: [[unit, unit]] } };
}

/** Everything that is in none of the ranges. */
function complement(ranges: CharacterSet['ranges']): CharacterSet['ranges'] {
  const found: (readonly [number, number])[] = [];
  let from = 0;
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (first > from) found.push([from, first - 1]);
    from = Math.max(from, last + 1);
  }
  if (from <= 0xffff) found.push([from, 0xffff]);
  return found;
}
