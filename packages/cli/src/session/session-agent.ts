import { readFile, stat } from 'node:fs/promises';
import { watch, type FSWatcher } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { maxNoticeBytes, parseProxyNotice, type ProxyNotice } from '@aovpn/api';
import { gnomeProxy, gnomeSettings } from './gnome-proxy.ts';
import { kdeProxy, kdeSettings } from './kde-proxy.ts';
import { runProgram } from './run-program.ts';
import { giveSettingsBack, putSettings, SettingJournal, type SettingStore } from './setting-journal.ts';

export interface SessionAgentOptions {
  /** Where the daemon says which proxies to use. */
  readonly noticeFile: string;
  readonly home: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly say: (text: string) => void;
}

/** A daemon that died without a word is looked for this often while its proxies are in force, milliseconds. */
const lookMs = 5_000;
const settleMs = 50;

interface Desktop {
  readonly name: string;
  readonly store: SettingStore;
  readonly journal: SettingJournal;
  readonly settings: (notice: ProxyNotice) => Readonly<Record<string, string>>;
  readonly changed?: () => Promise<unknown>;
}

/**
 * The part of the product that runs in a person's session, as that person: keeps the proxy settings of the desktop like what the daemon says, and
 * gives back what was there before. It knows from its journal what to give back, however it ended last time.
 */
export class SessionAgent {
  readonly #options: SessionAgentOptions;
  readonly #watches: FSWatcher[] = [];
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #settle: NodeJS.Timeout | undefined;

  constructor(options: SessionAgentOptions) {
    this.#options = options;
  }

  /** Once what is true now; then whenever it changes. */
  async start(): Promise<void> {
    const directory = path.dirname(this.#options.noticeFile);
    // The directory comes and goes with the daemon.
    for (const place of [path.dirname(directory), directory]) this.#watchPlace(place);
    await this.refresh();
  }

  /** @param undo as if the daemon had said nothing */
  refresh(undo = false): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      const notice = undo ? undefined : await this.#read();
      clearTimeout(this.#timer);
      for (const desktop of await this.#desktops()) {
        try {
          const done = notice
            ? await putSettings(desktop.store, desktop.journal, desktop.settings(notice))
            : await giveSettingsBack(desktop.store, desktop.journal);
          if (!done) continue;
          await desktop.changed?.();
          this.#options.say(`${desktop.name}: ${notice ? describe(notice) : 'as it was before'}`);
        } catch (error) {
          this.#options.say(`${desktop.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
      if (notice) this.#timer = setTimeout(() => void this.refresh(), lookMs);
    });
    return this.#turn;
  }

  /** Stops looking; what is in force stays. */
  pause(): void {
    for (const one of this.#watches) one.close();
    clearTimeout(this.#settle);
    clearTimeout(this.#timer);
  }

  /** Gives everything back and stops looking. */
  async stop(): Promise<void> {
    this.pause();
    await this.refresh(true);
  }

  async #read(): Promise<ProxyNotice | undefined> {
    const { noticeFile } = this.#options;
    try {
      const facts = await stat(noticeFile);
      if (facts.uid !== 0 || (facts.mode & 0o022) !== 0 || facts.size > maxNoticeBytes) return undefined;
      const notice = parseProxyNotice(await readFile(noticeFile, 'utf8'));
      return notice && isAlive(notice.pid) ? notice : undefined;
    } catch {
      return undefined;
    }
  }

  async #desktops(): Promise<readonly Desktop[]> {
    const { environment, home } = this.#options;
    const configuration = environment['XDG_CONFIG_HOME'] ?? path.join(home, '.config');
    const state = path.join(environment['XDG_STATE_HOME'] ?? path.join(home, '.local/state'), 'aovpn');
    const exists = async (file: string): Promise<boolean> =>
      await stat(file).then(
        () => true,
        () => false,
      );
    const desktops: Desktop[] = [];
    if ((await runProgram('dconf', ['help'])) !== undefined)
      desktops.push({
        name: 'GNOME',
        store: gnomeProxy,
        journal: new SettingJournal(path.join(state, 'gnome-proxy.json')),
        settings: gnomeSettings,
      });
    const file = path.join(configuration, 'kioslaverc');
    const journalFile = path.join(state, 'kde-proxy.json');
    const isKde = /(^|:)KDE($|:)/.test(environment['XDG_CURRENT_DESKTOP'] ?? '');
    if (isKde || (await exists(file)) || (await exists(path.join(configuration, 'kdeglobals'))) || (await exists(journalFile)))
      desktops.push({
        name: 'KDE',
        store: kdeProxy(file),
        journal: new SettingJournal(journalFile),
        settings: kdeSettings,
        changed: tellKde,
      });
    return desktops;
  }

  #watchPlace(place: string): void {
    try {
      const watcher = watch(place, () => {
        this.#settle ??= setTimeout(() => {
          this.#settle = undefined;
          if (place === path.dirname(this.#options.noticeFile)) void this.refresh();
          // The directory may be a new one of the same name.
          else this.#watchAnew();
        }, settleMs);
      });
      watcher.on('error', () => watcher.close());
      this.#watches.push(watcher);
    } catch {
      // Not there yet: the place above it tells when it comes.
    }
  }

  #watchAnew(): void {
    this.#watches.splice(1).forEach((one) => one.close());
    this.#watchPlace(path.dirname(this.#options.noticeFile));
    void this.refresh();
  }
}

function describe({ mode, server, url }: ProxyNotice): string {
  return mode === 'auto' ? `proxy script ${url}` : `proxy ${server!.host} port ${server!.port}`;
}

/** Programs of KDE read the file again when they hear this. */
async function tellKde(): Promise<unknown> {
  const signal = 'org.kde.KIO.Scheduler.reparseSlaveConfiguration';
  return await runProgram('dbus-send', ['--session', '--type=signal', '/KIO/Scheduler', signal, 'string:']);
}

/** EPERM says that there is one, of somebody else. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
