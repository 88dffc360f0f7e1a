import { readdirSync, watch as watchDirectory, type FSWatcher } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import process from 'node:process';
import { Worker } from 'node:worker_threads';
import type { AppKey } from '@aovpn/policy';
import { openMembers, type AppCgroup, type AppCgroups } from '../cgroup/app-cgroups.ts';
import { filterError, messageOf } from '../filter/filter-error.ts';
import { markExecutable, openExecPermission, unmarkExecutable } from '../sys/fanotify.ts';
import { identityKey, identityOfPath, type FileIdentity } from '../sys/file-identity.ts';
import {
  check,
  closeDescriptor,
  constant,
  drainEventfd,
  errnoName,
  libc,
  openEventfd,
  SysError,
  wakeEventfd,
  watchReadable,
  type Watch,
} from '../sys/index.ts';
import { anyName, resolvePaths, type Executable } from './executable.ts';
import { ExecTable, maxFiles, slotFlag, slots, word, type TableFile } from './exec-table.ts';
import type { ExecWorkerSetup } from './exec-responder.ts';

/** An app whose starts are watched for. */
export interface WatchedApp {
  readonly key: AppKey;
  /** Absolute paths; `*` stands for one path component or a part of it. */
  readonly executables: readonly string[];
  /** Starts are told at once. */
  readonly tell?: boolean;
}

export type ExecWatchEvent =
  /** Started, and in its cgroup unless `problem` (an errno's name) says why not: then filters refuse it. */
  | { readonly kind: 'started'; readonly app: AppKey; readonly pid: number; readonly problem?: string }
  /** Files of an app came, went or were replaced, as package upgrades do; they are watched already. */
  | { readonly kind: 'files'; readonly report: WatchReport }
  /** Starts are not seen now; it goes on by itself after `retryMs` unless that is absent. */
  | { readonly kind: 'stopped'; readonly why: string; readonly retryMs?: number }
  | { readonly kind: 'resumed'; readonly report: WatchReport };

export interface WatchReport {
  /** Files that are watched now. */
  readonly files: readonly { readonly app: AppKey; readonly path: string }[];
  /** Paths without a file; it is watched as soon as it appears. */
  readonly missing: readonly { readonly app: AppKey; readonly path: string }[];
  /** Paths that are not believed (somebody else could lead them elsewhere), are too many, or cannot be watched; with the reason. */
  readonly refused: readonly { readonly app: AppKey; readonly path: string; readonly why: string }[];
  /** A file that two apps claim: it is the first one's. */
  readonly contested: readonly { readonly app: AppKey; readonly by: AppKey; readonly path: string }[];
  /**
   * Processes that ran before anybody looked: in their cgroup from now on, but sockets that they have already stay refused. They should
   * be started again.
   */
  readonly late: readonly { readonly app: AppKey; readonly pid: number }[];
}

/**
 * Puts every process into its app's cgroup before its first instruction: the kernel asks us before it executes a watched file
 * (fanotify FAN_OPEN_EXEC_PERM), a worker thread moves the process and answers. The answer is always yes, and when we cannot answer the
 * kernel says yes itself: no program ever waits for us longer than twice `stallMs`. Programs that are not watched are none of our business and
 * pay nothing.
 */
export interface ExecWatch {
  /**
   * Replaces the set of apps, new ones before old ones go. Their cgroups must exist. Idempotent; also to be called when a cgroup was
   * made anew. @throws {HostError} AOV-HOST-601, AOV-HOST-602
   */
  setApps(apps: readonly WatchedApp[]): WatchReport;
  /**
   * Starts of the app wait until it is let go, `maxHoldMs` at the longest. Not for what this process starts itself: Node's `spawn` returns
   * when `execve` is through, and this thread sleeps until then.
   */
  hold(app: AppKey, on: boolean): void;
  /** Whether starts are seen now. */
  readonly watching: boolean;
  close(): Promise<void>;
}

export interface ExecWatchOptions {
  readonly cgroups: AppCgroups;
  readonly onEvent: (event: ExecWatchEvent) => void;
  /** 5000 unless told otherwise. */
  readonly maxHoldMs?: number;
  /** The worker has so much time for one event; 500 unless told otherwise. */
  readonly stallMs?: number;
}

/** Between a failure and the next try; doubled each time. */
const firstRetryMs = 100;
const retries = 6;
/** After so much time without a failure the next one counts as the first. */
const goodMs = 60_000;

/** Every open watch, to be stopped when the process exits: a worker asleep in a system call would keep it from doing so for ever. */
const openWatches = new Set<{ stopNow(): void }>();
let watchingExit = false;

/** @throws {HostError} AOV-HOST-602 */
export function openExecWatch(options: ExecWatchOptions): Promise<ExecWatch> {
  return FanotifyExecWatch.open(options);
}

/** @internal Exported for tests of what happens when the worker goes wrong. */
export class FanotifyExecWatch implements ExecWatch {
  readonly #options: ExecWatchOptions;
  readonly #stallMs: number;
  #engine: Engine | undefined;
  #apps: readonly WatchedApp[] = [];
  #directories = new Map<string, { readonly names: ReadonlySet<string>; readonly watcher: FSWatcher }>();
  #files = '';
  #failures = 0;
  #lastFailureAt = 0;
  #retry: NodeJS.Timeout | undefined;
  #refreshSoon: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: ExecWatchOptions) {
    this.#options = options;
    this.#stallMs = options.stallMs ?? 500;
  }

  static async open(options: ExecWatchOptions): Promise<FanotifyExecWatch> {
    const watch = new FanotifyExecWatch(options);
    await watch.#start();
    return watch;
  }

  get watching(): boolean {
    return this.#engine !== undefined;
  }

  /** For tests: the shared words of the worker that runs now. */
  get words(): Int32Array<SharedArrayBuffer> | undefined {
    return this.#engine?.table.words;
  }

  setApps(apps: readonly WatchedApp[]): WatchReport {
    this.#apps = apps;
    return this.#refresh();
  }

  hold(app: AppKey, on: boolean): void {
    this.#engine?.hold(app, on);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#refreshSoon);
    for (const { watcher } of this.#directories.values()) watcher.close();
    this.#directories.clear();
    const engine = this.#engine;
    this.#engine = undefined;
    await engine?.stop();
  }

  async #start(): Promise<void> {
    const engine: Engine = new Engine(this.#options.maxHoldMs ?? 5000, this.#stallMs, {
      started: (app, pid, errno) =>
        this.#options.onEvent({ kind: 'started', app, pid, ...(errno === 0 ? {} : { problem: errnoName(errno) }) }),
      failed: (why) => this.#failed(engine, why),
    });
    this.#engine = engine;
    await engine.ready();
  }

  #failed(engine: Engine, why: string): void {
    if (this.#engine !== engine || this.#closed) return;
    this.#engine = undefined;
    const now = Date.now();
    this.#failures = now - this.#lastFailureAt > goodMs ? 1 : this.#failures + 1;
    this.#lastFailureAt = now;
    void engine.stop();
    if (this.#failures > retries) {
      this.#options.onEvent({ kind: 'stopped', why });
      return;
    }
    const retryMs = firstRetryMs * 2 ** (this.#failures - 1);
    this.#retry = setTimeout(() => void this.#resume(), retryMs);
    this.#options.onEvent({ kind: 'stopped', why, retryMs });
  }

  async #resume(): Promise<void> {
    try {
      await this.#start();
      const report = this.#refresh();
      this.#options.onEvent({ kind: 'resumed', report });
    } catch (error) {
      const engine = this.#engine;
      if (engine) this.#failed(engine, messageOf(error));
    }
  }

  #refresh(): WatchReport {
    const { cgroups } = this.#options;
    const files: { app: AppKey; path: string }[] = [];
    const missing: { app: AppKey; path: string }[] = [];
    const refused: { app: AppKey; path: string; why: string }[] = [];
    const contested: { app: AppKey; by: AppKey; path: string }[] = [];
    const byFile = new Map<string, { readonly app: WatchedApp; readonly executable: Executable }>();
    const directories = new Map<string, Set<string>>();
    for (const app of this.#apps) {
      const resolved = resolvePaths(app.executables);
      for (const [directory, names] of resolved.directories) {
        const known = directories.get(directory) ?? new Set();
        for (const name of names) known.add(name);
        directories.set(directory, known);
      }
      for (const path of resolved.missing) missing.push({ app: app.key, path });
      for (const path of resolved.cut) refused.push({ app: app.key, path, why: 'stands for too many files' });
      for (const path of resolved.distrusted)
        refused.push({ app: app.key, path, why: 'a directory on the way belongs to somebody else than the file' });
      for (const executable of resolved.executables) {
        const key = identityKey(executable.file);
        const other = byFile.get(key)?.app;
        if (other && other.key !== app.key) contested.push({ app: app.key, by: other.key, path: executable.path });
        else if (!other && byFile.size === maxFiles) refused.push({ app: app.key, path: executable.path, why: 'too many files' });
        else if (!other) byFile.set(key, { app, executable });
      }
    }
    const found = this.#apps.flatMap(({ key, tell }) => {
      const cgroup = cgroups.find(key);
      return cgroup ? [{ cgroup, tell: tell ?? false }] : [];
    });
    // Heeded before looked at: a file replaced in between is noticed.
    this.#heed(directories);
    const problems = this.#engine?.setFiles(
      found,
      [...byFile.values()].map(({ app, executable }) => ({ app: app.key, executable })),
    );
    for (const { app, executable } of byFile.values()) {
      const why = problems?.get(executable.path);
      if (why !== undefined) refused.push({ app: app.key, path: executable.path, why });
      else files.push({ app: app.key, path: executable.path });
    }
    this.#files = [...byFile].map(([key, { app }]) => `${app.key} ${key}`).join('\n');
    const late = this.#moveRunning(byFile);
    return { files, missing, refused, contested, late };
  }

  /** What runs already. Marks are set by now, so whatever starts from here on is the worker's. */
  #moveRunning(byFile: ReadonlyMap<string, { readonly app: WatchedApp }>): { app: AppKey; pid: number }[] {
    const { cgroups } = this.#options;
    const late: { app: AppKey; pid: number }[] = [];
    if (byFile.size === 0) return late;
    // A child made by a process before that was moved shows up in the next round.
    for (let round = 0; round < 5; round++) {
      let moved = 0;
      for (const name of readdirSync('/proc')) {
        const pid = Number(name);
        if (!Number.isInteger(pid)) continue;
        const file = identityOfPath(`/proc/${pid}/exe`);
        const app = file && byFile.get(identityKey(file))?.app;
        if (!app || cgroups.appOf(pid) !== undefined || !cgroups.find(app.key) || !cgroups.move(pid, app.key)) continue;
        moved++;
        late.push({ app: app.key, pid });
      }
      if (moved === 0) break;
    }
    return late;
  }

  #heed(wanted: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [directory, { names, watcher }] of this.#directories) {
      const now = wanted.get(directory);
      if (now && now.size === names.size && [...now].every((name) => names.has(name))) continue;
      watcher.close();
      this.#directories.delete(directory);
    }
    for (const [directory, names] of wanted) {
      if (this.#directories.has(directory)) continue;
      try {
        const watcher = watchDirectory(directory, { persistent: false }, (_event, name) => {
          if (name === null || names.has(name) || names.has(anyName)) this.#stir();
        });
        // The directory itself went: its parent is watched as well and tells.
        watcher.on('error', () => watcher.close());
        this.#directories.set(directory, { names, watcher });
      } catch {
        // It went meanwhile; what leads there is watched.
      }
    }
  }

  /** At once for the first change, and once more for those that follow within a moment. */
  #stir(): void {
    if (this.#closed || this.#refreshSoon) return;
    this.#refreshSoon = setTimeout(() => {
      this.#refreshSoon = undefined;
      this.#look();
    }, 20);
    this.#look();
  }

  #look(): void {
    if (this.#closed) return;
    const before = this.#files;
    try {
      const report = this.#refresh();
      if (this.#files !== before) this.#options.onEvent({ kind: 'files', report });
    } catch (error) {
      this.#options.onEvent({ kind: 'stopped', why: messageOf(error) });
    }
  }
}

interface Heard {
  started(app: AppKey, pid: number, errno: number): void;
  failed(why: string): void;
}

/** One fanotify group with its worker. It is never repaired: when something goes wrong it is thrown away, and the kernel allows all. */
class Engine {
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
    const cache = getCompileCacheDir();
    this.#worker = new Worker(new URL('./exec-worker.ts', import.meta.url), {
      workerData: setup,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
      // No flags of the main program: some, such as --input-type, are none of a worker's business.
      execArgv: [],
      env: cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) },
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
