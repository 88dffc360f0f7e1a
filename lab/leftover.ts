import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Everything that a world puts on this machine's disk is below one directory of this name. */
const prefix = 'aovpn-lab-';
const root = process.env['AOVPN_LAB_DIR'] ?? tmpdir();

interface Owner {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: two processes never share pid and start. */
  readonly start: string;
}

/** A new directory for a world, marked with the process that owns it. */
export function claimDirectory(): string {
  mkdirSync(root, { recursive: true });
  const directory = mkdtempSync(path.join(root, prefix));
  const owner: Owner = { pid: process.pid, start: startOf(process.pid) ?? '' };
  writeFileSync(path.join(directory, 'owner.json'), JSON.stringify(owner));
  return directory;
}

/**
 * Removes the directories of worlds whose owner is gone. Their processes and namespaces are gone already: the first process of a world
 * ends with its owner (its standard input closes), and the kernel then ends the rest.
 * @returns what was removed.
 */
export function removeLeftovers(place = root): readonly string[] {
  const removed: string[] = [];
  for (const name of readdirSync(place)) {
    if (!name.startsWith(prefix)) continue;
    const directory = path.join(place, name);
    try {
      const owner = JSON.parse(readFileSync(path.join(directory, 'owner.json'), 'utf8')) as Owner;
      if (startOf(owner.pid) === owner.start) continue;
      rmSync(directory, { recursive: true, force: true });
      removed.push(directory);
    } catch {
      // Another world is just being made or removed here; the next look finds it complete or gone.
    }
  }
  return removed;
}

function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
