import type { ClockJump } from '@aovpn/host';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** What tells of sleep and of clocks that were set. */
export interface WakePlatform {
  /** @throws {SysError} */
  watchClock(onJump: (jump: ClockJump) => void): { close(): void };
  watchSleep(options: { readonly onSleep: (asleep: boolean) => void }): { close(): void };
}

export interface WakeWatchOptions {
  readonly platform: WakePlatform;
  readonly log: Log;
  /** The machine is awake again, or the time of day is another: what was believed is to be looked at anew. */
  readonly onWake: () => void;
  readonly clock?: () => number;
}

/** The kernel and logind tell of the same sleep within this time, milliseconds of a clock that stands still meanwhile. */
const sameSleep = 5_000;

/** Tells when this machine woke up, once, whoever says so first: logind, or the kernel's clocks where there is no logind. */
export class WakeWatch {
  readonly #options: WakeWatchOptions;
  readonly #watches: { close(): void }[] = [];
  #wokeAt = -Infinity;

  constructor(options: WakeWatchOptions) {
    this.#options = options;
  }

  watch(): void {
    const { platform, log } = this.#options;
    this.#watches.push(
      platform.watchSleep({
        onSleep: (asleep) => {
          if (asleep) {
            this.#wokeAt = -Infinity;
            return log.info('this machine goes to sleep');
          }
          if (!this.#isToldAgain()) this.#woke('this machine is awake again');
        },
      }),
    );
    try {
      this.#watches.push(
        platform.watchClock(({ slept, set }) => {
          if (set === 0 && this.#isToldAgain()) return;
          const what = [
            ...(slept > 0 ? [`this machine slept for ${seconds(slept)}`] : []),
            ...(set !== 0 ? [`the clock was set ${set > 0 ? 'forward' : 'back'} by ${seconds(Math.abs(set))}`] : []),
          ];
          this.#woke(what.join(', '));
        }),
      );
    } catch (error) {
      log.warn(`the kernel does not tell when this machine wakes up: ${messageOf(error)}`);
    }
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }

  #isToldAgain(): boolean {
    return this.#now() - this.#wokeAt < sameSleep;
  }

  #woke(what: string): void {
    this.#wokeAt = this.#now();
    this.#options.log.info(`${what}: looking at network and gateways at once`);
    this.#options.onWake();
  }

  #now(): number {
    return (this.#options.clock ?? (() => performance.now()))();
  }
}

function seconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 1000)} s`;
}
