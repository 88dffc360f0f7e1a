import { concat } from '@aovpn/bytes';

/** The "mulberry32" generator: small, and the same everywhere for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function splice(octets: Uint8Array, at: number, remove: number, add: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(concat(octets.subarray(0, at), add, octets.subarray(Math.min(octets.length, at + remove))));
}
