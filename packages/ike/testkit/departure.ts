/** Who has gone from a simulated world, and how long that may go unnoticed by the other side. Times are milliseconds. */
export class Departures {
  readonly #noticeMs: number;
  readonly #at = new Map<string, number>();

  /** `noticeMs`: the silence before a question, the patience with it, and that of another one before. */
  constructor(noticeMs: number) {
    this.#noticeMs = noticeMs;
  }

  /** It was seen to be gone. */
  note(name: string, now: number): void {
    if (!this.#at.has(name)) this.#at.set(name, now);
  }

  /** Those of `present` who ought to have noticed by now, on a network that is well since `calmAt`. @throws {Error} when there are any */
  judge(present: readonly string[], calmAt: number, now: number): void {
    for (const [name, at] of this.#at) {
      const other = present.find((there) => there !== name);
      if (other !== undefined && now - Math.max(calmAt, at) > this.#noticeMs)
        throw new Error(`${name} is gone since ${Math.round(at)} ms, and ${other} has not noticed`);
    }
  }
}
