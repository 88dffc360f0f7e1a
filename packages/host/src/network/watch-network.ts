import { watch as watchDirectory, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import { constant, openNetlink, SysError } from '../sys/index.ts';
import type { ResolvConfPlace } from '../resolver/resolv-conf-journal.ts';
import { readNetworkManagerText } from '../resolver/network-manager.ts';
import { parseResolvConf } from '../resolver/resolv-conf.ts';
import { holdsResolvConf, readWithoutUs } from '../resolver/resolver-place.ts';
import { HostError } from '../host-error.ts';
import { networkCure } from './errors.ts';
import { fingerprint, readPhysicalNetwork, type PhysicalNetwork } from './network-facts.ts';
import { defaultResolvConf, defaultStateDirectory } from './place.ts';
import { readLinks } from './kernel-network.ts';
import { readLinkSuffixes, type SuffixHints } from './link-suffix.ts';
import { openRouteSocket } from './route-socket.ts';
import * as nl from './rtnetlink-number.ts';

export type NetworkChangeKind = 'link' | 'address' | 'route' | 'resolver' | 'suffix';

export interface NetworkChange {
  /** What differs from the last time; never empty. */
  readonly kinds: readonly NetworkChangeKind[];
  readonly network: PhysicalNetwork;
}

export interface WatchOptions extends Partial<ResolvConfPlace> {
  /** Whether we have taken the place of resolv.conf over and mean to keep it, also where no event has told of that yet. */
  readonly isHeld?: () => boolean;
}

/** Where suffixes of links are told that no resolv.conf has. */
const suffixDirectories = [
  '/run/systemd/netif/leases',
  '/run/systemd/netif/links',
  '/var/lib/dhcp',
  '/var/lib/dhclient',
  '/var/lib/NetworkManager',
  '/run/openresolv/keys',
];
const resolverDirectories = ['/run/resolvconf', '/run/resolvconf/interface', '/run/resolvconf/interfaces', '/run/NetworkManager'];

const nothingElse: SuffixHints = { search: [], resolved: [], networkManager: [] };

/** Repeats within this time are told once, at its end; the first change of a burst is told at once. */
const quietMs = 20;

/**
 * Calls back when the machine's own network changes: links, addresses, default routes, the file that names its resolvers, or the DNS suffix of a link,
 * which may come alone and late (a router advertisement, a renewed lease).
 * What we do ourselves (our devices, our table) is no change. Never calls back after `close`, nor from within this call.
 * @throws {HostError} AOV-HOST-300
 */
export function watchNetwork(onChange: (change: NetworkChange) => void, options: WatchOptions = {}): { close(): void } {
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
  const readSuffixes = (): string =>
    JSON.stringify([
      readLinkSuffixes(readLinks(requests), nothingElse),
      // What NetworkManager has learnt stands in a file of its own, whoever makes resolv.conf.
      parseResolvConf(readNetworkManagerText() ?? '').search,
    ]);
  let suffixes = readSuffixes();
  let suffixTouched = false;
  let open = true;

  const look = (): void => {
    const network = readPhysicalNetwork(requests);
    const now = fingerprint(network);
    const kinds: NetworkChangeKind[] = (['link', 'address', 'route'] as const).filter((kind) => now[kind] !== known[kind]);
    if (resolverTouched) {
      resolverTouched = false;
      const file = readResolver(place);
      // That we take the file over is no change; that somebody takes it back is one, whatever is in it, and however soon after us.
      const wasTaken = resolver.taken || options.isHeld?.() === true;
      if (file.original !== resolver.original || (wasTaken && !file.taken)) kinds.push('resolver');
      resolver = file;
    }
    if (suffixTouched) {
      suffixTouched = false;
      const told = readSuffixes();
      if (told !== suffixes) kinds.push('suffix');
      suffixes = told;
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
  const watches = new Map<string, FSWatcher>();
  /** Directories come into being with the programs that write there; such a program changes links too. */
  const watchSuffixes = (): void => {
    for (const path of suffixDirectories) {
      if (watches.has(path)) continue;
      const watcher = tryWatchDirectory(path, () => {
        suffixTouched = true;
        stir();
      });
      if (!watcher) continue;
      watches.set(path, watcher);
      // What was written before is not told of.
      suffixTouched = true;
      watcher.on('error', () => watches.delete(path));
    }
  };
  watchSuffixes();
  suffixTouched = false;
  const watch = events.watch(() => {
    try {
      // Only that something happened counts; what is true now is read anew, so lost events do no harm.
      while (events.receive() !== undefined) continue;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
    watchSuffixes();
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
        suffixTouched = true;
        stir();
      }),
    ),
  ];

  return {
    close: () => {
      open = false;
      clearTimeout(quiet);
      for (const directory of [...directories, ...watches.values()]) directory?.close();
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
