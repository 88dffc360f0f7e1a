import { headerLength } from './dns-message.ts';

/** RFC 1035 §4.2.2: a length of two octets before each message. */
export function frame(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(2 + message.length);
  framed[0] = message.length >> 8;
  framed[1] = message.length & 0xff;
  framed.set(message, 2);
  return framed;
}

/** Messages out of a stream, however it is cut; holds one message at most, 64 KiB. */
export class FrameReader {
  #length = 0;
  #lengthOctets = 0;
  #message: Uint8Array | undefined;
  #filled = 0;

  /**
   * @param onMessage may keep the message; false: the rest is not wanted
   * @returns false: a length that no DNS message has; nothing more can be read
   */
  push(chunk: Uint8Array, onMessage: (message: Uint8Array) => boolean): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (!this.#message) {
        this.#length = (this.#length << 8) | chunk[at++]!;
        if (++this.#lengthOctets < 2) continue;
        if (this.#length < headerLength) return false;
        this.#message = new Uint8Array(this.#length);
      }
      const part = chunk.subarray(at, at + this.#length - this.#filled);
      this.#message.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled < this.#length) continue;
      const whole = this.#message;
      this.#message = undefined;
      this.#length = this.#lengthOctets = this.#filled = 0;
      if (!onMessage(whole)) return true;
    }
    return true;
  }
}
