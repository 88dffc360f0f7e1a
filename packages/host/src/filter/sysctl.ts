import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filterError, messageOf } from './filter-error.ts';

/**
 * Kernel settings that a plan needs, each with the value it had before: in a file below `/run`, as settings do not outlive a reboot
 * either. What somebody else has changed since stays as it is.
 */
export interface Sysctls {
  /** Idempotent. @throws {HostError} AOV-HOST-608 */
  set(name: string, value: string): void;
  isSet(name: string, value: string): boolean;
  /** Gives everything back with no memory of what ran before; what could not be, with the reason. */
  restore(): readonly string[];
}

/** Names are `net.ipv4.conf.all.src_valid_mark`; the kernel's directory stands for the dots. */
const settingsDirectory = '/proc/sys';
const nameForm = /^[a-z0-9_]+(\.[a-z0-9_-]+)+$/;

interface Journal {
  readonly [name: string]: { readonly before: string; readonly ours: string; readonly owners: readonly string[] };
}

/**
 * @param directory where the journal lies, `/run/aovpn` unless told otherwise
 * @param owner who needs the settings: what two need is given back with the second
 */
export function openSysctls(directory = '/run/aovpn', owner = 'filters'): Sysctls {
  const file = join(directory, 'sysctl.json');
  const read = (name: string): string => readFileSync(pathOf(name), 'utf8').trim();
  const readJournal = (): Journal => {
    try {
      const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
      return isJournal(parsed) ? parsed : {};
    } catch {
      return {};
    }
  };
  const writeJournal = (journal: Journal): void => {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const fresh = `${file}.new`;
    writeFileSync(fresh, JSON.stringify(journal), { mode: 0o600 });
    renameSync(fresh, file);
  };

  return {
    set: (name, value) => {
      try {
        const before = read(name);
        const journal = readJournal();
        const known = journal[name];
        if (before === value && (!known || known.owners.includes(owner))) return;
        // Written down first: what is changed can be given back. The oldest value is the machine's own.
        const owners = [...new Set([...(known?.owners ?? []), owner])];
        writeJournal({ ...journal, [name]: { before: known?.before ?? before, ours: value, owners } });
        if (before !== value) writeFileSync(pathOf(name), value);
      } catch (error) {
        throw filterError('sysctlRefused', `${name} = ${value}: ${messageOf(error)}`, error);
      }
    },
    isSet: (name, value) => {
      try {
        return read(name) === value;
      } catch {
        return false;
      }
    },
    restore: () => {
      const problems: string[] = [];
      const left: { -readonly [name in keyof Journal]: Journal[name] } = {};
      for (const [name, row] of Object.entries(readJournal())) {
        const owners = row.owners.filter((other) => other !== owner);
        if (owners.length > 0) {
          left[name] = { ...row, owners };
          continue;
        }
        try {
          if (read(name) === row.ours) writeFileSync(pathOf(name), row.before);
        } catch (error) {
          // Of a device that is gone.
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
          problems.push(`${name}: ${messageOf(error)}`);
        }
      }
      if (Object.keys(left).length > 0) writeJournal(left);
      else rmSync(file, { force: true });
      return problems;
    },
  };
}

function pathOf(name: string): string {
  // Read from a file as well: nothing but names of settings becomes a path.
  if (!nameForm.test(name)) throw new TypeError(`not the name of a setting: ${JSON.stringify(name)}`);
  return join(settingsDirectory, ...name.split('.'));
}

function isJournal(value: unknown): value is Journal {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.entries(value).every(
      ([name, row]: [string, unknown]) =>
        nameForm.test(name) &&
        typeof row === 'object' &&
        row !== null &&
        typeof (row as Record<string, unknown>)['before'] === 'string' &&
        typeof (row as Record<string, unknown>)['ours'] === 'string' &&
        Array.isArray((row as Record<string, unknown>)['owners']),
    )
  );
}
