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
  readonly [name: string]: { readonly before: string; readonly ours: string };
}

/** @param directory where the journal lies, `/run/aovpn` unless told otherwise */
export function openSysctls(directory = '/run/aovpn'): Sysctls {
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
        if (before === value) return;
        const journal = readJournal();
        // Written down first: what is changed can be given back. The oldest value is the machine's own.
        writeJournal({ ...journal, [name]: { before: journal[name]?.before ?? before, ours: value } });
        writeFileSync(pathOf(name), value);
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
      for (const [name, { before, ours }] of Object.entries(readJournal())) {
        try {
          if (read(name) === ours) writeFileSync(pathOf(name), before);
        } catch (error) {
          // Of a device that is gone.
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
          problems.push(`${name}: ${messageOf(error)}`);
        }
      }
      rmSync(file, { force: true });
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
        typeof (row as Record<string, unknown>)['ours'] === 'string',
    )
  );
}
