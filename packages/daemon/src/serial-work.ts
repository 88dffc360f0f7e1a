/** Work on the data plane and the plan of a tunnel goes one after the other, in the order of the machine's actions. */
export class SerialWork {
  readonly #isOver: () => boolean;
  readonly #onFailure: (error: unknown) => void;
  #last: Promise<void> = Promise.resolve();

  /** `isOver`: what has not begun yet is left undone. */
  constructor(isOver: () => boolean, onFailure: (error: unknown) => void) {
    this.#isOver = isOver;
    this.#onFailure = onFailure;
  }

  add(task: () => Promise<void>): void {
    this.#last = this.#last.then(async () => {
      if (this.#isOver()) return;
      try {
        await task();
      } catch (error) {
        this.#onFailure(error);
      }
    });
  }

  /** Resolves when all that was added is done. */
  async settled(): Promise<void> {
    await this.#last;
  }
}
