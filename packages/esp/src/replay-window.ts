/** Words of 32 sequence numbers; one of them is always being refilled (RFC 6479). */
const words = 128;

/** Sequence numbers behind the newest that are still told apart. */
export const replayWindowSize = (words - 1) * 32;

/**
 * Anti-replay window (RFC 4303 §3.4.3, in the way of RFC 6479) for 32-bit sequence numbers. {@link check} before authentication, {@link update}
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
    if (sequence === 0 || this.#newest - sequence >= replayWindowSize) return false;
    return (this.#bits[(sequence >>> 5) % words]! & (1 << (sequence & 31))) === 0;
  }

  /** Marks the number of an authentic packet as seen. */
  update(sequence: number): void {
    const word = sequence >>> 5;
    if (sequence > this.#newest) {
      const newestWord = this.#newest >>> 5;
      const steps = Math.min(word - newestWord, words);
      for (let step = 1; step <= steps; step++) this.#bits[(newestWord + step) % words] = 0;
      this.#newest = sequence;
    }
    this.#bits[word % words]! |= 1 << (sequence & 31);
  }
}
