import type { NumberRange } from '@aovpn/profile';

/** Whom a SID means on this machine. A member of a group counts by user id as well: the kernel shows only one group of a socket. */
export interface SidFacts {
  readonly users: readonly NumberRange[];
  readonly groups: readonly NumberRange[];
}

/** SIDs that are known here, by text in upper case (`S-1-…`, or a token relative to the domain such as `DU`). */
export type IdentityFacts = ReadonlyMap<string, SidFacts>;

/** One entry of a mapping file: names are looked up by the host. */
export interface SidMapping {
  readonly sid: string;
  readonly users: readonly NumberRange[];
  readonly userNames: readonly string[];
  readonly groups: readonly NumberRange[];
  readonly groupNames: readonly string[];
}

/** The highest user or group id; 2^32-1 means "none" to Linux. */
export const highestId = 0xffff_fffe;
export const everyId: NumberRange = { from: 0, to: highestId };

const mappingLimit = 10_000;
const entryLimit = 10_000;

/** Everyone, Authenticated Users, Local System: what they mean needs no file. */
export const wellKnownIdentities: IdentityFacts = new Map([
  ['S-1-1-0', { users: [everyId], groups: [] }],
  ['S-1-5-11', { users: [everyId], groups: [] }],
  ['S-1-5-18', { users: [{ from: 0, to: 0 }], groups: [] }],
]);

/**
 * Reads a mapping file, already parsed from TOML: `[[sid]]` tables with `sid`, and `users` and `groups` as ids, ranges `"a-b"` or names.
 * An entry with a fault does not count: its SID stays unknown, and what names it lets nothing through.
 */
export function readSidMappings(content: unknown): {
  readonly mappings: readonly SidMapping[];
  readonly faults: readonly string[];
} {
  const faults: string[] = [];
  const mappings: SidMapping[] = [];
  const tables = isTable(content) ? content['sid'] : undefined;
  if (tables === undefined) return { mappings, faults: isTable(content) ? [] : ['it is not a table'] };
  if (!Array.isArray(tables)) return { mappings, faults: ['sid is not a list of tables; write [[sid]]'] };
  for (const [i, table] of tables.slice(0, mappingLimit).entries()) {
    const read = readMapping(table);
    if (typeof read === 'string') faults.push(`sid[${i + 1}]: ${read}`);
    else mappings.push(read);
  }
  if (tables.length > mappingLimit) faults.push(`there are more than ${mappingLimit} entries`);
  return { mappings, faults };
}

function readMapping(table: unknown): SidMapping | string {
  if (!isTable(table)) return 'it is not a table';
  for (const key of Object.keys(table)) if (!['sid', 'users', 'groups', 'comment'].includes(key)) return `${key} is unknown`;
  const { sid } = table;
  if (typeof sid !== 'string' || !/^(?:S-1-\d{1,15}(?:-\d{1,10}){1,15}|[A-Z]{2})$/i.test(sid)) return 'sid is not a SID';
  const users = readIds(table['users'] ?? []);
  const groups = readIds(table['groups'] ?? []);
  if (typeof users === 'string') return `users: ${users}`;
  if (typeof groups === 'string') return `groups: ${groups}`;
  return { sid: sid.toUpperCase(), users: users.ids, userNames: users.names, groups: groups.ids, groupNames: groups.names };
}

function readIds(value: unknown): { ids: NumberRange[]; names: string[] } | string {
  if (!Array.isArray(value) || value.length > entryLimit) return `it is not a list of at most ${entryLimit} ids and names`;
  const ids: NumberRange[] = [];
  const names: string[] = [];
  for (const entry of value as readonly unknown[]) {
    const range = typeof entry === 'string' ? /^(\d{1,10})-(\d{1,10})$/.exec(entry) : undefined;
    const from = typeof entry === 'number' ? entry : Number(range?.[1] ?? Number.NaN);
    const to = typeof entry === 'number' ? entry : Number(range?.[2] ?? Number.NaN);
    if (Number.isInteger(from) && from >= 0 && from <= to && to <= highestId) ids.push({ from, to });
    else if (!range && typeof entry === 'string' && /^[^\s:,/][^:,/\n]{0,255}$/.test(entry)) names.push(entry);
    else return `${JSON.stringify(entry)?.slice(0, 60)} is no id, range or name`;
  }
  return { ids, names };
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
