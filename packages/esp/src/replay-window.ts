/** Words of 32 sequence numbers; one of them is always being refilled (RFC 6479). */
const words = 128;

/** Sequence numbers behind the newest that are still told apart. */
export const replayWindowSize = (words - 1) * 32;

/**
 * Anti-replay window (RFC 4303 §3.4.3, in the way of RFC 6479) for sequence numbers of 32 bits, or of 64 with
 * their upper half inferred ({@link infer}). {@link check} before authentication, {@link update}
 * only after it: an unauthentic packet must never move the window. A new window is ready; number 0 is never valid.
 */
export class ReplayWindow {
  readonly #bits = new Int32Array(words);
  #newest = 0;

  /** The highest number that was authentic; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Whether a packet of this number may still come: newer than all, or within the window and not seen. */
  check(sequence: number): boolean {
    if (sequence > this.#newest) return true;
    if (sequence <= 0 || this.#newest - sequence >= replayWindowSize) return false;
    return (this.#bits[Math.floor(sequence / 32) % words]! & (1 << (sequence & 31))) === 0;
  }

  /**
   * The whole number whose lower half a packet carries (RFC 4303 appendix A2.2): the one nearest to the window that is not below it. Negative
   * where there is none, which {@link check} refuses. Only the integrity check proves it.
   */
  infer(low: number): number {
    const high = Math.floor(this.#newest / 2 ** 32);
    const newestLow = this.#newest % 2 ** 32;
    const bottom = newestLow - replayWindowSize + 1;
    // The window lies within one run of the lower half, or begins in the run before.
    if (bottom >= 0) return (low >= bottom ? high : high + 1) * 2 ** 32 + low;
    return (low >= bottom + 2 ** 32 ? high - 1 : high) * 2 ** 32 + low;
  }

  /** Marks the number of an authentic packet as seen. */
  update(sequence: number): void {
    const word = Math.floor(sequence / 32);
    if (sequence > this.#newest) {
      const newestWord = Math.floor(this.#newest / 32);
      const steps = Math.min(word - newestWord, words);
      for (let step = 1; step <= steps; step++) this.#bits[(newestWord + step) % words] = 0;
      this.#newest = sequence;
    }
    this.#bits[word % words]! |= 1 << (sequence & 31);
  }
}
