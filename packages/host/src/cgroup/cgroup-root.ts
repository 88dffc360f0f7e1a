import { readFileSync } from 'node:fs';
import { filterError } from '../filter/filter-error.ts';

/** Where this machine has its cgroup v2 hierarchy. */
export interface CgroupRoot {
  /** Such as `/sys/fs/cgroup` (cgroup v2 only) or `/sys/fs/cgroup/unified` (beside v1). */
  readonly path: string;
  /** How many levels of the whole hierarchy lie above that directory: 0 unless only a part of it is mounted here. */
  readonly depth: number;
}

/** nft resolves names of cgroups below this directory, whatever is mounted where. */
const nftRoot = '/sys/fs/cgroup';

/**
 * The first mount of cgroup v2, from `/proc/self/mountinfo` (proc(5): field 4 is the root of the mount, field 5 where it is, and behind
 * the dash the file system's type).
 * @throws {HostError} AOV-HOST-600
 */
export function findCgroupRoot(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): CgroupRoot {
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    if (after?.split(' ')[0] !== 'cgroup2') continue;
    const [, , , root, path, options] = before!.split(' ');
    if (root === undefined || path === undefined || !options?.split(',').includes('rw')) continue;
    return { path: unescape(path), depth: unescape(root).split('/').filter(Boolean).length };
  }
  throw filterError('noCgroup', 'no writable mount of cgroup2 in /proc/self/mountinfo');
}

/** The name by which nft knows a cgroup; undefined when it cannot reach it. */
export function nftCgroupName(path: string): string | undefined {
  return path.startsWith(`${nftRoot}/`) ? path.slice(nftRoot.length + 1) : undefined;
}

/** mountinfo writes blanks and the like as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
