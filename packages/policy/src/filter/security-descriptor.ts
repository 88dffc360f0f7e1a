import type { SecurityEntry } from './filter-intent.ts';

/** Entries of one list; a descriptor with more is refused. */
const entryLimit = 1000;
const lengthLimit = 64 * 1024;

/** The right that a filter asks for: FWP_ACTRL_MATCH_FILTER, in SDDL the bit of `CC` (MS-DTYP §2.5.1.1: ADS_RIGHT_DS_CREATE_CHILD). */
const matchFilter = 0x1;

/** Rights by name with their bits; generic rights count as what they map to. Only bit 0 matters here. */
const rightBits: ReadonlyMap<string, number> = new Map([
  ...['CC', 'GA', 'FA', 'FR', 'KA', 'KR', 'KX'].map((name): [string, number] => [name, matchFilter]),
  ...'DC LC SW RP WP DT LO CR SD RC WD WO GR GW GX FW FX KW'.split(' ').map((name): [string, number] => [name, 0]),
]);

/** MS-DTYP §2.5.1.1 `sid-token`: those that are the same on every machine. */
const wellKnown: ReadonlyMap<string, string> = new Map([
  ['WD', 'S-1-1-0'],
  ['CO', 'S-1-3-0'],
  ['CG', 'S-1-3-1'],
  ['NU', 'S-1-5-2'],
  ['IU', 'S-1-5-4'],
  ['SU', 'S-1-5-6'],
  ['AN', 'S-1-5-7'],
  ['ED', 'S-1-5-9'],
  ['PS', 'S-1-5-10'],
  ['AU', 'S-1-5-11'],
  ['RC', 'S-1-5-12'],
  ['SY', 'S-1-5-18'],
  ['LS', 'S-1-5-19'],
  ['NS', 'S-1-5-20'],
  ['BA', 'S-1-5-32-544'],
  ['BU', 'S-1-5-32-545'],
  ['BG', 'S-1-5-32-546'],
  ['PU', 'S-1-5-32-547'],
  ['AO', 'S-1-5-32-548'],
  ['SO', 'S-1-5-32-549'],
  ['PO', 'S-1-5-32-550'],
  ['BO', 'S-1-5-32-551'],
  ['RE', 'S-1-5-32-552'],
  ['RU', 'S-1-5-32-554'],
  ['RD', 'S-1-5-32-555'],
  ['NO', 'S-1-5-32-556'],
]);

/** Tokens relative to a domain whose SID does not stand in the text. */
const domainRelative: ReadonlySet<string> = new Set('DA DU DG DC DD LA LG CA SA EA PA RO RS'.split(' '));

const aceFlags = /^(?:CI|OI|NP|IO|ID|SA|FA|CR|TP)*$/;
const descriptorFlags = /^(?:P|AR|AI)*/;

/**
 * Reads the discretionary list of a security descriptor string (MS-DTYP §2.5.1.1): which SIDs may match the filter, in order.
 * Owner and group are read and do not count; conditional, object and audit entries are refused, as what is not understood must not
 * grant anything.
 * @returns the entries, or what is wrong
 */
export function parseSecurityDescriptor(text: string): readonly SecurityEntry[] | { readonly wrong: string } {
  if (text.length > lengthLimit) return { wrong: `it has ${text.length} characters` };
  let rest = text.trim();
  let list: readonly SecurityEntry[] | undefined;
  const seen = new Set<string>();
  while (rest !== '') {
    const letter = rest[0]!;
    if (!'OGDS'.includes(letter) || rest[1] !== ':') return { wrong: `there is no O:, G: or D: at ${shown(rest)}` };
    if (seen.has(letter)) return { wrong: `${letter}: is there twice` };
    seen.add(letter);
    rest = rest.slice(2);
    if (letter === 'O' || letter === 'G') {
      const sid = /^(?:S-[\dA-Fa-fx-]+|[A-Z]{2})/.exec(rest)?.[0];
      if (sid === undefined || typeof readSid(sid) !== 'string') return { wrong: `no SID follows ${letter}:` };
      rest = rest.slice(sid.length);
    } else if (letter === 'S') return { wrong: 'S: (auditing) has no meaning in a filter' };
    else {
      const entries = readList(rest);
      if ('wrong' in entries) return entries;
      list = entries.entries;
      rest = entries.rest;
    }
  }
  if (!list) return { wrong: 'there is no D: part, which says who is meant' };
  if (!list.some(({ allow }) => allow)) return { wrong: 'no entry allows CC, so that it would fit nobody' };
  return list;
}

function readList(
  text: string,
): { readonly entries: readonly SecurityEntry[]; readonly rest: string } | { readonly wrong: string } {
  if (text.startsWith('NO_ACCESS_CONTROL')) return { wrong: 'NO_ACCESS_CONTROL names nobody' };
  let rest = text.slice(descriptorFlags.exec(text)![0].length);
  const entries: SecurityEntry[] = [];
  for (let count = 0; rest.startsWith('('); count++) {
    if (count === entryLimit) return { wrong: `it has more than ${entryLimit} entries` };
    const end = rest.indexOf(')');
    if (end < 0) return { wrong: `an entry has no end at ${shown(rest)}` };
    const entry = readEntry(rest.slice(1, end));
    if ('wrong' in entry) return { wrong: `${entry.wrong} in ${shown(rest.slice(0, end + 1))}` };
    if (entry.counts) entries.push({ allow: entry.allow, sid: entry.sid });
    rest = rest.slice(end + 1).trimStart();
  }
  return { entries, rest };
}

function readEntry(text: string): (SecurityEntry & { readonly counts: boolean }) | { readonly wrong: string } {
  if (text.includes('(')) return { wrong: 'conditions are not supported' };
  const parts = text.split(';').map((part) => part.trim());
  if (parts.length !== 6) return { wrong: `${parts.length} fields where 6 belong` };
  const [type, flags, rights, object, inherited, sid] = parts as [string, string, string, string, string, string];
  if (type !== 'A' && type !== 'D') return { wrong: `the type ${shown(type)} is neither A nor D` };
  if (!aceFlags.test(flags)) return { wrong: `the flags ${shown(flags)} are unknown` };
  if (object !== '' || inherited !== '') return { wrong: 'object types are not supported' };
  const mask = readRights(rights);
  if (mask === undefined) return { wrong: `the rights ${shown(rights)} are unknown` };
  const read = readSid(sid);
  if (typeof read !== 'string') return read;
  // An entry that is only there to be inherited does not count for the object itself.
  const inheritOnly = /^(?:..)*IO/.test(flags);
  return { allow: type === 'A', sid: read, counts: (mask & matchFilter) !== 0 && !inheritOnly };
}

function readRights(text: string): number | undefined {
  if (/^(?:0x[\da-f]{1,8}|\d{1,10})$/i.test(text)) return Number(text) & matchFilter;
  if (text === '' || text.length % 2 !== 0) return undefined;
  let mask = 0;
  for (let i = 0; i < text.length; i += 2) {
    const bits = rightBits.get(text.slice(i, i + 2));
    if (bits === undefined) return undefined;
    mask |= bits;
  }
  return mask;
}

function readSid(text: string): string | { readonly wrong: string } {
  if (/^S-1-(?:\d{1,15}|0x[\da-f]{1,12})(?:-\d{1,10}){1,15}$/i.test(text)) return text.toUpperCase();
  const known = wellKnown.get(text);
  if (known !== undefined) return known;
  if (domainRelative.has(text)) return text;
  return { wrong: `${shown(text)} is not a SID` };
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
