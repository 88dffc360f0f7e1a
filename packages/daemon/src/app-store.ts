import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  emptyCatalogue,
  readAppCatalogue,
  readSidMappings,
  type AppCatalogue,
  type AppFileFault,
  type Intent,
  type PlanInput,
  type SidMapping,
} from '@aovpn/policy';
import { parse, TomlError } from 'smol-toml';
import { lookUpIdentities } from './identity-lookup.ts';
import type { Log } from './log.ts';

/** What the product says about common programs; the administrator's files come after it. */
const shippedApps = fileURLToPath(new URL('../apps.d/', import.meta.resolve('@aovpn/policy')));

const maxFiles = 200;
const maxFileBytes = 1 << 20;

export interface AppStoreOptions {
  /** Its `apps.d` and `sids.d`. */
  readonly configDir: string;
  readonly log: Log;
  /** Files that are read first. */
  readonly shipped?: string;
}

/** The files of `apps.d` and `sids.d`: read when a profile first needs them, and again when one of them changes. */
export class AppStore {
  readonly #options: AppStoreOptions;
  #seen: string | undefined;
  #catalogue: AppCatalogue = emptyCatalogue;
  #mappings: readonly SidMapping[] = [];
  #faults: readonly AppFileFault[] = [];

  constructor(options: AppStoreOptions) {
    this.#options = options;
  }

  get catalogue(): AppCatalogue {
    return this.#catalogue;
  }

  get mappings(): readonly SidMapping[] {
    return this.#mappings;
  }

  /** What is wrong in the files; those entries do not count. */
  get faults(): readonly AppFileFault[] {
    return this.#faults;
  }

  /** Whether anybody has needed them yet. */
  get isLoaded(): boolean {
    return this.#seen !== undefined;
  }

  /** What filters and apps of these profiles need to know; the files are left alone when no profile has any. */
  async factsFor(intents: ReadonlyMap<string, Intent>): Promise<Pick<PlanInput, 'apps' | 'identities'>> {
    const profiles = [...intents.values()];
    if (profiles.every(({ filters, triggers }) => filters.length + triggers.length === 0)) return {};
    await this.load();
    return { apps: this.#catalogue, identities: await lookUpIdentities(profiles, this.#mappings) };
  }

  /** Reads what is new; whether anything was. */
  async load(): Promise<boolean> {
    const { configDir, shipped = shippedApps, log } = this.#options;
    const apps = [...(await list(shipped, false)), ...(await list(path.join(configDir, 'apps.d'), true))];
    const sids = await list(path.join(configDir, 'sids.d'), true);
    const seen = JSON.stringify([apps, sids]);
    if (seen === this.#seen) return false;
    const faults: AppFileFault[] = [];
    const read = readAppCatalogue(await parseAll(apps, faults));
    faults.push(...read.faults);
    const mappings: SidMapping[] = [];
    for (const { source, content } of await parseAll(sids, faults)) {
      const found = readSidMappings(content);
      mappings.push(...found.mappings);
      faults.push(...found.faults.map((what) => ({ source, where: 'sids', what })));
    }
    for (const { source, where, what } of faults) log.warn(`${source}: ${where}: ${what}; it does not count`);
    this.#catalogue = read.catalogue;
    this.#mappings = mappings;
    this.#faults = faults;
    this.#seen = seen;
    return true;
  }
}

interface Listed {
  readonly file: string;
  readonly changed: number;
  readonly size: number;
  /** Why it is not believed. */
  readonly fault?: string;
}

async function list(directory: string, checked: boolean): Promise<readonly Listed[]> {
  let names: string[];
  try {
    names = (await readdir(directory)).filter((name) => name.endsWith('.toml')).sort();
  } catch {
    return [];
  }
  const outside = checked ? await weaknessOf(directory) : undefined;
  return await Promise.all(
    names.slice(0, maxFiles).map(async (name): Promise<Listed> => {
      const file = path.join(directory, name);
      try {
        const { mtimeMs, size, ino } = await stat(file);
        const fault =
          outside ??
          (checked ? await weaknessOf(file) : undefined) ??
          (size > maxFileBytes ? `it has ${size} octets` : undefined);
        return { file, changed: mtimeMs + ino, size, ...(fault === undefined ? {} : { fault }) };
      } catch (error) {
        return { file, changed: 0, size: 0, fault: (error as Error).message };
      }
    }),
  );
}

/** Whoever may write there decides who passes through the tunnels. */
async function weaknessOf(place: string): Promise<string | undefined> {
  const { uid, mode } = await stat(place);
  if (uid !== 0) return `${place} belongs to user ${uid}, not to root`;
  return (mode & 0o022) === 0 ? undefined : `others than root can write to ${place}`;
}

async function parseAll(
  files: readonly Listed[],
  faults: AppFileFault[],
): Promise<readonly { readonly source: string; readonly content: unknown }[]> {
  const read: { source: string; content: unknown }[] = [];
  for (const { file, fault } of files) {
    if (fault !== undefined) {
      faults.push({ source: file, where: 'file', what: fault });
      continue;
    }
    try {
      read.push({ source: file, content: parse(await readFile(file, 'utf8')) });
    } catch (error) {
      const what = error instanceof TomlError ? `line ${error.line}: ${error.message.split('\n')[0]}` : (error as Error).message;
      faults.push({ source: file, where: 'file', what });
    }
  }
  return read;
}
