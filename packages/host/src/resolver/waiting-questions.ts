import { Underway, type Waiting } from './underway.ts';

/** A question that waits for a tunnel. */
export interface WaitingQuestion extends Waiting {
  /** Its patience is at an end; {@link giveUp} follows. */
  late(): void;
  /** Goes on by the rules of now; `done` is called when it has been answered. */
  goOn(done: () => void): void;
}

export interface WaitingLimits {
  /** So many wait at once; the client that has most of them loses its oldest to the next one. */
  readonly most: number;
  /** And so long, milliseconds. */
  readonly longestMs: number;
  /** So many go on at once when the waiting is over: whoever is asked then must not be flooded. */
  readonly goingOn: number;
}

/** Questions that wait for a tunnel: as many as memory bears, for as long as programs do, oldest first. */
export class WaitingQuestions {
  readonly #limits: WaitingLimits;
  readonly #places: Underway<WaitingQuestion>;
  /** Oldest first, with the end of their patience on the monotonic clock. */
  readonly #waiting = new Map<WaitingQuestion, number>();
  readonly #released: WaitingQuestion[] = [];
  #goingOn = 0;
  #timer: NodeJS.Timeout | undefined;
  #whenSettled: (() => void)[] = [];

  constructor(limits: WaitingLimits) {
    this.#limits = limits;
    this.#places = new Underway(limits.most, limits.most);
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(question: WaitingQuestion): void {
    const place: WaitingQuestion = {
      ...question,
      giveUp: () => {
        this.#waiting.delete(place);
        question.giveUp();
      },
    };
    this.#waiting.set(place, performance.now() + this.#limits.longestMs);
    // A name may have all places: nobody is asked, so that nothing goes in circles.
    this.#places.add(place);
    this.#timer ??= setTimeout(() => this.#expire(), this.#limits.longestMs);
  }

  /** The rules are others: who need not wait by them goes on. */
  reconsider(waits: (name: string) => boolean): void {
    for (const question of this.#waiting.keys()) {
      if (waits(question.name)) continue;
      this.#waiting.delete(question);
      this.#places.remove(question);
      this.#released.push(question);
    }
    this.#goOn();
  }

  /** Resolves when whoever went on has been answered. */
  async settled(): Promise<void> {
    if (this.#goingOn + this.#released.length === 0) return;
    await new Promise<void>((resolve) => this.#whenSettled.push(resolve));
  }

  /** Tells everybody that there will be no answer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const left = [...this.#waiting.keys(), ...this.#released.splice(0)];
    for (const question of left) {
      this.#places.remove(question);
      question.giveUp();
    }
    this.#waiting.clear();
  }

  #goOn(): void {
    while (this.#goingOn < this.#limits.goingOn) {
      const next = this.#released.shift();
      if (!next) break;
      this.#goingOn++;
      let once = false;
      next.goOn(() => {
        if (once) return;
        once = true;
        this.#goingOn--;
        // Answered at once by many, one within the other, would be a deep stack.
        queueMicrotask(() => this.#goOn());
      });
    }
    if (this.#goingOn + this.#released.length > 0) return;
    for (const settled of this.#whenSettled.splice(0)) settled();
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [question, end] of this.#waiting) {
      if (end > now) {
        this.#timer = setTimeout(() => this.#expire(), end - now);
        return;
      }
      this.#places.remove(question);
      question.late();
      question.giveUp();
    }
  }
}
