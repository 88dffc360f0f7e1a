import process from 'node:process';
import { Worker } from 'node:worker_threads';
import type { AppKey } from '@aovpn/policy';
import { openMembers, type AppCgroup } from '../cgroup/app-cgroups.ts';
import { filterError, messageOf } from '../filter/filter-error.ts';
import { markExecutable, openExecPermission, unmarkExecutable } from '../sys/fanotify.ts';
import { identityKey, identityOfPath, type FileIdentity } from '../sys/file-identity.ts';
import { workerEnvironment } from '../worker-environment.ts';
import {
  check,
  closeDescriptor,
  constant,
  drainEventfd,
  libc,
  openEventfd,
  SysError,
  wakeEventfd,
  watchReadable,
  type Watch,
} from '../sys/index.ts';
import type { Executable } from './executable.ts';
import type { ExecWorkerSetup } from './exec-responder.ts';
import { ExecTable, slotFlag, slots, word, type TableFile } from './exec-table.ts';

/** Every open watch, to be stopped when the process exits: a worker asleep in a system call would keep it from doing so for ever. */
const openWatches = new Set<{ stopNow(): void }>();
let watchingExit = false;

/** What an engine tells. */
interface Heard {
  started(app: AppKey, pid: number, errno: number): void;
  failed(why: string): void;
}

/** One fanotify group with its worker. It is never repaired: when something goes wrong it is thrown away, and the kernel allows all. */
export class ExecEngine {
  readonly table = new ExecTable();
  readonly #heard: Heard;
  readonly #stallMs: number;
  readonly #groupFd: number;
  readonly #wakeFd: number;
  readonly #kickFd: number;
  readonly #kick: Watch;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #slotOf = new Map<AppKey, { readonly slot: number; id: bigint }>();
  readonly #keyOf: (AppKey | undefined)[] = [];
  /** Paths of marks that are set, by file. */
  #marked = new Map<string, string>();
  #told = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #onReady: (() => void) | undefined;

  constructor(maxHoldMs: number, stallMs: number, heard: Heard) {
    this.#heard = heard;
    this.#stallMs = stallMs;
    try {
      this.#groupFd = openExecPermission();
    } catch (error) {
      throw filterError('noExecWatch', messageOf(error), error);
    }
    this.#wakeFd = openEventfd();
    this.#kickFd = openEventfd();
    this.#kick = watchReadable(this.#kickFd, () => this.#kicked());
    this.#kick.unref();
    const setup: ExecWorkerSetup = {
      shared: this.table.shared,
      groupFd: this.#groupFd,
      wakeFd: this.#wakeFd,
      kickFd: this.#kickFd,
      maxHoldMs,
    };
    this.#worker = new Worker(new URL('./exec-worker.ts', import.meta.url), {
      workerData: setup,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
      // No flags of the main program: some, such as --input-type, are none of a worker's business.
      execArgv: [],
      env: workerEnvironment(),
    });
    this.#worker.on('error', (error) => this.#fail(error instanceof Error ? error.message : 'unknown'));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#fail('the worker ended');
        this.#release();
        resolve();
      });
    });
    openWatches.add(this);
    if (!watchingExit) {
      watchingExit = true;
      process.on('exit', () => {
        for (const engine of openWatches) engine.stopNow();
      });
    }
  }

  /** Resolves when the worker listens; nothing is marked before. */
  async ready(): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => {
        this.#onReady = resolve;
        if (Atomics.load(this.table.words, word.ready) === 1) resolve();
      }),
      this.#exited,
    ]);
    if (this.#stopped) throw filterError('execWatchFailed', 'the worker ended before it began');
  }

  hold(app: AppKey, on: boolean): void {
    const slot = this.#slotOf.get(app)?.slot;
    if (slot === undefined) return;
    this.table.setFlag(slot, slotFlag.hold, on);
    if (!on) wakeEventfd(this.#wakeFd);
  }

  /** Marks and unmarks; what could not be marked, by path, with the reason. */
  setFiles(
    apps: readonly { readonly cgroup: AppCgroup; readonly tell: boolean }[],
    files: readonly { readonly app: AppKey; readonly executable: Executable }[],
  ): ReadonlyMap<string, string> {
    const problems = new Map<string, string>();
    if (this.#stopped) return problems;
    for (const { cgroup, tell } of apps) this.#setSlot(cgroup, tell);
    const gone = new Set(this.#slotOf.keys());
    for (const { cgroup } of apps) gone.delete(cgroup.key);
    const known = new Set(files.map(({ executable }) => identityKey(executable.file)));
    const rows: TableFile[] = [];
    for (const { app, executable } of files) {
      const slot = this.#slotOf.get(app)?.slot;
      if (slot === undefined) {
        problems.set(executable.path, 'its app has no cgroup');
        continue;
      }
      // Only an interpreter that is an app itself is asked about.
      const interpreter =
        executable.interpreter && known.has(identityKey(executable.interpreter)) ? executable.interpreter : undefined;
      rows.push({ file: executable.file, slot, ...(interpreter ? { interpreter } : {}) });
    }
    // The table before the marks: a start that is asked about is known.
    this.table.write(rows);
    const marked = new Map<string, string>();
    for (const { executable } of files) {
      const key = identityKey(executable.file);
      if (problems.has(executable.path)) continue;
      try {
        // Marking twice is no error.
        markExecutable(this.#groupFd, executable.path);
        marked.set(key, executable.path);
      } catch (error) {
        if (error instanceof SysError && error.code === 'EINVAL') throw filterError('noExecWatch', error.message, error);
        problems.set(executable.path, messageOf(error));
      }
    }
    for (const [key, path] of this.#marked) {
      // The mark of a file that was replaced went with the file; of one that lives on under another name it is merely useless.
      if (!marked.has(key) && sameFile(path, key)) unmarkExecutable(this.#groupFd, path);
    }
    this.#marked = marked;
    for (const key of gone) this.#freeSlot(key);
    return problems;
  }

  /** Returns when the worker is gone, and with it every mark. */
  async stop(): Promise<void> {
    this.stopNow();
    // A worker that hangs in JavaScript is ended; one that hangs in the kernel holds nobody up, since its group is closed.
    const timer = setTimeout(() => void this.#worker.terminate(), this.#stallMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** What can be done without waiting: from here on the kernel allows every start by itself. */
  stopNow(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    openWatches.delete(this);
    clearTimeout(this.#timer);
    this.#kick.close();
    Atomics.store(this.table.words, word.stop, 1);
    wakeEventfd(this.#wakeFd);
    // The worker may be about to use the number, so it is not set free but made to mean something harmless.
    check('dup3', libc.dup3(this.#wakeFd, this.#groupFd, constant.O_CLOEXEC));
  }

  #release(): void {
    closeDescriptor(this.#groupFd);
    closeDescriptor(this.#wakeFd);
    closeDescriptor(this.#kickFd);
    for (let slot = 0; slot < this.#keyOf.length; slot++) {
      const fd = this.table.members(slot);
      if (fd !== 0) closeDescriptor(fd);
    }
  }

  #fail(why: string): void {
    if (this.#stopped) return;
    this.stopNow();
    this.#heard.failed(why);
  }

  #setSlot({ key, path, id }: AppCgroup, tell: boolean): void {
    let known = this.#slotOf.get(key);
    if (!known) {
      let slot = this.#keyOf.indexOf(undefined);
      if (slot < 0) slot = this.#keyOf.length;
      if (slot >= slots) throw filterError('cgroupRefused', `more than ${slots} apps`);
      known = { slot, id: -1n };
      this.#slotOf.set(key, known);
      this.#keyOf[slot] = key;
    }
    const { slot } = known;
    if (known.id !== id) {
      const fd = openMembers({ key, path, id });
      const old = this.table.members(slot);
      if (old === 0) this.table.setMembers(slot, fd);
      else {
        // The worker may be writing to the old number now: it stays, and means the new cgroup.
        check('dup3', libc.dup3(fd, old, constant.O_CLOEXEC));
        closeDescriptor(fd);
      }
      known.id = id;
    }
    this.table.setFlag(slot, slotFlag.tell, tell);
  }

  #freeSlot(key: AppKey): void {
    const { slot } = this.#slotOf.get(key)!;
    this.table.setFlag(slot, slotFlag.tell | slotFlag.hold, false);
    wakeEventfd(this.#wakeFd);
    // Its descriptor waits for the next app, without a cgroup behind it.
    check('dup3', libc.dup3(this.#wakeFd, this.table.members(slot), constant.O_CLOEXEC));
    this.#slotOf.delete(key);
    this.#keyOf[slot] = undefined;
  }

  /**
   * The worker has begun with something. No timer runs while nothing is started; from here on one looks whether the worker gets anywhere.
   */
  #kicked(): void {
    drainEventfd(this.#kickFd);
    if (this.#stopped) return;
    if (this.#onReady && Atomics.load(this.table.words, word.ready) === 1) {
      this.#onReady();
      this.#onReady = undefined;
      Atomics.store(this.table.words, word.armed, 1);
    }
    this.#tell();
    this.#superviseUntilQuiet();
  }

  #superviseUntilQuiet(): void {
    if (this.#timer) return;
    const { words } = this.table;
    const begunBefore = Atomics.load(words, word.begun);
    const doneBefore = Atomics.load(words, word.done);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#stopped) return;
      this.#tell();
      const begun = Atomics.load(words, word.begun);
      const done = Atomics.load(words, word.done);
      // It takes up one event at a time, so this one has lasted as long as this timer.
      if (begun !== done && begun === begunBefore && done === doneBefore) {
        this.#fail(`the worker got nowhere for ${this.#stallMs} ms`);
        return;
      }
      Atomics.store(words, word.armed, 1);
      // What began before that would go unnoticed.
      if (Atomics.load(words, word.begun) !== begun || begun !== done) this.#superviseUntilQuiet();
    }, this.#stallMs);
    this.#timer.unref();
  }

  #tell(): void {
    const { starts, upTo } = this.table.startsSince(this.#told);
    this.#told = upTo;
    for (const { pid, slot, errno } of starts) {
      const app = this.#keyOf[slot];
      if (app !== undefined) this.#heard.started(app, pid, errno);
    }
  }
}

function sameFile(path: string, key: string): boolean {
  const file: FileIdentity | undefined = identityOfPath(path);
  return file !== undefined && identityKey(file) === key;
}
