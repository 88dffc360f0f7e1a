import koffi from 'koffi';
import { addressOf } from './libc.ts';
import { littleEndian } from './socket-address.ts';

/**
 * What makes a file the same file whatever path leads to it: file system and inode. From `statx`, whose structure is the same on every
 * architecture; numbers of `stat` and `statx` need not agree on every file system, so nothing else is compared with these.
 */
export interface FileIdentity {
  readonly devMajor: number;
  readonly devMinor: number;
  readonly ino: bigint;
}

const self = koffi.load(null);
const AT_EMPTY_PATH = 0x1000;
const STATX_INO = 0x100;

const nativeStatx = self.func('int statx(int, const char *, int, uint, size_t)') as (
  fd: number,
  path: string,
  flags: number,
  mask: number,
  at: number,
) => number;

/** Octets of `struct statx`. */
export const statxLength = 256;
/** Where in it the numbers are, <linux/stat.h>. */
export const statxOffset = { ino: 32, devMajor: 136, devMinor: 140 } as const;

/** `statx` of an open descriptor into memory at `at`; allocates nothing. 0, or a negated errno. */
export function statxInto(fd: number, at: number): number {
  const result = nativeStatx(fd, '', AT_EMPTY_PATH, STATX_INO, at);
  return result < 0 ? -koffi.errno() : result;
}

/** Follows symbolic links; undefined when there is no such file or it may not be looked at. */
export function identityOfPath(path: string): FileIdentity | undefined {
  const buffer = new ArrayBuffer(statxLength);
  if (nativeStatx(-100, path, 0, STATX_INO, addressOf(buffer)) < 0) return undefined;
  return decode(new DataView(buffer));
}

/** A text that is equal for the same file. */
export function identityKey({ devMajor, devMinor, ino }: FileIdentity): string {
  return `${devMajor}:${devMinor}:${ino}`;
}

function decode(view: DataView): FileIdentity {
  return {
    devMajor: view.getUint32(statxOffset.devMajor, littleEndian),
    devMinor: view.getUint32(statxOffset.devMinor, littleEndian),
    ino: view.getBigUint64(statxOffset.ino, littleEndian),
  };
}
