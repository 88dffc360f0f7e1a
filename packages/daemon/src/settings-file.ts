import { readFile, stat } from 'node:fs/promises';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';
import { defaultSettings, maxSettingsBytes, parseSettings, type Settings } from './settings.ts';
import { formatFaults } from './settings-fault.ts';

/** aovpn.toml as it is in force: a bad new version leaves the old one. */
export class SettingsFile {
  readonly #path: string;
  readonly #log: Log;
  #seen: string | undefined;
  #current: Settings;

  constructor(path: string, log: Log, source: string | undefined, settings: Settings) {
    this.#path = path;
    this.#log = log;
    this.#seen = source;
    this.#current = settings;
  }

  /** @throws {DaemonError} AOV-DAEMON-501, AOV-DAEMON-502: the daemon must not start with settings that nobody wrote */
  static async open(path: string, log: Log): Promise<SettingsFile> {
    const source = await read(path);
    if (source === undefined) return new SettingsFile(path, log, undefined, defaultSettings);
    const result = parseSettings(source);
    if ('faults' in result) throw new DaemonError('AOV-DAEMON-501', `\n${formatFaults(path, result.faults)}`);
    for (const notice of result.settings.notices) log.warn(`${path}: ${notice}`);
    return new SettingsFile(path, log, source, result.settings);
  }

  get current(): Settings {
    return this.#current;
  }

  /** Whether other settings are in force now. */
  async reload(): Promise<boolean> {
    let source: string | undefined;
    try {
      source = await read(this.#path);
    } catch (error) {
      const { message } = error as Error;
      if (this.#seen !== message) this.#log.error(`${message}; the settings in force stay`);
      this.#seen = message;
      return false;
    }
    if (source === this.#seen) return false;
    this.#seen = source;
    const result = source === undefined ? { settings: defaultSettings } : parseSettings(source);
    if ('faults' in result) {
      this.#log.error(`settings refused, those in force stay: ${formatFaults(this.#path, result.faults)} [AOV-DAEMON-501]`);
      return false;
    }
    this.#current = result.settings;
    for (const notice of result.settings.notices) this.#log.warn(`${this.#path}: ${notice}`);
    this.#log.info('settings read anew');
    return true;
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path);
    if (!facts.isFile()) throw new DaemonError('AOV-DAEMON-502', `${path} is not a regular file`);
    if ((facts.mode & 0o022) !== 0)
      throw new DaemonError('AOV-DAEMON-502', `${path} can be written by others than root (chmod go-w ${path})`);
    if (facts.size > maxSettingsBytes) throw new DaemonError('AOV-DAEMON-502', `${path} has ${facts.size} octets`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof DaemonError) throw error;
    throw new DaemonError('AOV-DAEMON-502', `${path}: ${(error as Error).message}`, error);
  }
}
