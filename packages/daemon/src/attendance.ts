/** Everybody's questions; a number: those about connections of that user. */
type Watched = number | 'all';

/**
 * Whether there is anybody who could answer a question: `prompt-users` are configured, or somebody who may answer says that they
 * watch for questions.
 */
export class Attendance {
  readonly #configured: () => boolean;
  readonly #onArrival: () => void;
  readonly #ownerOf: (connection: string) => number | undefined;
  readonly #watchers = new Map<Watched, number>();
  #arrivals = 0;

  /** `onArrival` is called when somebody comes and nobody was there before. */
  constructor(
    configured: () => boolean,
    onArrival: () => void,
    ownerOf: (connection: string) => number | undefined = () => undefined,
  ) {
    this.#configured = configured;
    this.#onArrival = onArrival;
    this.#ownerOf = ownerOf;
  }

  /** For questions about this connection. */
  isAttended(connection: string): boolean {
    const owner = this.#ownerOf(connection);
    return this.#configured() || this.#watchers.has('all') || (owner !== undefined && this.#watchers.has(owner));
  }

  /** Differs once somebody has come after nobody was there: what was refused for that reason deserves another try. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** `user`: for that user's own connections only. Returns what is called when the person stops watching. */
  watch(user?: number): () => void {
    const what: Watched = user ?? 'all';
    const isNew = !this.#configured() && !this.#watchers.has('all') && !this.#watchers.has(what);
    this.#watchers.set(what, (this.#watchers.get(what) ?? 0) + 1);
    if (isNew) {
      this.#arrivals++;
      this.#onArrival();
    }
    let over = false;
    return () => {
      if (over) return;
      over = true;
      const left = this.#watchers.get(what)! - 1;
      if (left > 0) this.#watchers.set(what, left);
      else this.#watchers.delete(what);
    };
  }
}
