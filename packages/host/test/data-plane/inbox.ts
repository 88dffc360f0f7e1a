/** Things that come in by themselves, to be waited for one after the other. */
export class Inbox<T> {
  readonly #things: T[] = [];
  #wake: (() => void) | undefined;

  put(thing: T): void {
    this.#things.push(thing);
    this.#wake?.();
  }

  /** The first thing of that kind, now or later; the time only ends what would never end. What comes before it is dropped. @throws {Error} when none comes */
  async take<S extends T>(what: string, fits: (thing: T) => thing is S, timeoutMs?: number): Promise<S>;
  async take(what: string, fits?: (thing: T) => boolean, timeoutMs?: number): Promise<T>;
  async take(what: string, fits: (thing: T) => boolean = () => true, timeoutMs = 60_000): Promise<T> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      while (this.#things.length > 0) {
        const thing = this.#things.shift()!;
        if (fits(thing)) return thing;
      }
      const left = end - performance.now();
      if (left <= 0) throw new Error(`${what} did not come within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  get size(): number {
    return this.#things.length;
  }

  clear(): void {
    this.#things.length = 0;
  }
}

/** Waits until something is true, looking again and again. @throws {Error} when it does not become true */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
