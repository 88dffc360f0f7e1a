import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { portalTable, printPortal, type PortalConfinement } from '@aovpn/policy';
import { openSocketMarks } from '../bpf/socket-mark.ts';
import { openAppCgroups } from '../cgroup/app-cgroups.ts';
import { openRuleset } from '../filter/ruleset.ts';
import { openStubResolver, type StubResolver } from '../resolver/stub-resolver.ts';

export interface PortalCellOptions {
  /** Name of the cgroup of the apps; ours lies beside it. */
  readonly cgroup: string;
  /** `SO_MARK` of everything that the program sends, and of our questions for it: outside every tunnel. */
  readonly mark: number;
}

/** Whom the relay asks, and what the program may do. */
export interface PortalLeave {
  /** Milliseconds since 1970. */
  readonly until: number;
  readonly ports: readonly number[];
  /** The machine's own name servers. */
  readonly resolvers: readonly IpAddress[];
}

/** The one program that may go to the physical network while a person signs in: a cgroup, its mark, its rules and its name server. */
export interface PortalCell {
  /** As nftables names it. */
  readonly cgroup: PortalConfinement['cgroup'];
  /** Makes ready what a program needs; may be called again. @throws {HostError} */
  open(leave: PortalLeave): Promise<void>;
  /** Puts a process there, before it has made a socket; its children are the same. @throws {HostError} */
  admit(pid: number): void;
  /** Ends every program in it and takes everything away. Also what an earlier run left. @throws {HostError} */
  shut(): Promise<void>;
}

const key = 'session';
/** Loopback of our own: nobody else's server is there. */
const relayAddress = parseAddress('127.73.96.2')!;
const relayPort = 5300;
/** For the end of killed programs, milliseconds. */
const endPatience = 2_000;

export function openPortalCell({ cgroup: name, mark }: PortalCellOptions): PortalCell {
  const cgroups = openAppCgroups({ name: `${name}-portal` });
  // Held by the cgroup itself, so that it lives exactly as long.
  const marks = openSocketMarks(cgroups, false);
  const ruleset = openRuleset(portalTable);
  const cgroup = { path: `${cgroups.nftName}/${key}`, level: cgroups.level };
  let relay: StubResolver | undefined;
  const confine = async (until: number, ports: readonly number[]): Promise<void> =>
    await ruleset.apply(printPortal({ cgroup, until, ports, relay: { address: relayAddress, port: relayPort } }, Date.now()));

  return {
    cgroup,
    open: async ({ until, ports, resolvers }) => {
      const made = cgroups.ensure(key);
      marks.set(made, { mark, mask: 0xffff_ffff });
      relay ??= await openStubResolver(relayAddress, relayPort);
      relay.configure({ rules: [], physical: resolvers, mark });
      await confine(until, ports);
    },
    admit: (pid) => void cgroups.move(pid, key),
    shut: async () => {
      if (cgroups.find(key)) {
        // Refused first: what a killed program leaves must not find its way out when the mark outlives the rules.
        await confine(0, [1]);
        await endAll(join(cgroups.path, key), () => cgroups.processes(key));
      }
      await removed(() => cgroups.removeAll());
      await ruleset.remove();
      await relay?.close();
      relay = undefined;
    },
  };
}

/** A process and whose child and whose property it is, by the kernel's word; undefined when there is none. */
export function processOwner(pid: number): { readonly parent: number; readonly uid: number } | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const parent = /^PPid:\t(\d+)$/m.exec(status)?.[1];
    // Real, effective, saved, file system: all one, or it is not simply this user's.
    const [real, ...others] = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status)?.slice(1) ?? [];
    if (parent === undefined || real === undefined || others.some((uid) => uid !== real)) return undefined;
    return { parent: Number(parent), uid: Number(real) };
  } catch {
    return undefined;
  }
}

async function endAll(path: string, processes: () => readonly number[]): Promise<void> {
  const deadline = performance.now() + endPatience;
  try {
    // Linux 5.14: all at once, also those that are just being forked.
    writeFileSync(join(path, 'cgroup.kill'), '1');
  } catch {
    // One by one below.
  }
  while (performance.now() < deadline) {
    const left = processes().filter((pid) => pid > 0);
    if (left.length === 0) return;
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A killed process holds its cgroup until the kernel is done with it. @throws {HostError} */
async function removed(remove: () => void): Promise<void> {
  for (const deadline = performance.now() + endPatience; ;) {
    try {
      return remove();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
