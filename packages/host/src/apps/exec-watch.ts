import { readdirSync, watch as watchDirectory, type FSWatcher } from 'node:fs';
import type { AppKey } from '@aovpn/policy';
import type { AppCgroups } from '../cgroup/app-cgroups.ts';
import { messageOf } from '../filter/filter-error.ts';
import { identityKey, identityOfPath } from '../sys/file-identity.ts';
import { errnoName } from '../sys/index.ts';
import { ExecEngine } from './exec-engine.ts';
import { maxFiles } from './exec-table.ts';
import { anyName, resolvePaths, type Executable } from './executable.ts';

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

/** @throws {HostError} AOV-HOST-602 */
export function openExecWatch(options: ExecWatchOptions): Promise<ExecWatch> {
  return FanotifyExecWatch.open(options);
}

/** @internal Exported for tests of what happens when the worker goes wrong. */
export class FanotifyExecWatch implements ExecWatch {
  readonly #options: ExecWatchOptions;
  readonly #stallMs: number;
  #engine: ExecEngine | undefined;
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
    const engine: ExecEngine = new ExecEngine(this.#options.maxHoldMs ?? 5000, this.#stallMs, {
      started: (app, pid, errno) =>
        this.#options.onEvent({ kind: 'started', app, pid, ...(errno === 0 ? {} : { problem: errnoName(errno) }) }),
      failed: (why) => this.#failed(engine, why),
    });
    this.#engine = engine;
    await engine.ready();
  }

  #failed(engine: ExecEngine, why: string): void {
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
