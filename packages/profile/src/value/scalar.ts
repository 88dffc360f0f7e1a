import { parseAddress } from '@aovpn/bytes';
import { codePointName, invisible, quote } from '../quote.ts';
import type { RawValue, ValueType } from './value-type.ts';

/** Any text, kept as it is. */
export const text: ValueType<string> = { name: 'text', mayBeEmpty: true, read: (raw) => raw.text, write: (value) => value };

/** Text of one line in which invisible characters are never meant. */
export const word: ValueType<string> = { name: 'text', mayBeEmpty: false, read: withoutInvisible, write: (value) => value };

export const boolean: ValueType<boolean> = {
  name: 'boolean',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    const lower = written.toLowerCase();
    if (lower !== 'true' && lower !== 'false') {
      raw.report('notBoolean', `${quote(written)} is neither true nor false`);
      return undefined;
    }
    if (written !== lower) raw.report('booleanCase', `${quote(written)} should be ${lower}`);
    return lower === 'true';
  },
  write: String,
};

/** 0 or 1. */
export const bit: ValueType<boolean> = {
  name: '0 or 1',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    if (written === '0' || written === '1') return written === '1';
    const words = { here: 'The profile is not used: what was meant cannot be known.', cure: 'Write 0 or 1.' };
    raw.report('notBoolean', `${quote(written)} is neither 0 nor 1`, 0, words);
    return undefined;
  },
  write: (value) => (value ? '1' : '0'),
};

export function integer(from: number, to: number): ValueType<number> {
  return {
    name: `number ${from}–${to}`,
    mayBeEmpty: false,
    read: (raw) => {
      const written = withoutInvisible(raw);
      const value = /^\d{1,15}$/.test(written) ? Number(written) : undefined;
      if (value === undefined || value < from || value > to) {
        raw.report('notNumber', `${quote(written)} is not a whole number from ${from} to ${to}`);
        return undefined;
      }
      return value;
    },
    write: String,
  };
}

export interface KeywordOptions<T extends string> {
  /** Other forms that Windows itself produces: accepted without a word. */
  readonly readBack?: Readonly<Record<string, T>>;
  /** Spellings of other tools, in lower case, and what they mean here: refused with a hint. */
  readonly confusions?: Readonly<Record<string, T>>;
}

/** One of some words; case does not matter to us. */
export function keyword<const T extends string>(values: readonly T[], options: KeywordOptions<NoInfer<T>> = {}): ValueType<T> {
  const exact = new Map<string, T>(values.map((value) => [value, value]));
  for (const [form, value] of Object.entries(options.readBack ?? {})) exact.set(form, value);
  const lower = new Map<string, T>(values.map((value) => [value.toLowerCase(), value]));
  const confusions = new Map<string, T>(Object.entries(options.confusions ?? {}));
  return {
    name: values.join(' | '),
    mayBeEmpty: false,
    read: (raw) => {
      const written = withoutInvisible(raw);
      const found = exact.get(written);
      if (found !== undefined) return found;
      const similar = lower.get(written.toLowerCase());
      if (similar !== undefined) {
        raw.report('keywordCase', `${quote(written)} should be ${similar}`, 0, { cure: `Write ${similar}.` });
        return similar;
      }
      const meant = confusions.get(written.toLowerCase());
      raw.report('unknownKeyword', `${quote(written)} is not one of ${values.join(', ')}`, 0, {
        cure: meant
          ? `Here the name is ${meant}; ${quote(written)} is what another tool calls it.`
          : 'Use one of the allowed values.',
      });
      return undefined;
    },
    write: (value) => value,
  };
}

export const address: ValueType<string> = {
  name: 'IP address',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    if (parseAddress(written)) return written;
    raw.report('notAddress', `${quote(written)} is not an IP address`, 0, addressCure(written));
    return undefined;
  },
  write: (value) => value,
};

export function addressCure(written: string): { cure?: string } {
  if (written.includes('/')) return { cure: 'Write the address alone; the prefix length has its own element.' };
  if (/^0\d|\.0\d/.test(written)) return { cure: 'Remove the leading zeros: some programs take them for octal.' };
  return {};
}

/** The text of a value without characters that cannot be seen; reports the first of them. */
export function withoutInvisible(raw: RawValue): string {
  const offset = raw.text.search(invisible);
  if (offset < 0) return raw.text;
  const character = codePointName(raw.text.slice(offset));
  raw.report('hiddenCharacter', `the invisible character ${character} is in the value`, offset);
  return raw.text.replaceAll(invisible, '');
}
