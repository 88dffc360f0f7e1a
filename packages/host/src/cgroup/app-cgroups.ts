import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  watch,
  writeFileSync,
  type FSWatcher,
} from 'node:fs';
import { join } from 'node:path';
import type { AppKey } from '@aovpn/policy';
import { filterError, messageOf } from '../filter/filter-error.ts';
import { findCgroupRoot, nftCgroupName, type CgroupRoot } from './cgroup-root.ts';

/** One app's cgroup as it is now. */
export interface AppCgroup {
  readonly key: AppKey;
  readonly path: string;
  /** What the kernel, nft and BPF know it by; another one after it was removed and made again. */
  readonly id: bigint;
}

/** The cgroups of the apps, `<cgroup v2>/aovpn/<key>`: a process in one of them, and every child it ever has, is that app. */
export interface AppCgroups {
  /** `<cgroup v2>/aovpn`. */
  readonly path: string;
  /** What nft wants before the key of an app: `aovpn`, or `unified/aovpn` beside cgroup v1. */
  readonly nftName: string;
  /** `socket cgroupv2 level`: 2 unless only a part of the hierarchy is mounted here. */
  readonly level: number;
  /** Makes it where it is missing. @throws {HostError} AOV-HOST-601 */
  ensure(key: AppKey): AppCgroup;
  find(key: AppKey): AppCgroup | undefined;
  list(): readonly AppCgroup[];
  processes(key: AppKey): readonly number[];
  /** Puts a process there, with all its threads; false when it has ended meanwhile. @throws {HostError} AOV-HOST-601 */
  move(pid: number, key: AppKey): boolean;
  /** Which app a process is; its children are the same. */
  appOf(pid: number): AppKey | undefined;
  /** Processes that still run in it go to the root cgroup, as we do not know where they came from. @throws {HostError} AOV-HOST-601 */
  remove(key: AppKey): void;
  /** All of them and what is above them; tells how many there were. */
  removeAll(): number;
  /** Calls back when the cgroup has its first process or has lost its last one (cgroup.events); undefined when it is not there. */
  watchMembers(key: AppKey, onChange: () => void): { close(): void } | undefined;
  /** Calls back when a cgroup of an app is made or removed, by whomever. */
  watch(onChange: () => void): { close(): void };
}

const keyForm = /^[a-z0-9-]{1,40}$/;
/** A process that forks while its cgroup is emptied is met again in the next round. */
const emptyingRounds = 20;

/** @throws {HostError} AOV-HOST-600, AOV-HOST-601 */
export function openAppCgroups(options: { readonly root?: CgroupRoot; readonly name?: string } = {}): AppCgroups {
  const root = options.root ?? findCgroupRoot();
  const name = options.name ?? 'aovpn';
  const base = join(root.path, name);
  const nftName = nftCgroupName(base);
  if (nftName === undefined)
    throw filterError('noCgroup', `nft cannot reach ${root.path}: cgroup v2 is not mounted below /sys/fs/cgroup`);
  const pathOf = (key: AppKey): string => {
    // The key becomes a path and a word of the ruleset: nothing but the agreed letters.
    if (!keyForm.test(key)) throw new TypeError(`not the key of an app: ${JSON.stringify(key)}`);
    return join(base, key);
  };
  const find = (key: AppKey): AppCgroup | undefined => {
    const path = pathOf(key);
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat?.isDirectory() ? { key, path, id: stat.ino } : undefined;
  };
  const keys = (): string[] => {
    try {
      return readdirSync(base, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && keyForm.test(entry.name))
        .map((entry) => entry.name)
        .sort();
    } catch {
      return [];
    }
  };

  return {
    path: base,
    nftName,
    level: root.depth + 2,
    ensure: (key) => {
      const path = pathOf(key);
      try {
        mkdirSync(path, { recursive: true });
      } catch (error) {
        throw filterError('cgroupRefused', `mkdir ${path}: ${messageOf(error)}`, error);
      }
      const made = find(key);
      if (!made) throw filterError('cgroupRefused', `${path} vanished as soon as it was made`);
      return made;
    },
    find,
    list: () => keys().flatMap((key) => find(key) ?? []),
    processes: (key) => processesBelow(pathOf(key)),
    move: (pid, key) => moveTo(pid, pathOf(key)),
    appOf: (pid) => {
      const path = cgroupOf(pid);
      const inside = `/${name}/`;
      return path?.startsWith(inside) ? path.slice(inside.length).split('/')[0] : undefined;
    },
    remove: (key) => emptyAndRemove(pathOf(key), root.path),
    removeAll: () => {
      const all = keys();
      for (const key of all) emptyAndRemove(pathOf(key), root.path);
      if (statSync(base, { throwIfNoEntry: false })) emptyAndRemove(base, root.path);
      return all.length;
    },
    watchMembers: (key, onChange) => {
      try {
        const watcher = watch(join(pathOf(key), 'cgroup.events'), { persistent: false }, () => onChange());
        watcher.on('error', () => watcher.close());
        return watcher;
      } catch {
        return undefined;
      }
    },
    watch: (onChange) => watchDirectories(root.path, base, onChange),
  };
}

/** Path of a process' cgroup in the v2 hierarchy, as seen from ours; undefined when there is no such process. */
function cgroupOf(pid: number): string | undefined {
  try {
    // cgroups(7): the line of the v2 hierarchy is `0::` and the path.
    return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** A descriptor to which pids of new members are written. @throws {HostError} AOV-HOST-601 */
export function openMembers({ path }: AppCgroup): number {
  try {
    return openSync(join(path, 'cgroup.procs'), 'w');
  } catch (error) {
    throw filterError('cgroupRefused', `${path}: ${messageOf(error)}`, error);
  }
}

/** @throws {HostError} AOV-HOST-601 */
export function openCgroupDirectory({ path }: AppCgroup): { readonly fd: number; close(): void } {
  try {
    const fd = openSync(path, 'r');
    return { fd, close: () => closeSync(fd) };
  } catch (error) {
    throw filterError('cgroupRefused', `${path}: ${messageOf(error)}`, error);
  }
}

function moveTo(pid: number, path: string): boolean {
  try {
    writeFileSync(join(path, 'cgroup.procs'), String(pid));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw filterError('cgroupRefused', `moving process ${pid} to ${path}: ${messageOf(error)}`, error);
  }
}

function processesIn(path: string): number[] {
  try {
    return readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Apps may have cgroups of their own below theirs. */
function processesBelow(path: string): number[] {
  return [...processesIn(path), ...subdirectories(path).flatMap(processesBelow)];
}

function subdirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));
  } catch {
    return [];
  }
}

function emptyAndRemove(path: string, refuge: string): void {
  for (const below of subdirectories(path)) emptyAndRemove(below, refuge);
  for (let round = 0; ; round++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || round === emptyingRounds)
        throw filterError('cgroupRefused', `rmdir ${path}: ${messageOf(error)}`, error);
    }
    // A process that has ended but is not yet reaped (pid 0: of another pid namespace) does not keep a cgroup.
    for (const pid of processesIn(path)) if (pid > 0) moveTo(pid, refuge);
  }
}

function watchDirectories(root: string, base: string, onChange: () => void): { close(): void } {
  let inner: FSWatcher | undefined;
  const open = (path: string, heed: (name: string | null) => void): FSWatcher | undefined => {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => heed(name));
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  };
  const reopen = (): void => {
    inner?.close();
    inner = open(base, onChange);
  };
  reopen();
  const name = base.slice(root.length + 1);
  const outer = open(root, (changed) => {
    if (changed !== name) return;
    reopen();
    onChange();
  });
  return {
    close: () => {
      outer?.close();
      inner?.close();
    },
  };
}
