import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** What was there before us, by key (null: nothing), and what we put there. */
export interface SettingRecord {
  readonly before: Readonly<Record<string, string | null>>;
  readonly ours: Readonly<Record<string, string>>;
}

/**
 * Settings of a desktop that are ours for a while, each with the value of before: written down first and kept where a crash or a reboot does not
 * reach, so that whoever runs next can give them back.
 */
export class SettingJournal {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async read(): Promise<SettingRecord | undefined> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      return isRecord(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async write(record: SettingRecord): Promise<void> {
    await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    const fresh = `${this.#file}.new`;
    await writeFile(fresh, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    await rename(fresh, this.#file);
  }

  async remove(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

function isRecord(value: unknown): value is SettingRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { before, ours } = value as Record<string, unknown>;
  const texts = (table: unknown, orNull: boolean): boolean =>
    typeof table === 'object' &&
    table !== null &&
    Object.values(table).every((one) => typeof one === 'string' || (orNull && one === null));
  return texts(before, true) && texts(ours, false);
}

/** A place where settings live, as keys and texts. */
export interface SettingStore {
  read(): Promise<Readonly<Record<string, string>>>;
  /** `null` removes a key. */
  write(changes: Readonly<Record<string, string | null>>): Promise<void>;
}

/** Makes the settings these; what is ours from before and no longer wanted goes back. Tells whether anything was written. */
export async function putSettings(
  store: SettingStore,
  journal: SettingJournal,
  wanted: Readonly<Record<string, string>>,
): Promise<boolean> {
  const now = await store.read();
  const known = await journal.read();
  const before: Record<string, string | null> = {};
  for (const key of Object.keys(wanted)) {
    const mine = known && Object.hasOwn(known.before, key) && now[key] === known.ours[key];
    before[key] = mine ? known.before[key]! : (now[key] ?? null);
  }
  const changes: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(wanted)) if (now[key] !== value) changes[key] = value;
  for (const [key, value] of Object.entries(known?.ours ?? {}))
    if (!Object.hasOwn(wanted, key) && now[key] === value) changes[key] = known!.before[key] ?? null;
  await journal.write({ before, ours: wanted });
  if (Object.keys(changes).length === 0) return false;
  await store.write(changes);
  return true;
}

/** Gives everything back that is still as we put it; what the person has changed since stays. Tells whether anything was written. */
export async function giveSettingsBack(store: SettingStore, journal: SettingJournal): Promise<boolean> {
  const known = await journal.read();
  if (!known) return false;
  const now = await store.read();
  const changes: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(known.ours)) if (now[key] === value) changes[key] = known.before[key] ?? null;
  if (Object.keys(changes).length > 0) await store.write(changes);
  await journal.remove();
  return Object.keys(changes).length > 0;
}
