import { execEvent, execResponse } from '../sys/fanotify.ts';
import { statxInto, statxLength, statxOffset } from '../sys/file-identity.ts';
import { constant, drainEventfd, errno, libc, littleEndian, wakeEventfd } from '../sys/index.ts';
import { ExecTable, slotFlag, word } from './exec-table.ts';

/** What the exec worker is started with. */
export interface ExecWorkerSetup {
  readonly shared: SharedArrayBuffer;
  /** The fanotify group. */
  readonly groupFd: number;
  /** Wakes the worker. */
  readonly wakeFd: number;
  /** Wakes the main thread. */
  readonly kickFd: number;
  /** A held start goes on after so many milliseconds whatever happens. */
  readonly maxHoldMs: number;
}

const eventBuffer = 4096;
/** Starts held at the same time; one more is not held. */
const maxHeld = 256;
/** Starts of scripts whose interpreter has not been seen yet, by the lowest bits of the pid. */
const scriptRows = 64;
/** The kernel asks for the interpreter right after the script; what comes later is another start. */
const scriptMs = 1000;

/**
 * Answers the kernel's question "may this be executed?", always with yes, after it has put the process into its app's cgroup. The
 * process that calls `execve` sleeps meanwhile, so this loop allocates nothing, logs nothing and touches no file system but cgroups;
 * whatever goes wrong, the answer is still yes, and traffic filters refuse what is not in its cgroup.
 */
export class ExecResponder {
  readonly #setup: ExecWorkerSetup;
  readonly #table: ExecTable;
  readonly #words: Int32Array<SharedArrayBuffer>;
  // One block each, kept for good: their addresses are handed to the kernel.
  readonly #events = new DataView(new ArrayBuffer(eventBuffer));
  readonly #eventsAt = libc.addressOf(this.#events.buffer);
  readonly #statx = new DataView(new ArrayBuffer(statxLength));
  readonly #statxAt = libc.addressOf(this.#statx.buffer);
  readonly #response = new DataView(new ArrayBuffer(128));
  readonly #responseAt = libc.addressOf(this.#response.buffer);
  readonly #digits = new Uint8Array(new ArrayBuffer(128));
  readonly #digitsAt = libc.addressOf(this.#digits.buffer);
  readonly #polled = new DataView(new ArrayBuffer(128));
  readonly #polledAt = libc.addressOf(this.#polled.buffer);
  readonly #heldFd = new Int32Array(maxHeld);
  readonly #heldSlot = new Int32Array(maxHeld);
  readonly #heldUntil = new Float64Array(maxHeld);
  #held = 0;
  readonly #scriptPid = new Int32Array(scriptRows);
  readonly #scriptUntil = new Float64Array(scriptRows);
  readonly #scriptNext = new Int32Array(4 * scriptRows);

  constructor(setup: ExecWorkerSetup) {
    this.#setup = setup;
    this.#table = new ExecTable(setup.shared);
    this.#words = this.#table.words;
    // struct pollfd: descriptor, events asked for (16 bits), events found (16 bits).
    for (const [index, fd] of [setup.groupFd, setup.wakeFd].entries()) {
      this.#polled.setInt32(8 * index, fd, littleEndian);
      this.#polled.setInt16(8 * index + 4, constant.POLLIN, littleEndian);
    }
  }

  /** Returns when it is told to stop. */
  run(): void {
    try {
      this.#serve();
    } catch (error) {
      // The kernel allows from here on, whatever the main thread does meanwhile: it may itself wait for a program that it starts.
      libc.dup3(this.#setup.wakeFd, this.#setup.groupFd, constant.O_CLOEXEC);
      throw error;
    }
  }

  #serve(): void {
    Atomics.store(this.#words, word.ready, 1);
    wakeEventfd(this.#setup.kickFd);
    while (Atomics.load(this.#words, word.stop) === 0) {
      libc.poll(this.#polledAt, 2, this.#held === 0 ? -1 : this.#patience());
      if ((this.#polled.getInt16(8 + 6, littleEndian) & constant.POLLIN) !== 0) drainEventfd(this.#setup.wakeFd);
      if (this.#held > 0) this.#letGo();
      if (this.#polled.getInt16(6, littleEndian) !== 0) this.#answer();
    }
    for (let i = 0; i < this.#held; i++) this.#allow(this.#heldFd[i]!);
  }

  #answer(): void {
    const length = libc.read(this.#setup.groupFd, this.#eventsAt, eventBuffer);
    for (let at = 0; at + execEvent.length <= length;) {
      Atomics.add(this.#words, word.begun, 1);
      if (Atomics.compareExchange(this.#words, word.armed, 1, 0) === 1) wakeEventfd(this.#setup.kickFd);
      if (Atomics.load(this.#words, word.stumble) !== 0) this.#stumble();
      const fd = this.#events.getInt32(at + execEvent.fd, littleEndian);
      if (fd >= 0 && !this.#classify(fd, this.#events.getInt32(at + execEvent.pid, littleEndian))) this.#allow(fd);
      Atomics.add(this.#words, word.done, 1);
      const step = this.#events.getUint32(at + execEvent.eventLength, littleEndian);
      at += step < execEvent.length ? execEvent.length : step;
    }
  }

  /** Puts the process where it belongs; true when its start is held. */
  #classify(fd: number, pid: number): boolean {
    if (pid <= 0 || statxInto(fd, this.#statxAt) < 0) return false;
    const major = this.#statx.getInt32(statxOffset.devMajor, littleEndian);
    const minor = this.#statx.getInt32(statxOffset.devMinor, littleEndian);
    const low = this.#statx.getInt32(statxOffset.ino + (littleEndian ? 0 : 4), littleEndian);
    const high = this.#statx.getInt32(statxOffset.ino + (littleEndian ? 4 : 0), littleEndian);
    const slot = this.#table.look(major, minor, low, high);
    if (slot < 0) return false;
    const row = pid % scriptRows;
    const script = this.#scriptPid[row] === pid && performance.now() < this.#scriptUntil[row]!;
    if (
      script &&
      this.#scriptNext[4 * row] === major &&
      this.#scriptNext[4 * row + 1] === minor &&
      this.#scriptNext[4 * row + 2] === low &&
      this.#scriptNext[4 * row + 3] === high
    ) {
      // The interpreter of a script that is an app of its own: the process has been put there already.
      this.#expect(row, 0);
      return false;
    }
    if (this.#table.nextAt(2) !== 0 || this.#table.nextAt(3) !== 0) this.#expect(row, pid);
    const members = this.#table.members(slot);
    const result = members === 0 ? -errno.EBADFD : libc.write(members, this.#digitsAt, this.#writeDigits(pid));
    this.#table.record(pid, slot, result < 0 ? -result : 0);
    const flags = this.#table.flags(slot);
    if (flags === 0) return false;
    wakeEventfd(this.#setup.kickFd);
    if ((flags & slotFlag.hold) === 0 || this.#held === maxHeld) return false;
    this.#heldFd[this.#held] = fd;
    this.#heldSlot[this.#held] = slot;
    this.#heldUntil[this.#held] = performance.now() + this.#setup.maxHoldMs;
    this.#held++;
    return true;
  }

  /** Remembers which interpreter belongs to the script that was just looked up. */
  #expect(row: number, pid: number): void {
    this.#scriptPid[row] = pid;
    this.#scriptUntil[row] = performance.now() + scriptMs;
    for (let i = 0; i < 4; i++) this.#scriptNext[4 * row + i] = this.#table.nextAt(i);
  }

  #writeDigits(pid: number): number {
    let length = 1;
    for (let rest = pid; rest >= 10; rest = (rest / 10) | 0) length++;
    for (let i = length - 1, rest = pid; i >= 0; i--, rest = (rest / 10) | 0) this.#digits[i] = 0x30 + (rest % 10);
    return length;
  }

  #allow(fd: number): void {
    this.#response.setInt32(execResponse.fd, fd, littleEndian);
    this.#response.setUint32(execResponse.answer, execResponse.allow, littleEndian);
    libc.write(this.#setup.groupFd, this.#responseAt, execResponse.length);
    libc.close(fd);
  }

  /** Lets go whom nobody holds any more, or whose time is up. */
  #letGo(): void {
    const now = performance.now();
    for (let i = this.#held - 1; i >= 0; i--) {
      const held = (this.#table.flags(this.#heldSlot[i]!) & slotFlag.hold) !== 0;
      if (held && now < this.#heldUntil[i]!) continue;
      this.#allow(this.#heldFd[i]!);
      this.#held--;
      this.#heldFd[i] = this.#heldFd[this.#held]!;
      this.#heldSlot[i] = this.#heldSlot[this.#held]!;
      this.#heldUntil[i] = this.#heldUntil[this.#held]!;
    }
  }

  /** Milliseconds until the first held start must go on. */
  #patience(): number {
    let first = this.#heldUntil[0]!;
    for (let i = 1; i < this.#held; i++) if (this.#heldUntil[i]! < first) first = this.#heldUntil[i]!;
    return Math.max(0, Math.ceil(first - performance.now()));
  }

  #stumble(): void {
    if (Atomics.load(this.#words, word.stumble) === 2) throw new Error('on purpose');
    while (Atomics.load(this.#words, word.stumble) !== 0) Atomics.wait(this.#words, word.stumble, 1, 1000);
  }
}
