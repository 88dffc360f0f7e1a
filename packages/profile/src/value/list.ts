import { parseAddress, parsePrefix, compareAddresses } from '@aovpn/bytes';
import type { FindingName } from '../diagnostic-catalogue.ts';
import type { NumberRange, ServerAddress } from '../profile.ts';
import { quote } from '../quote.ts';
import { trimBlanks } from '../xml/element.ts';
import { addressCure, withoutInvisible } from './scalar.ts';
import type { RawValue, ValueType } from './value-type.ts';

interface Entry {
  readonly text: string;
  readonly offset: number;
}

/** DNS suffixes as Windows writes them: no leading dot, no wildcard. */
export const suffixes: ValueType<readonly string[]> = commaList('list of suffixes', (entry, raw) => {
  if (/^[.*]|[*/\\:]/.test(entry.text)) {
    raw.report('doubtfulDomain', `${quote(entry.text)} is not a plain suffix`, entry.offset);
  }
  return entry.text;
});

export const addresses: ValueType<readonly string[]> = commaList('list of IP addresses', (entry, raw) => {
  if (parseAddress(entry.text)) return entry.text;
  const words = /;/.test(entry.text) ? { cure: 'Separate the addresses by commas.' } : addressCure(entry.text);
  raw.report('notAddress', `${quote(entry.text)} is not an IP address`, entry.offset, words);
  return undefined;
});

/** Addresses, prefixes and ranges `a-b`. */
export const addressRanges: ValueType<readonly string[]> = neverEmpty(
  'notAddressRange',
  commaList('list of address ranges', (entry, raw) => {
    if (isAddressRange(entry.text)) return entry.text;
    raw.report('notAddressRange', `${quote(entry.text)} is not an address, prefix or range`, entry.offset);
    return undefined;
  }),
);

/** Ports and ranges of ports. */
export const portRanges: ValueType<readonly NumberRange[]> = {
  ...neverEmpty(
    'notPortRange',
    commaList('list of port ranges', (entry, raw) => {
      const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry.text);
      const from = Number(parts?.[1] ?? -1);
      const to = Number(parts?.[2] ?? from);
      if (from >= 0 && from <= to && to <= 65535) return { from, to };
      raw.report('notPortRange', `${quote(entry.text)} is not a port or a port range`, entry.offset);
      return undefined;
    }),
  ),
  write: (ranges) => ranges.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(','),
};

/** SHA-1 hashes of certificates; a semicolon separates too. */
export const hashes: ValueType<readonly string[]> = separatedByEither('list of certificate hashes', (entry, raw) =>
  thumbprint(entry, raw),
);

/** Object identifiers; a semicolon separates too. */
export const objectIdentifiers: ValueType<readonly string[]> = separatedByEither('list of object identifiers', (entry, raw) => {
  if (isObjectIdentifier(entry.text)) return entry.text;
  raw.report('notObjectIdentifier', `${quote(entry.text)} is not an object identifier`, entry.offset);
  return undefined;
});

/** `server`, `server;friendly name`, several separated by commas. */
export const servers: ValueType<readonly ServerAddress[]> = {
  ...commaList('list of servers', (entry, raw) => {
    const semicolon = entry.text.indexOf(';');
    const host = trimBlanks(semicolon < 0 ? entry.text : entry.text.slice(0, semicolon));
    const friendlyName = semicolon < 0 ? '' : trimBlanks(entry.text.slice(semicolon + 1));
    if (!isHost(host)) {
      raw.report('notServer', `${quote(host)} is neither a host name nor an address`, entry.offset);
      return undefined;
    }
    if (friendlyName !== '' && friendlyName.toLowerCase() !== host.toLowerCase() && /^[\w-]+(\.[\w-]+)+$/.test(friendlyName)) {
      const message = `${quote(friendlyName)} looks like a second server, but is the display name of ${quote(host)}`;
      raw.report('friendlyNameLooksLikeServer', message, entry.offset + semicolon + 1);
    }
    return friendlyName === '' ? { host } : { host, friendlyName };
  }),
  write: (list) =>
    list.map(({ host, friendlyName }) => (friendlyName === undefined ? host : `${host};${friendlyName}`)).join(','),
};

/** Servers of a plug-in: names, addresses or URLs; semicolons and commas both separate. */
export const serverUrls: ValueType<readonly ServerAddress[]> = {
  name: 'list of servers',
  mayBeEmpty: true,
  read: (raw) => {
    const written = withoutInvisible(raw);
    return entriesOf(written, /[;,]/g)
      .map((entry) => entry.text)
      .filter((entry) => entry !== '')
      .map((host) => ({ host }));
  },
  write: (list) => list.map(({ host }) => host).join(';'),
};

/** Lower-case hexadecimal of a SHA-1 hash written with or without blanks or colons; undefined (and reported) when it is none. */
export function thumbprint(entry: Entry, raw: RawValue): string | undefined {
  const digits = entry.text.replaceAll(/[\s:]/g, '').toLowerCase();
  if (/^[0-9a-f]{40}$/.test(digits)) return digits;
  if (/^[0-9a-f]{64}$/.test(digits)) {
    const words = { cure: 'Write the SHA-1 hash, which the certificate dialog of Windows calls "Thumbprint".' };
    raw.report('notThumbprint', `${quote(entry.text)} has 64 hexadecimal digits: it looks like SHA-256`, entry.offset, words);
    return undefined;
  }
  const why = /^[0-9a-f]*$/.test(digits) ? `it has ${digits.length} hexadecimal digits instead of 40` : 'it is not hexadecimal';
  raw.report('notThumbprint', `${quote(entry.text)} is not a SHA-1 thumbprint: ${why}`, entry.offset);
  return undefined;
}

export function isObjectIdentifier(text: string): boolean {
  return text.length <= 128 && /^[0-2](\.(0|[1-9]\d{0,38}))+$/.test(text);
}

/** A host name in the letters of any language, with the full stops that UTS 46 takes for dots; or an IP address. */
export function isHost(text: string): boolean {
  if (parseAddress(text)) return true;
  return (
    text.length <= 253 &&
    /[^\d.]/.test(text) &&
    /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]{0,62}([.\u3002\uFF0E\uFF61][\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]{0,62})*[.\u3002\uFF0E\uFF61]?$/u.test(
      text,
    )
  );
}

function isAddressRange(text: string): boolean {
  const dash = text.indexOf('-');
  if (dash < 0) return parsePrefix(text) !== undefined;
  const from = parseAddress(text.slice(0, dash));
  const to = parseAddress(text.slice(dash + 1));
  return from !== undefined && to !== undefined && from.family === to.family && compareAddresses(from, to) <= 0;
}

function commaList<T>(name: string, readEntry: (entry: Entry, raw: RawValue) => T | undefined): ValueType<readonly T[]> {
  return {
    name,
    mayBeEmpty: true,
    read: (raw) => readList(raw, withoutInvisible(raw), /,/g, readEntry),
    write: (values) => values.join(','),
  };
}

/** A list in which nothing would mean "no restriction": refused, since it was meant as one. */
function neverEmpty<T>(name: FindingName, list: ValueType<readonly T[]>): ValueType<readonly T[]> {
  return {
    ...list,
    mayBeEmpty: false,
    read: (raw) => {
      const values = list.read(raw);
      if (values?.length !== 0) return values;
      raw.report(name, 'the list has no entry');
      return undefined;
    },
  };
}

function separatedByEither<T>(name: string, readEntry: (entry: Entry, raw: RawValue) => T | undefined): ValueType<readonly T[]> {
  return {
    ...commaList(name, readEntry),
    read: (raw) => {
      const written = withoutInvisible(raw);
      const semicolon = written.indexOf(';');
      if (semicolon >= 0) raw.report('listSeparator', 'semicolons separate this list', semicolon);
      return readList(raw, written, /[,;]/g, readEntry);
    },
  };
}

function readList<T>(
  raw: RawValue,
  written: string,
  separator: RegExp,
  readEntry: (entry: Entry, raw: RawValue) => T | undefined,
): readonly T[] | undefined {
  if (written === '') return [];
  const values: T[] = [];
  let failed = false;
  let blankReported = false;
  for (const entry of entriesOf(written, separator)) {
    if (entry.text === '') {
      raw.report('emptyListEntry', 'the list has an empty entry', entry.offset);
      continue;
    }
    if (entry.blank && !blankReported) {
      blankReported = true;
      raw.report('blankInList', `there is a blank next to ${quote(entry.text)}`, entry.offset);
    }
    const value = readEntry(entry, raw);
    if (value === undefined) failed = true;
    else values.push(value);
  }
  return failed ? undefined : values;
}

/** The parts of a list without blanks around them. Time is linear in the text. */
function entriesOf(written: string, separator: RegExp): readonly (Entry & { readonly blank: boolean })[] {
  const entries: (Entry & { blank: boolean })[] = [];
  let start = 0;
  for (const part of written.split(separator)) {
    const text = trimBlanks(part);
    entries.push({ text, offset: start + part.indexOf(text), blank: text.length !== part.length });
    start += part.length + 1;
  }
  return entries;
}
