import { setTimeout as sleep } from 'node:timers/promises';
import { hangMs } from './patience.ts';

/**
 * Looks again and again until it is so, and returns what was found. The bound only ends a hang: how fast the machine is decides nothing.
 * @param what was waited for, for the error; a function is asked at the end and may say how it is instead
 */
export async function until<T>(
  what: string | (() => string | Promise<string>),
  look: () => T | Promise<T>,
  timeoutMs = hangMs,
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>;
    if (performance.now() > deadline) throw new Error(`never: ${typeof what === 'string' ? what : await what()}`);
    await sleep(20);
  }
}
