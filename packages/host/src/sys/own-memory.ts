import { readFileSync } from 'node:fs';
import process from 'node:process';
import koffi from 'koffi';
import * as libc from './libc.ts';

const MADV_DONTNEED = 4;

/** Gives the kernel back what is free in the C library's heap (malloc_trim(3)); where there is no such thing (musl), nothing happens. */
export function returnFreeMemory(): void {
  let trim: (pad: number) => number;
  try {
    trim = koffi.load(null).func('int malloc_trim(size_t)') as (pad: number) => number;
  } catch {
    return;
  }
  trim(0);
}

/**
 * Takes Node's own program file out of the memory of this process; what is used again comes back from the page cache by itself, a few pages at a time. Most of
 * what a start needs of it (V8's snapshot, the compiler, 30 MiB and more) is never used again. Only mappings that cannot be written and have no page of their
 * own: nothing is lost with them. @returns octets that are no longer mapped; 0 where the kernel does not tell
 */
export function releaseProgramFile(): number {
  let mappings: readonly FileMapping[];
  try {
    mappings = readFileMappings(readFileSync('/proc/self/smaps', 'utf8'), process.execPath);
  } catch {
    return 0;
  }
  let released = 0;
  for (const { start, length, resident } of mappings) if (libc.madvise(start, length, MADV_DONTNEED) === 0) released += resident;
  return released;
}

export interface FileMapping {
  /** Address. */
  readonly start: number;
  /** Octets; also {@link FileMapping.resident}. */
  readonly length: number;
  readonly resident: number;
}

/** What proc_pid_smaps(5) says of a file, of mappings that are private, cannot be written, and are the file's own pages all of them. */
export function readFileMappings(smaps: string, file: string): readonly FileMapping[] {
  const mappings: FileMapping[] = [];
  const sections = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  for (const section of sections) {
    const [, from, to, path] = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ \S+ \d+ +(.*)$/m.exec(section) ?? [];
    if (path !== file || !/^Anonymous: +0 kB$/m.test(section)) continue;
    const resident = Number(/^Rss: +(\d+) kB$/m.exec(section)?.[1] ?? 0) * 1024;
    mappings.push({ start: parseInt(from!, 16), length: parseInt(to!, 16) - parseInt(from!, 16), resident });
  }
  return mappings;
}

/**
 * Collects garbage now, where Node was told `--expose-gc`. V8 does it by itself when new objects need the room: a thread that makes none, as it waits in
 * system calls of its own, would keep what its start has left for ever.
 */
export function collectGarbage(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
