import type { ConnectionStatus, DaemonEvent } from '@aovpn/api';
import { notifyService } from '@aovpn/host';

interface Watched {
  connections(): Promise<readonly ConnectionStatus[]>;
  subscribe(watcher: (event: DaemonEvent) => void): () => void;
}

/** Keeps the line that `systemctl status` shows (sd_notify(3), `STATUS=`). @returns ends it */
export function keepServiceStatus(daemon: Watched, notify: (message: string) => void = notifyService): () => void {
  let said = '';
  let looking = false;
  let again = false;
  const look = async (): Promise<void> => {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    do {
      again = false;
      const text = serviceStatus(await daemon.connections());
      if (text !== said) notify(`STATUS=${text}`);
      said = text;
    } while (again);
    looking = false;
  };
  const lookQuietly = (): void => void look().catch(() => (looking = false));
  lookQuietly();
  return daemon.subscribe(({ kind }) => {
    if (kind === 'status' || kind === 'removed') lookQuietly();
  });
}

/** One line: how many are up, and which ones are not, those that nobody wants left out. */
export function serviceStatus(connections: readonly ConnectionStatus[]): string {
  if (connections.length === 0) return 'no connections';
  const up = connections.filter(({ state }) => state === 'up').length;
  const others = connections
    .filter(({ state }) => state !== 'up' && state !== 'down')
    .map(({ name, state, problem }) => `${name} ${state}${problem ? ` (${problem.code})` : ''}`);
  // A name may hold whatever a file name may; a line break would be another variable.
  return [`${up} of ${connections.length} up`, ...others]
    .join('; ')
    .replaceAll(/\p{Cc}/gu, '\ufffd')
    .slice(0, 500);
}
