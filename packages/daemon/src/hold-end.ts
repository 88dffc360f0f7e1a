import type { Hold } from '@aovpn/supervisor';
import { ownerMark } from './profiles.ts';

/** A timer of Node cannot wait longer, milliseconds. */
const longestTimer = 2 ** 31 - 1;

export interface HoldEndsOptions {
  /** A hold is over, and why. */
  readonly end: (name: string, why: string) => void;
}

/** Ends holds at their time, or when somebody signs in. */
export class HoldEnds {
  readonly #options: HoldEndsOptions;
  #holds: ReadonlyMap<string, Hold> = new Map();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HoldEndsOptions) {
    this.#options = options;
  }

  /** What is held now. */
  take(holds: ReadonlyMap<string, Hold>): void {
    this.#holds = holds;
    this.#arm();
  }

  /** Somebody has: a hold on the machine's connections ends, and one on their own. */
  signedIn(user: string): void {
    for (const [name, { ends }] of this.#holds) {
      const isTheirs = !name.includes(ownerMark) || name.startsWith(user + ownerMark);
      if (ends === 'sign-in' && isTheirs) this.#options.end(name, `${user} signed in`);
    }
  }

  /** The time of day may be another: timers know nothing of sleep. */
  look(): void {
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
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
}
