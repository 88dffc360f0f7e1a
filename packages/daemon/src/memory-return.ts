import type { DaemonEvent } from '@aovpn/api';
import { releaseProgramFile, returnFreeMemory } from '@aovpn/host';

/** Milliseconds after the last change of a connection: a start or a handshake is over then. */
const calmMs = 1500;

/**
 * Gives the kernel back what starts and handshakes have left free, once things are calm; and while a tunnel is up, what they need of Node's program, which is
 * most of what this process has in memory. Without a tunnel the next handshake shall find it in place. @returns ends it
 */
export function keepMemorySmall(
  daemon: { subscribe(watcher: (event: DaemonEvent) => void): () => void },
  giveBack: () => void = returnFreeMemory,
  giveUpProgram: () => void = releaseProgramFile,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const up = new Set<string>();
  const calm = (): void => {
    giveBack();
    if (up.size > 0) giveUpProgram();
  };
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(calm, calmMs);
    timer.unref();
  };
  later();
  const end = daemon.subscribe((event) => {
    if (event.kind === 'status' && event.connection.state === 'up') up.add(event.connection.name);
    else if (event.kind === 'status') up.delete(event.connection.name);
    else if (event.kind === 'removed') up.delete(event.name);
    else return;
    later();
  });
  return () => {
    clearTimeout(timer);
    end();
  };
}
