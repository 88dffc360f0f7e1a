/** A question whose answer is waited for. */
export interface Waiting {
  /** Who asked: all questions of one socket count together. */
  readonly client: number;
  /** What is asked for. */
  readonly name: string;
  /** Tells the client that there will be no answer. */
  giveUp(): void;
}

/**
 * Questions under way, up to a limit, shared fairly: when all places are taken, the oldest question of the client that has most of them
 * makes room. A client that asks without end, or names whose servers never answer, thus cannot keep others from being served. A name that
 * is asked for again and again before the first answer is a loop through us (a server that asks us in its turn), and that ends here.
 */
export class Underway<Question extends Waiting> {
  readonly #limit: number;
  readonly #limitOfName: number;
  readonly #names = new Map<string, number>();
  /** By client, oldest first in both. */
  readonly #clients = new Map<number, Set<Question>>();
  #size = 0;

  constructor(limit: number, limitOfName: number) {
    this.#limit = limit;
    this.#limitOfName = limitOfName;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns false: refused, the name is under way too often */
  add(question: Question): boolean {
    const same = this.#names.get(question.name) ?? 0;
    if (same >= this.#limitOfName) return false;
    if (this.#size >= this.#limit) this.#makeRoom();
    const own = this.#clients.get(question.client);
    if (own) own.add(question);
    else this.#clients.set(question.client, new Set([question]));
    this.#names.set(question.name, (this.#names.get(question.name) ?? 0) + 1);
    this.#size++;
    return true;
  }

  /** @returns whether it was there */
  remove(question: Question): boolean {
    const own = this.#clients.get(question.client);
    if (!own?.delete(question)) return false;
    if (own.size === 0) this.#clients.delete(question.client);
    const same = this.#names.get(question.name)!;
    if (same > 1) this.#names.set(question.name, same - 1);
    else this.#names.delete(question.name);
    this.#size--;
    return true;
  }

  all(): readonly Question[] {
    return [...this.#clients.values()].flatMap((own) => [...own]);
  }

  #makeRoom(): void {
    let most: Set<Question> | undefined;
    for (const own of this.#clients.values()) if (own.size > (most?.size ?? 0)) most = own;
    const [oldest] = most ?? [];
    if (!oldest) return;
    this.remove(oldest);
    oldest.giveUp();
  }
}
