import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionStatus, DaemonEvent, PortalStatus } from '@aovpn/api';
import { parseAddress } from '@aovpn/bytes';
import type { LeakLedger } from '@aovpn/policy';

const retryMs = 50;

export interface FollowedConnection {
  /** The last that was heard; undefined while the daemon does not answer. */
  readonly status: ConnectionStatus | undefined;
  /** Resolves once the connection is as wanted; false when it is not within that time. */
  until(wanted: (status: ConnectionStatus) => boolean, timeoutMs: number): Promise<boolean>;
}

/**
 * Tells the ledger when the promise of a connection is in force and where its gateway is, across restarts of the daemon, until `signal`.
 * @param always the promise does not depend on the tunnel
 */
export function followConnection(
  name: string,
  events: (signal: AbortSignal) => AsyncIterable<DaemonEvent>,
  ledger: LeakLedger,
  always: boolean,
  signal: AbortSignal,
): FollowedConnection {
  let status: ConnectionStatus | undefined;
  const waiting = new Set<() => void>();
  const changed = (next: ConnectionStatus | undefined): void => {
    status = next;
    for (const wake of waiting) wake();
  };
  let portalSince: string | undefined;
  const heedPortal = ({ open, asked }: PortalStatus): void => {
    for (const { host, address, port } of asked) ledger.question(host, parseAddress(address), port);
    if (open?.since === portalSince) return;
    ledger.setPortal(open ? Date.parse(open.since) : Date.now(), open !== undefined);
    portalSince = open?.since;
  };
  const heard = (event: DaemonEvent): void => {
    if (event.kind === 'removed' && event.name === name) return changed(undefined);
    if (event.kind === 'portal') return heedPortal(event.portal);
    if (event.kind !== 'status' || event.connection.name !== name) return;
    const { gateway, state, since } = event.connection;
    const address = parseAddress(gateway.address ?? '');
    if (address) ledger.gateway(address, gateway.port ?? 4500);
    if (!always) ledger.setPromised(Date.parse(since), state === 'up' || state === 'recovering');
    changed(event.connection);
  };
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        for await (const event of events(signal)) heard(event);
      } catch {
        // It is being restarted, or not there yet.
      }
      if (signal.aborted) return;
      if (!always) ledger.setPromised(Date.now(), false);
      changed(undefined);
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  };
  void follow();
  return {
    get status() {
      return status;
    },
    until: async (wanted, timeoutMs) => {
      const deadline = performance.now() + timeoutMs;
      while (!signal.aborted) {
        if (status && wanted(status)) return true;
        const left = deadline - performance.now();
        if (left <= 0) return false;
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, Math.min(left, 1000));
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
        clearTimeout(timer);
      }
      return false;
    },
  };
}
