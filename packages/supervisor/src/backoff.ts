import type { Retry } from './problem.ts';

/** Our choices for how long to wait between tries, milliseconds. */
export const backoffLimits = {
  /** After the loss of a tunnel that had worked: spread the herd that a restarted gateway meets, but heal fast. */
  first: 500,
  soon: { base: 1_000, cap: 60_000 },
  /** Slow enough for an account lock-out policy (Windows' default: 10 tries within 10 minutes). */
  slow: { base: 120_000, cap: 3_600_000 },
} as const;

/**
 * Milliseconds until the next try: exponential in `failures` (1 for the first), between half and one and a half of the nominal
 * value by `random` (0 ≤ random < 1). `never` has no next try.
 */
export function backoffDelay(retry: Retry, failures: number, random: number): number | undefined {
  if (retry === 'never') return undefined;
  const { base, cap } = backoffLimits[retry];
  const nominal = Math.min(cap, base * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.round(nominal * (0.5 + random));
}
