import type { FileIdentity } from '../sys/file-identity.ts';

/**
 * What the main thread and the exec worker share: which file is which app, how to reach the app's cgroup, what was started. The worker
 * reads it without locks, allocation or system calls; the main thread writes a second copy of the table and then turns the pointer.
 */

/** Apps at the same time. */
export const slots = 512;
/** Files that can be told apart; the table is at most half full. */
export const maxFiles = 4096;
const rows = 2 * maxFiles;
/** Starts that wait to be told; older ones are forgotten. */
export const ringRows = 512;

/** 32-bit words at the beginning. */
export const word = {
  /** Set to 1 once: the worker allows what it holds, and ends. */
  stop: 0,
  /** Events taken up, and events done with; in between the worker is busy, and if that lasts, stuck. */
  begun: 1,
  done: 2,
  /** 1: the main thread wants to be woken at the next event. */
  armed: 3,
  /** Counts tables; its lowest bit says which of the two is in force. */
  version: 4,
  /** Starts ever written to the ring. */
  started: 5,
  /** Set to 1 when the worker listens. */
  ready: 6,
  /** For tests: the worker stops in the middle of the next event, as if something had gone wrong. */
  stumble: 7,
} as const;
const words = 16;

/** What is special about an app. */
export const slotFlag = {
  /** The main thread is told at once, not some time later. */
  tell: 1,
  /** The start waits until this is cleared, or its time is up. */
  hold: 2,
} as const;

const slotColumn = { members: 0, flags: 1 } as const;
const slotColumns = 2;
const ringColumn = { pid: 0, slot: 1, errno: 2 } as const;
const ringColumns = 3;
/** A row of the table: file, slot + 1 (0: empty), the interpreter whose event belongs to the same start (all 0: none). */
const column = { devMajor: 0, devMinor: 1, inoLow: 2, inoHigh: 3, slot: 4, next: 5 } as const;
const columns = 9;

const slotsAt = words;
const ringAt = slotsAt + slots * slotColumns;
const tablesAt = ringAt + ringRows * ringColumns;
const total = tablesAt + 2 * rows * columns;

/** A watched file. */
export interface TableFile {
  readonly file: FileIdentity;
  readonly slot: number;
  /** For a script: the watched interpreter that the kernel opens next for the same start. */
  readonly interpreter?: FileIdentity;
}

export class ExecTable {
  readonly shared: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Row found by the last {@link look}, for {@link nextAt}. */
  #found = 0;

  constructor(shared = new SharedArrayBuffer(4 * total)) {
    this.shared = shared;
    this.words = new Int32Array(shared);
  }

  /** The app of a file, or −1. */
  look(devMajor: number, devMinor: number, inoLow: number, inoHigh: number): number {
    for (;;) {
      const version = Atomics.load(this.words, word.version);
      const slot = this.#lookIn(version & 1, devMajor, devMinor, inoLow, inoHigh);
      // The copy that was read may have been written anew meanwhile.
      if (Atomics.load(this.words, word.version) === version) return slot;
    }
  }

  #lookIn(copy: number, devMajor: number, devMinor: number, inoLow: number, inoHigh: number): number {
    const { words: table } = this;
    let row = hash(devMajor, devMinor, inoLow, inoHigh);
    for (let tries = 0; tries < rows; tries++) {
      const at = tablesAt + (copy * rows + row) * columns;
      const slot = table[at + column.slot]!;
      if (slot === 0) return -1;
      if (
        table[at + column.inoLow] === inoLow &&
        table[at + column.inoHigh] === inoHigh &&
        table[at + column.devMinor] === devMinor &&
        table[at + column.devMajor] === devMajor
      ) {
        this.#found = at;
        return slot - 1;
      }
      row = (row + 1) % rows;
    }
    return -1;
  }

  /** Word `index` (0 to 3) of the interpreter that follows the file found last. */
  nextAt(index: number): number {
    return this.words[this.#found + column.next + index]!;
  }

  /** Replaces the table as a whole. */
  write(files: readonly TableFile[]): void {
    if (files.length > maxFiles) throw new RangeError('too many files for the table');
    const version = Atomics.load(this.words, word.version);
    const base = tablesAt + ((version + 1) & 1) * rows * columns;
    this.words.fill(0, base, base + rows * columns);
    for (const { file, slot, interpreter } of files) {
      const identity = identityWords(file);
      let row = hash(...identity);
      while (this.words[base + row * columns + column.slot] !== 0) row = (row + 1) % rows;
      const at = base + row * columns;
      this.words.set(identity, at);
      if (interpreter) this.words.set(identityWords(interpreter), at + column.next);
      this.words[at + column.slot] = slot + 1;
    }
    Atomics.store(this.words, word.version, version + 1);
  }

  /** Descriptor that pids of new members are written to; 0: none. */
  members(slot: number): number {
    return Atomics.load(this.words, slotsAt + slot * slotColumns + slotColumn.members);
  }

  setMembers(slot: number, fd: number): void {
    Atomics.store(this.words, slotsAt + slot * slotColumns + slotColumn.members, fd);
  }

  flags(slot: number): number {
    return Atomics.load(this.words, slotsAt + slot * slotColumns + slotColumn.flags);
  }

  setFlag(slot: number, flag: number, on: boolean): void {
    const at = slotsAt + slot * slotColumns + slotColumn.flags;
    if (on) Atomics.or(this.words, at, flag);
    else Atomics.and(this.words, at, ~flag);
  }

  /** Worker: something was started. `errno` says why it could not be put into its cgroup; 0 when it was. */
  record(pid: number, slot: number, errno: number): void {
    const count = Atomics.load(this.words, word.started);
    const at = ringAt + (count % ringRows) * ringColumns;
    this.words[at + ringColumn.pid] = pid;
    this.words[at + ringColumn.slot] = slot;
    this.words[at + ringColumn.errno] = errno;
    Atomics.store(this.words, word.started, (count + 1) & 0x7fffffff);
  }

  /** Main thread: what was started since `from`, and where to go on. */
  startsSince(from: number): { readonly starts: { pid: number; slot: number; errno: number }[]; readonly upTo: number } {
    const upTo = Atomics.load(this.words, word.started);
    const count = Math.min((upTo - from) & 0x7fffffff, ringRows);
    const starts = Array.from({ length: count }, (_, i) => {
      const at = ringAt + (((upTo - count + i) & 0x7fffffff) % ringRows) * ringColumns;
      return {
        pid: this.words[at + ringColumn.pid]!,
        slot: this.words[at + ringColumn.slot]!,
        errno: this.words[at + ringColumn.errno]!,
      };
    });
    return { starts, upTo };
  }
}

function identityWords({ devMajor, devMinor, ino }: FileIdentity): [number, number, number, number] {
  return [devMajor | 0, devMinor | 0, Number(BigInt.asIntN(32, ino)), Number(BigInt.asIntN(32, ino >> 32n))];
}

function hash(devMajor: number, devMinor: number, inoLow: number, inoHigh: number): number {
  const mixed =
    Math.imul(inoLow ^ Math.imul(inoHigh, 31), 0x9e3779b1) ^ Math.imul(devMinor + Math.imul(devMajor, 257), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 15)) >>> 0) % rows;
}
