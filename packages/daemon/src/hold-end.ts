import { readdirSync, watch, type FSWatcher } from 'node:fs';
import type { Hold } from '@aovpn/supervisor';

/** Where logind has a file for each session. */
const sessionsDirectory = '/run/systemd/sessions';
/** A timer of Node cannot wait longer, milliseconds. */
const longestTimer = 2 ** 31 - 1;

export interface HoldEndsOptions {
  /** A hold is over, and why. */
  readonly end: (name: string, why: string) => void;
  readonly sessions?: string;
}

/** Ends holds at their time, or when somebody signs in. */
export class HoldEnds {
  readonly #options: HoldEndsOptions;
  #holds: ReadonlyMap<string, Hold> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #watcher: FSWatcher | undefined;
  #sessions = new Set<string>();

  constructor(options: HoldEndsOptions) {
    this.#options = options;
  }

  /** What is held now. */
  take(holds: ReadonlyMap<string, Hold>): void {
    this.#holds = holds;
    this.#arm();
    if (![...holds.values()].some(({ ends }) => ends === 'sign-in')) {
      this.#watcher?.close();
      this.#watcher = undefined;
    } else this.#watcher ??= this.#watchSessions();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const times = [...this.#holds.values()].map(({ ends }) => Date.parse(ends)).filter((time) => !Number.isNaN(time));
    if (times.length === 0) return;
    const wait = Math.min(longestTimer, Math.max(0, Math.min(...times) - Date.now()));
    this.#timer = setTimeout(() => {
      for (const [name, { ends }] of this.#holds) if (Date.parse(ends) <= Date.now()) this.#options.end(name, 'its time is over');
      this.#arm();
    }, wait);
  }

  #watchSessions(): FSWatcher | undefined {
    const directory = this.#options.sessions ?? sessionsDirectory;
    // Beside each session's file logind has a fifo, NAME.ref.
    const now = (): string[] => readdirSync(directory).filter((name) => /^[A-Za-z0-9]+$/.test(name));
    try {
      this.#sessions = new Set(now());
      return watch(directory, { persistent: false }, () => {
        const sessions = now();
        const isNew = sessions.some((name) => !this.#sessions.has(name));
        this.#sessions = new Set(sessions);
        if (!isNew) return;
        for (const [name, { ends }] of this.#holds) if (ends === 'sign-in') this.#options.end(name, 'somebody signed in');
      }).on('error', () => undefined);
    } catch {
      // No logind: then it ends with up alone.
      return undefined;
    }
  }
}
