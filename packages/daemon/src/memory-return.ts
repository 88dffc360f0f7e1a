import type { DaemonEvent } from '@aovpn/api';
import { returnFreeMemory } from '@aovpn/host';

/** Milliseconds after the last change of a connection: a start or a handshake is over then. */
const calmMs = 1500;

/** Gives the kernel back what starts and handshakes have left free, once things are calm. @returns ends it */
export function keepMemorySmall(
  daemon: { subscribe(watcher: (event: DaemonEvent) => void): () => void },
  giveBack: () => void = returnFreeMemory,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(giveBack, calmMs);
    timer.unref();
  };
  later();
  const end = daemon.subscribe(({ kind }) => {
    if (kind === 'status' || kind === 'removed') later();
  });
  return () => {
    clearTimeout(timer);
    end();
  };
}
