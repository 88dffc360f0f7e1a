import { readFileSync } from 'node:fs';
import path from 'node:path';
import { lockdownMarkerName, type ConnectionStatus, type LockdownMarker } from '@aovpn/api';

/** That LockDown is in force although no daemon answers, from the file that it leaves beside its socket; undefined: it is not. */
export function blockedWithoutDaemon(socketPath: string): string | undefined {
  try {
    const marker = JSON.parse(
      readFileSync(path.join(path.dirname(socketPath), lockdownMarkerName), 'utf8'),
    ) as Partial<LockdownMarker>;
    if (!Array.isArray(marker.because)) return undefined;
    return `All traffic of this machine is blocked, and stays so without the daemon: ${marker.because.join(', ')}.`;
  } catch {
    return undefined;
  }
}

/** The same of a connection that is not up. */
export function blockedBy({ lockdown }: ConnectionStatus): string | undefined {
  return lockdown?.blocked === true
    ? `All traffic of this machine is blocked until the tunnel is up: ${lockdown.because}.`
    : undefined;
}
