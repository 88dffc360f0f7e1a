import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hangMs, patience } from './patience.ts';
import { firstChild, Running, saysReady } from './running.ts';

/** A command that failed, with all it said. */
export class CommandFailed extends Error {
  readonly #result: ExecResult;

  constructor(host: string, argv: readonly string[], result: ExecResult) {
    super(
      `${host}: ${argv.join(' ')}: ${result.timedOut ? 'out of time' : `status ${result.status}`}\n${result.stdout}${result.stderr}`,
    );
    this.name = 'CommandFailed';
    this.#result = result;
  }

  get result(): ExecResult {
    return this.#result;
  }
}

export interface ExecResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface ExecOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** Default 20 s; then SIGKILL. */
  readonly timeoutMs?: number;
}

const repositoryRoot = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const checkout = '/run/checkout';

/** Where any user of a host finds a file of this repository; a path outside of it stays as it is. */
export function inCheckout(file: string): string {
  return file.startsWith(`${repositoryRoot}/`) ? checkout + file.slice(repositoryRoot.length) : file;
}

/**
 * One machine of a world: its own network, mounts (`/etc`, `/run`, `/var/lib`) and host name. `/sys` stays as it is, so cgroup paths hold.
 * All machines of a world share one pid namespace: when its first process ends, the kernel ends every other one.
 */
export class Host {
  readonly name: string;
  /** Private files; `etc`, `run` and `var-lib` below it are what the host sees as `/etc`, `/run` and `/var/lib`. */
  readonly directory: string;
  readonly #holder: number;
  readonly #wrapper: ChildProcess;
  #started = 0;

  private constructor(name: string, directory: string, holder: number, wrapper: ChildProcess) {
    this.name = name;
    this.directory = directory;
    this.#holder = holder;
    this.#wrapper = wrapper;
  }

  /** @param init pid of the first process of the world, as this machine numbers it. */
  static async create(name: string, directory: string, init: number, setUp: readonly string[]): Promise<Host> {
    for (const part of ['run', 'var-lib', 'log', 'home']) mkdirSync(path.join(directory, part), { recursive: true });
    mkdirSync(path.join(directory, 'etc'));
    writeFileSync(path.join(directory, 'etc/resolv.conf'), '# nobody answers here\n');
    writeFileSync(path.join(directory, 'etc/hosts'), `127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${name}\n`);
    const script = [
      'mount --make-rprivate /',
      // Only what programs need: secrets of this machine and a VPN configuration it may have stay out.
      `cd /etc && cp -a --parents $(ls -d ${etcParts} 2>/dev/null) "$1/etc" && cd /`,
      `mount --bind "$1/etc" /etc`,
      `mount --bind "$1/run" /run`,
      // The checkout may lie where only root can read it, in /root for example; here every user finds it.
      `mkdir ${checkout} && mount --bind "$3" ${checkout} && mount -o remount,bind,ro ${checkout}`,
      `mount --bind "$1/var-lib" /var/lib`,
      'hostname "$2"',
      'ip link set lo up',
      'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad',
      ...setUp,
      'echo ready',
      'exec sleep infinity >/dev/null',
    ].join('\n');
    const wrapper = spawn(
      'nsenter',
      [
        `--target=${init}`,
        '--mount',
        '--pid',
        '--',
        'unshare',
        '--net',
        '--mount',
        '--uts',
        'sh',
        '-euc',
        script,
        'sh',
        directory,
        name,
        repositoryRoot,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await saysReady(wrapper, `host ${name}`);
    const holder = firstChild(wrapper.pid);
    if (holder === undefined) throw new Error(`host ${name} vanished while it was made`);
    wrapper.stdout.destroy();
    wrapper.unref();
    return new Host(name, directory, holder, wrapper);
  }

  /** The process that holds the namespaces, as this machine numbers it: for `ip link … netns PID`. */
  get holder(): number {
    return this.#holder;
  }

  /** True while the namespaces exist. */
  get alive(): boolean {
    return this.#wrapper.exitCode === null && this.#wrapper.signalCode === null;
  }

  /** What `nsenter` needs to put a command here. */
  enter(argv: readonly string[]): string[] {
    return [
      'nsenter',
      `--target=${this.#holder}`,
      '--net',
      '--mount',
      '--uts',
      '--pid',
      `--wdns=${process.cwd()}`,
      '--',
      ...argv,
    ];
  }

  /**
   * What puts a person's shell here. It stays out of the world's pid namespace, where a shell cannot have the terminal to itself,
   * and sees the processes of this machine instead.
   */
  enterShell(argv: readonly string[]): string[] {
    const own = ['unshare', '--mount', 'sh', '-euc', 'mount -t proc proc /proc; exec "$@"', 'sh'];
    return ['nsenter', `--target=${this.#holder}`, '--net', '--mount', '--uts', '--wdns=/', '--', ...own, ...argv];
  }

  /** Starts a process that stays. @param options.pipes stdin and stdout are pipes (stderr still goes to a file). */
  spawn(
    argv: readonly string[],
    options: {
      readonly name?: string;
      readonly env?: NodeJS.ProcessEnv;
      readonly pipes?: boolean;
      readonly stdin?: boolean;
    } = {},
  ): Running {
    const name = options.name ?? path.basename(argv[0]!);
    const files = path.join(this.directory, 'log', `${String(++this.#started).padStart(3, '0')}-${name}`);
    return Running.start(`${this.name}:${name}`, this.enter(argv), files, options);
  }

  /** Runs a command to its end; never throws for its exit status. */
  async run(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const [program, ...args] = this.enter(argv);
    const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'pipe'], env: options.env ?? process.env });
    const texts = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (chunk: string) => (texts[stream] += chunk));
    }
    child.stdin.on('error', () => undefined).end(options.input ?? '');
    let timedOut = false;
    const timer = setTimeout(
      () => {
        timedOut = true;
        const inner = firstChild(child.pid);
        if (inner !== undefined) process.kill(inner, 'SIGKILL');
        child.kill('SIGKILL');
      },
      options.timeoutMs === undefined ? hangMs : options.timeoutMs * patience,
    );
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code));
    }).finally(() => clearTimeout(timer));
    return { status, ...texts, timedOut };
  }

  /** Runs a command to its end and returns its standard output. @throws CommandFailed on any other status than 0. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
    const result = await this.run(argv, options);
    if (result.status !== 0) throw new CommandFailed(this.name, argv, result);
    return result.stdout;
  }

  /** Many `ip` commands in one process; those that begin with `-6 ` in a second one. */
  async ip(...lines: readonly string[]): Promise<void> {
    const six = lines.filter((line) => line.startsWith('-6 ')).map((line) => line.slice(3));
    const others = lines.filter((line) => !line.startsWith('-6 '));
    if (others.length > 0) await this.exec(['ip', '-batch', '-'], { input: `${others.join('\n')}\n` });
    if (six.length > 0) await this.exec(['ip', '-6', '-batch', '-'], { input: `${six.join('\n')}\n` });
  }

  /** The file that the host sees at this absolute path, as this machine sees it. Only `/etc`, `/run` and `/var/lib` are private. */
  file(absolute: string): string {
    for (const [seen, own] of [
      ['/etc/', 'etc/'],
      ['/run/', 'run/'],
      ['/var/lib/', 'var-lib/'],
    ] as const) {
      if (absolute.startsWith(seen)) return path.join(this.directory, own, absolute.slice(seen.length));
    }
    throw new Error(`${absolute} is not private to ${this.name}`);
  }

  write(absolute: string, content: string | Uint8Array, mode = 0o644): void {
    const file = this.file(absolute);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content, { mode });
  }
}

const etcParts =
  'passwd group nsswitch.conf host.conf gai.conf services protocols localtime os-release debian_version login.defs ' +
  'ld.so.cache ld.so.conf ld.so.conf.d alternatives iproute2 ssl/openssl.cnf ssl/certs/ca-certificates.crt terminfo bash.bashrc';
