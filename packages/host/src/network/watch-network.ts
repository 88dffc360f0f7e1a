import { watch as watchDirectory, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import { constant, openNetlink, SysError } from '../sys/index.ts';
import type { ResolvConfPlace } from '../resolver/resolv-conf-journal.ts';
import { holdsResolvConf, readWithoutUs } from '../resolver/resolver-place.ts';
import { HostError } from '../host-error.ts';
import { networkCure } from './errors.ts';
import { fingerprint, readPhysicalNetwork, type PhysicalNetwork } from './network-facts.ts';
import { defaultResolvConf, defaultStateDirectory } from './place.ts';
import { openRouteSocket } from './route-socket.ts';
import * as nl from './rtnetlink-number.ts';

export type NetworkChangeKind = 'link' | 'address' | 'route' | 'resolver';

export interface NetworkChange {
  /** What differs from the last time; never empty. */
  readonly kinds: readonly NetworkChangeKind[];
  readonly network: PhysicalNetwork;
}

const resolverDirectories = ['/run/resolvconf', '/run/resolvconf/interface', '/run/resolvconf/interfaces', '/run/NetworkManager'];

/** Repeats within this time are told once, at its end; the first change of a burst is told at once. */
const quietMs = 20;

/**
 * Calls back when the machine's own network changes: links, addresses, default routes, or the file that names its resolvers.
 * What we do ourselves (our devices, our table) is no change. Never calls back after `close`, nor from within this call.
 * @throws {HostError} AOV-HOST-300
 */
export function watchNetwork(
  onChange: (change: NetworkChange) => void,
  options: Partial<ResolvConfPlace> = {},
): { close(): void } {
  const requests = openRouteSocket();
  const groups = nl.RTMGRP_LINK | nl.RTMGRP_IPV4_IFADDR | nl.RTMGRP_IPV6_IFADDR | nl.RTMGRP_IPV4_ROUTE | nl.RTMGRP_IPV6_ROUTE;
  let events: ReturnType<typeof openNetlink>;
  try {
    events = openNetlink(constant.NETLINK_ROUTE, groups);
  } catch (error) {
    requests.close();
    throw new HostError('AOV-HOST-300', `netlink events: ${String(error)}`, networkCure('AOV-HOST-300'), error);
  }
  let known = fingerprint(readPhysicalNetwork(requests));
  let quiet: NodeJS.Timeout | undefined;
  let again = false;
  const place = {
    resolvConf: options.resolvConf ?? defaultResolvConf,
    stateDirectory: options.stateDirectory ?? defaultStateDirectory,
  };
  let resolver = readResolver(place);
  let resolverTouched = false;
  let open = true;

  const look = (): void => {
    const network = readPhysicalNetwork(requests);
    const now = fingerprint(network);
    const kinds: NetworkChangeKind[] = (['link', 'address', 'route'] as const).filter((kind) => now[kind] !== known[kind]);
    if (resolverTouched) {
      resolverTouched = false;
      const file = readResolver(place);
      // That we take the file over is no change; that somebody takes it back is one, whatever is in it.
      if (file.original !== resolver.original || (resolver.taken && !file.taken)) kinds.push('resolver');
      resolver = file;
    }
    known = now;
    if (kinds.length > 0) onChange({ kinds, network });
  };
  const stir = (): void => {
    if (!open) return;
    if (quiet) {
      again = true;
      return;
    }
    quiet = setTimeout(() => {
      quiet = undefined;
      if (!again || !open) return;
      again = false;
      stir();
    }, quietMs);
    look();
  };
  const watch = events.watch(() => {
    try {
      // Only that something happened counts; what is true now is read anew, so lost events do no harm.
      while (events.receive() !== undefined) continue;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
    stir();
  });
  const directories = [
    tryWatchDirectory(dirname(place.resolvConf), (name) => {
      if (name !== null && name !== basename(place.resolvConf)) return;
      resolverTouched = true;
      stir();
    }),
    // Where others keep what resolv.conf is made from, or would be.
    ...resolverDirectories.map((path) =>
      tryWatchDirectory(path, () => {
        resolverTouched = true;
        stir();
      }),
    ),
  ];

  return {
    close: () => {
      open = false;
      clearTimeout(quiet);
      for (const directory of directories) directory?.close();
      watch.close();
      events.close();
      requests.close();
    },
  };
}

function readResolver(place: ResolvConfPlace): { readonly original: string; readonly taken: boolean } {
  try {
    const { text, link } = readWithoutUs(place);
    return { original: `${link ?? ''}\n${text}`, taken: holdsResolvConf(place) };
  } catch {
    return { original: '', taken: false };
  }
}

function tryWatchDirectory(path: string, onTouch: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watchDirectory(path, { persistent: false }, (_event, name) => onTouch(name));
    // A watch that breaks costs one kind of event, not the daemon.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
