import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AppKey } from '@aovpn/policy';
import { openCgroupDirectory, type AppCgroup, type AppCgroups } from '../cgroup/app-cgroups.ts';
import { filterError, messageOf } from '../filter/filter-error.ts';
import {
  attachedSocketPrograms,
  attachSocketProgram,
  detachSocketProgram,
  linkInfo,
  linkSocketProgram,
  loadSocketProgram,
  openPinned,
  openProgram,
  pinObject,
  programInfo,
} from '../sys/bpf.ts';
import { closeDescriptor, SysError } from '../sys/index.ts';
import { markProgram } from './mark-program.ts';

/** `SO_MARK` of every socket that an app makes, in the bits of `mask`. */
export interface SocketMark {
  readonly mark: number;
  readonly mask: number;
}

/**
 * Marks the sockets of apps from the moment they are made, so that the very first packet, an unconnected one too, is routed by
 * `ip rule fwmark` and gets its source address from there. What is attached stays when this process dies: by a link pinned in the bpf
 * file system, or where there is none by an attachment that belongs to the cgroup itself.
 */
export interface SocketMarks {
  /** Idempotent; the new program is there before the old one goes. @throws {HostError} AOV-HOST-604 */
  set(cgroup: AppCgroup, mark: SocketMark): void;
  /** Nothing there is as good as removed. @throws {HostError} AOV-HOST-604 */
  remove(key: AppKey): void;
  /** Whether exactly this is in force: asked of the kernel, as nobody tells when a program is detached. */
  isSet(cgroup: AppCgroup, mark: SocketMark): boolean;
  /** Whose pins there are, whoever made them. */
  pinned(): readonly AppKey[];
  /** Everything of ours, with no memory of what ran before. @throws {HostError} AOV-HOST-604 */
  removeAll(): void;
}

const programName = 'aovpn_mark';

/** @param pins directory in a bpf file system, made when needed; false: attach to the cgroup itself. Found by itself unless given. */
export function openSocketMarks(cgroups: AppCgroups, pins: string | false | undefined = findPins()): SocketMarks {
  const pinOf = (key: AppKey): string | undefined => (pins === false ? undefined : join(pins, key));
  const tags = new Map<string, string>();

  const load = ({ mark, mask }: SocketMark): number => {
    const program = loadSocketProgram(markProgram(mark, mask), programName);
    tags.set(`${mark}/${mask}`, programInfo(program).tag);
    return program;
  };
  const tagOf = (mark: SocketMark): string => {
    const known = `${mark.mark}/${mark.mask}`;
    if (!tags.has(known)) closeDescriptor(load(mark));
    return tags.get(known)!;
  };
  const isSet = (cgroup: AppCgroup, mark: SocketMark): boolean => {
    const tag = tagOf(mark);
    // They run in this order; one that is being replaced may still be there for a moment, before the one that counts.
    if (ourPrograms(cgroup).at(-1)?.tag !== tag) return false;
    const pin = pinOf(cgroup.key);
    return pin === undefined || pinnedLink(pin)?.cgroupId === cgroup.id;
  };
  const setPinned = (cgroup: AppCgroup, mark: SocketMark, pin: string): void => {
    // A bpf file system takes no dots; a key has no underscore.
    const fresh = `${pin}_`;
    mkdirSync(join(pin, '..'), { recursive: true, mode: 0o700 });
    rmSync(fresh, { force: true });
    const program = load(mark);
    try {
      const directory = openCgroupDirectory(cgroup);
      try {
        const link = linkSocketProgram(program, directory.fd);
        try {
          pinObject(link, fresh);
        } finally {
          closeDescriptor(link);
        }
      } finally {
        directory.close();
      }
    } finally {
      closeDescriptor(program);
    }
    // The old link goes with its name.
    renameSync(fresh, pin);
  };
  const setAttached = (cgroup: AppCgroup, mark: SocketMark): void => {
    const program = load(mark);
    try {
      const directory = openCgroupDirectory(cgroup);
      try {
        attachSocketProgram(program, directory.fd);
      } finally {
        directory.close();
      }
    } finally {
      closeDescriptor(program);
    }
  };
  const guarded = <T>(what: string, act: () => T): T => {
    try {
      return act();
    } catch (error) {
      if (error instanceof SysError || (error as NodeJS.ErrnoException).syscall !== undefined)
        throw filterError('markRefused', `${what}: ${messageOf(error)}`, error);
      throw error;
    }
  };
  const remove = (key: AppKey): void => {
    const pin = pinOf(key);
    if (pin !== undefined) rmSync(pin, { force: true });
    const cgroup = cgroups.find(key);
    if (cgroup) detachOurs(cgroup, () => false);
  };
  const pinned = (): string[] => {
    if (pins === false) return [];
    try {
      return readdirSync(pins).map((name) => name.replace(/_$/, ''));
    } catch {
      return [];
    }
  };

  return {
    set: (cgroup, mark) =>
      guarded(`mark of ${cgroup.key}`, () => {
        if (isSet(cgroup, mark)) return;
        const pin = pinOf(cgroup.key);
        if (pin === undefined) {
          const before = new Set(ourPrograms(cgroup).map(({ id }) => id));
          setAttached(cgroup, mark);
          detachOurs(cgroup, ({ id }) => !before.has(id));
        } else {
          setPinned(cgroup, mark, pin);
          // What an earlier run attached without a bpf file system.
          detachOurs(cgroup, () => false);
        }
      }),
    remove: (key) => guarded(`mark of ${key}`, () => remove(key)),
    isSet: (cgroup, mark) => {
      try {
        return isSet(cgroup, mark);
      } catch {
        return false;
      }
    },
    pinned,
    removeAll: () =>
      guarded('marks', () => {
        for (const key of new Set([...pinned(), ...cgroups.list().map(({ key }) => key)])) remove(key);
        if (pins === false) return;
        try {
          rmdirSync(pins);
        } catch {
          // It was never made.
        }
      }),
  };
}

/** Programs of ours at this cgroup itself, held by a link or attached. */
function ourPrograms(cgroup: AppCgroup): { readonly id: number; readonly tag: string }[] {
  const directory = openCgroupDirectory(cgroup);
  try {
    return attachedSocketPrograms(directory.fd).flatMap((id) => {
      const program = openProgramIfAny(id);
      if (program === undefined) return [];
      try {
        const { name, tag } = programInfo(program);
        return name === programName ? [{ id, tag }] : [];
      } finally {
        closeDescriptor(program);
      }
    });
  } finally {
    directory.close();
  }
}

/** Takes away what is attached without a link. */
function detachOurs(cgroup: AppCgroup, keep: (program: { readonly id: number }) => boolean): void {
  const directory = openCgroupDirectory(cgroup);
  try {
    for (const program of ourPrograms(cgroup)) {
      if (keep(program)) continue;
      const fd = openProgramIfAny(program.id);
      if (fd === undefined) continue;
      try {
        detachSocketProgram(fd, directory.fd);
      } catch (error) {
        // Held by a link: it goes with the link.
        if (!(error instanceof SysError && ['ENOENT', 'EPERM', 'EINVAL'].includes(error.code))) throw error;
      } finally {
        closeDescriptor(fd);
      }
    }
  } finally {
    directory.close();
  }
}

function openProgramIfAny(id: number): number | undefined {
  try {
    return openProgram(id);
  } catch (error) {
    if (error instanceof SysError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function pinnedLink(pin: string): { readonly cgroupId: bigint } | undefined {
  let link: number;
  try {
    link = openPinned(pin);
  } catch {
    return undefined;
  }
  try {
    return linkInfo(link);
  } catch {
    return undefined;
  } finally {
    closeDescriptor(link);
  }
}

/** `/sys/fs/bpf` where a bpf file system is mounted there, as systemd does. */
function findPins(): string | false {
  const mounted = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === '/sys/fs/bpf' && line.split(' - ')[1]?.startsWith('bpf '));
  return mounted && '/sys/fs/bpf/aovpn';
}
