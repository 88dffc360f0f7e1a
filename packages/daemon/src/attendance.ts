/**
 * Whether there is anybody who could answer a question: `prompt-users` are configured, or somebody who may answer says that they
 * watch for questions.
 */
export class Attendance {
  readonly #configured: () => boolean;
  readonly #onArrival: () => void;
  #watchers = 0;
  #arrivals = 0;

  /** `onArrival` is called when somebody comes and nobody was there before. */
  constructor(configured: () => boolean, onArrival: () => void) {
    this.#configured = configured;
    this.#onArrival = onArrival;
  }

  get attended(): boolean {
    return this.#configured() || this.#watchers > 0;
  }

  /** Differs once somebody has come after nobody was there: what was refused for that reason deserves another try. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** Returns what is called when the person stops watching. */
  watch(): () => void {
    const before = this.attended;
    this.#watchers++;
    if (!before) {
      this.#arrivals++;
      this.#onArrival();
    }
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#watchers--;
    };
  }
}
