import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { hangMs, patience } from './patience.ts';

/** How a process ended. */
export interface Exit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of a world; its output goes to files, so that nothing is lost and nothing blocks. */
export class Running {
  readonly name: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  readonly exited: Promise<Exit>;
  readonly stdin: ChildProcess['stdin'];
  readonly stdout: ChildProcess['stdout'];
  #exit: Exit | undefined;
  #pid: number | undefined;
  readonly #wrapper: ChildProcess;

  private constructor(name: string, files: string, wrapper: ChildProcess) {
    this.name = name;
    this.stdoutFile = `${files}.out`;
    this.stderrFile = `${files}.err`;
    this.#wrapper = wrapper;
    this.stdin = wrapper.stdin;
    this.stdout = wrapper.stdout;
    this.exited = new Promise((resolve) => {
      wrapper.once('close', (status, signal) => {
        this.#exit = { status, signal };
        resolve(this.#exit);
      });
      wrapper.once('error', (error) => {
        this.#exit = { status: 127, signal: null };
        this.spawnError = error;
        resolve(this.#exit);
      });
    });
  }

  spawnError: Error | undefined;

  /**
   * Starts `argv` below `wrapper` (nsenter and its options), which must fork exactly once.
   * @param files path without extension of the two output files.
   */
  static start(
    name: string,
    argv: readonly string[],
    files: string,
    options: { readonly env?: NodeJS.ProcessEnv; readonly pipes?: boolean; readonly stdin?: boolean } = {},
  ): Running {
    const [program, ...args] = argv;
    const out = openSync(`${files}.out`, 'a', 0o600);
    const err = openSync(`${files}.err`, 'a', 0o600);
    const stdio: StdioOptions = [options.pipes || options.stdin ? 'pipe' : 'ignore', options.pipes ? 'pipe' : out, err];
    const wrapper = spawn(program!, args, { stdio, env: options.env ?? process.env });
    closeSync(out);
    closeSync(err);
    return new Running(name, files, wrapper);
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** The pid of the process itself, not of the wrapper, as this machine numbers it; undefined once it is gone. */
  async pid(): Promise<number | undefined> {
    for (const deadline = performance.now() + hangMs; this.#pid === undefined && !this.#hasEnded();) {
      this.#pid = firstChild(this.#wrapper.pid);
      if (this.#pid !== undefined) break;
      if (performance.now() > deadline) throw new Error(`${this.name} was never started:\n${this.output()}`);
      await sleep(2);
    }
    return this.#exit === undefined ? this.#pid : undefined;
  }

  /** Also where something that it has started keeps its output open. */
  #hasEnded(): boolean {
    return this.#exit !== undefined || this.#wrapper.exitCode !== null || this.#wrapper.signalCode !== null;
  }

  /** Sends a signal to the process and waits until it is gone. @param graceMs then SIGKILL. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 5000): Promise<Exit> {
    await this.signal(signal);
    const ended = await Promise.race([this.exited, sleep(graceMs, undefined, { ref: false })]);
    if (ended) return ended;
    await this.signal('SIGKILL');
    return this.exited;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const pid = await this.pid();
    if (pid === undefined) return;
    try {
      process.kill(pid, signal);
      // nsenter stops itself when its child is stopped, and would never notice that it goes on or ends.
      if (signal !== 'SIGSTOP') this.#wrapper.kill('SIGCONT');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  output(): string {
    return readFileSync(this.stdoutFile, 'utf8') + readFileSync(this.stderrFile, 'utf8');
  }

  /**
   * Waits for a line in the output that matches; fails with the whole output when the process ends or time is up.
   * @param timeoutMs only for what may take longer than anything else: this is no measure of speed
   */
  async saysWithin(pattern: RegExp, timeoutMs = 0): Promise<string> {
    const limit = Math.max(timeoutMs * patience, hangMs);
    const deadline = performance.now() + limit;
    for (;;) {
      const found = pattern.exec(this.output());
      if (found) return found[0];
      if (this.#exit)
        throw new Error(`${this.name} ended (${JSON.stringify(this.#exit)}) before it said ${pattern}:\n${this.output()}`);
      if (performance.now() > deadline)
        throw new Error(`${this.name} did not say ${pattern} within ${limit} ms:\n${this.output()}`);
      await sleep(5);
    }
  }
}

/** Waits until a pipe-connected child has said `ready` on stdout. */
export async function saysReady(child: ChildProcess, what: string): Promise<void> {
  let said = '';
  child.stdout!.setEncoding('utf8');
  while (!said.includes('ready')) {
    const [chunk] = (await Promise.race([
      once(child.stdout!, 'data'),
      once(child, 'close').then(([status]) => {
        throw new Error(`${what} ended with status ${String(status)} before it was ready: ${said}`);
      }),
    ])) as [string];
    said += chunk;
  }
}

/** The first child of a process, as the kernel lists it. */
export function firstChild(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0];
    return first ? Number(first) : undefined;
  } catch {
    return undefined;
  }
}
