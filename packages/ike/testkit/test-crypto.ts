import { createEapCrypto, createIkeCrypto } from '@aovpn/host';
import type { MachineCrypto } from '../src/machine/turn.ts';

/** Real cryptography, with randomness that a test can choose: nonces to come, or a seeded generator for all of it. */
export interface TestCrypto extends MachineCrypto {
  /** Handed out, first to last, instead of the next random 32 octets: all nonces of both sides are that long. */
  readonly nonces: Uint8Array[];
}

export function createTestCrypto(random?: (length: number) => Uint8Array): TestCrypto {
  const ike = createIkeCrypto();
  const nonces: Uint8Array[] = [];
  return {
    ...createEapCrypto(),
    ...ike,
    nonces,
    random: (length) => (length === 32 ? nonces.shift() : undefined) ?? (random ? random(length) : ike.random(length)),
  };
}

/** A small generator (mulberry32); the same seed gives the same numbers. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function seededOctets(next: () => number): (length: number) => Uint8Array {
  return (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256));
}
