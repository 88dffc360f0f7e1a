import { setTimeout as sleep } from 'node:timers/promises';
import { rivalRow } from './rivals.ts';
import type { Measurement } from './row.ts';

/** Looks at each daemon while it has one tunnel and nothing to do, so many seconds after that is up. */
export function idleRow(look: (pid: number) => Promise<number> | number, afterSeconds = 3): Promise<Measurement> {
  return rivalRow((rivals) => {
    const { product } = rivals.stage;
    return rivals.sides(
      async () => {
        await rivals.oursUp();
        await sleep(afterSeconds * 1000);
        const value = await look((await product.daemon.pid())!);
        await rivals.oursDown();
        return value;
      },
      async () => {
        await rivals.charonUp();
        await sleep(afterSeconds * 1000);
        const value = await look((await rivals.charon.pid())!);
        await rivals.charonDown();
        return value;
      },
    );
  });
}
