import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandFailed, inCheckout, type ExecResult, type Host } from './host.ts';
import { cgroupArguments } from './app.ts';
import { installed, repository } from './product.ts';
import { firstChild, type Running } from './running.ts';

/** Wants of these come from the machine; none of what they start belongs into a lab. */
const emptied = [
  'sysinit.target.wants',
  'local-fs.target.wants',
  'sockets.target.wants',
  'timers.target.wants',
  'multi-user.target.wants',
];

/**
 * Debian's systemd as the first process of a host: a pid namespace, a cgroup namespace and mounts of its own on the host's network. What it starts is journald and
 * the product's units, installed as a package would. Closing it ends all of it, cgroups included.
 */
export class Systemd implements AsyncDisposable {
  readonly #running: Running;
  readonly #cgroups: readonly string[];
  #init: number | undefined;

  private constructor(running: Running, cgroups: readonly string[]) {
    this.#running = running;
    this.#cgroups = cgroups;
  }

  /** @param wants units that are started at boot; `dropIns` are files of `UNIT.d/lab.conf`. */
  static async boot(host: Host, wants: readonly string[], dropIns: Readonly<Record<string, string>> = {}): Promise<Systemd> {
    for (const unit of readdirSync(repository('packages/daemon/systemd')))
      host.write(`/etc/systemd/system/${unit}`, readFileSync(repository('packages/daemon/systemd', unit)));
    for (const [unit, text] of Object.entries(dropIns)) host.write(`/etc/systemd/system/${unit}.d/lab.conf`, text);
    for (const target of ['sysinit', 'basic']) host.write(`/etc/systemd/system/${target}.target`, '[Unit]\nDescription=Lab\n');
    host.write(
      '/etc/systemd/system/lab.target',
      `[Unit]\nDescription=Lab\nWants=systemd-journald.service ${wants.join(' ')}\nAfter=systemd-journald.service\nAllowIsolate=yes\n`,
    );
    for (const unit of ['systemd-tmpfiles-setup', 'systemd-udevd']) {
      mkdirSync(host.file('/etc/systemd/system'), { recursive: true });
      symlinkSync('/dev/null', host.file(`/etc/systemd/system/${unit}.service`));
    }
    host.write('/etc/machine-id', '0123456789abcdef0123456789abcdef\n');
    host.write('/etc/systemd/journald.conf', '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n');
    installPrograms(host);
    const name = `aovpn-lab-${process.pid}-${host.holder}`;
    // What follows processes around; other controllers of cgroup v1 are left alone.
    const hierarchies = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, , type, options]) => type === 'cgroup2' || (type === 'cgroup' && options?.includes('name=systemd')));
    const cgroups = hierarchies.map(([, place]) => path.join(place!, name));
    for (const directory of cgroups) mkdirSync(directory, { recursive: true });
    const script = [
      ...cgroups.map((directory) => `echo $$ > ${directory}/cgroup.procs`),
      'exec unshare --pid --fork --kill-child=KILL --mount --cgroup --ipc sh -euc "$1" sh',
    ].join('\n');
    const inner = [
      'mount --make-rprivate /',
      'mount -t proc proc /proc',
      'mount -t overlay overlay -o lowerdir=/run/programs:/usr /usr',
      // From the innermost to the outermost: what is mounted later hides what was there.
      `awk '$3 == "cgroup" && $4 !~ /name=systemd/ { print $2 }' /proc/mounts | while read place; do umount $place; done`,
      // Anew, so that the root of each is what belongs to this one.
      ...hierarchies.map(
        ([, place, type]) =>
          `umount -l ${place}; mount ${type === 'cgroup2' ? '-t cgroup2 cgroup2' : '-t cgroup -o none,name=systemd cgroup'} ${place}`,
      ),
      ...['/usr/lib/systemd/system-generators', ...emptied.map((wanted) => `/usr/lib/systemd/system/${wanted}`)].map(
        (place) => `[ ! -d ${place} ] || mount -t tmpfs tmpfs ${place}`,
      ),
      'exec env -i container=lab PATH=/usr/bin:/bin:/usr/sbin:/sbin /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=0',
    ].join('\n');
    const running = host.spawn(['sh', '-euc', script, 'sh', inner], { name: 'systemd' });
    const systemd = new Systemd(running, cgroups);
    try {
      await systemd.#started();
    } catch (error) {
      await systemd[Symbol.asyncDispose]();
      throw error;
    }
    return systemd;
  }

  /** Runs a command where its services are; never throws for its exit status. */
  run(argv: readonly string[]): Promise<ExecResult> {
    // From this machine's pid namespace, in which the number is known: the host's own commands are in another one.
    const enter = [`--target=${this.#init!}`, '--net', '--uts', '--mount', '--pid', '--cgroup', '--ipc', '--', ...argv];
    const { promise, resolve } = Promise.withResolvers<ExecResult>();
    execFile(
      'nsenter',
      enter,
      { timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 1 << 26, cwd: '/' },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ status, stdout, stderr, timedOut: error?.killed ?? false });
      },
    );
    return promise;
  }

  /** @throws CommandFailed on any other status than 0 */
  async exec(argv: readonly string[]): Promise<string> {
    const result = await this.run(argv);
    if (result.status !== 0) throw new CommandFailed('systemd', argv, result);
    return result.stdout;
  }

  /** A property of a unit, as `systemctl show` prints it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.exec(['systemctl', 'show', '--value', `--property=${name}`, unit])).trim();
  }

  /**
   * Waits until a unit that had this main process has another one. Its properties are then those of the new one: until systemd starts it, they are the last
   * words of the old one.
   */
  async startedAnew(unit: string, before: string): Promise<void> {
    await this.until(unit, 'MainPID', new RegExp(`^(?!(0|${before})$)`));
  }

  /** Waits until a property matches; fails with the unit's status. */
  async until(unit: string, name: string, value: RegExp, timeoutMs = 60_000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = await this.property(unit, name);
      if (value.test(found)) return found;
      if (performance.now() > deadline) {
        const { stdout } = await this.run(['systemctl', 'status', '--no-pager', '--full', '--lines=40', unit]);
        throw new Error(
          `${name} of ${unit} is "${found}", not ${String(value)}:\n${stdout}\n${this.#running.output().slice(-3000)}`,
        );
      }
      await sleep(50);
    }
  }

  /** Entries of the journal that match, oldest first. */
  async journal(...match: readonly string[]): Promise<readonly Record<string, string>[]> {
    const said = await this.exec(['journalctl', '--no-pager', '--output=json', '--all', ...match]);
    return said
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, string>);
  }

  async #started(): Promise<void> {
    let pid = await this.#running.pid();
    for (let turn = 0; turn < 1500; turn++) {
      if (this.#running.exit) break;
      // sh, which becomes unshare, and its child, which becomes systemd.
      pid ??= await this.#running.pid();
      const child = firstChild(pid);
      if (child !== undefined && readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'systemd') {
        this.#init = child;
        // Before anybody listens it says that systemd is "offline", or that it does not know.
        const { stdout } = await this.run(['systemctl', 'is-system-running']);
        if (/^(initializing|starting|running|degraded)$/.test(stdout.trim())) return;
      }
      await sleep(20);
    }
    throw new Error(`systemd does not start:\n${this.#running.output()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop('SIGKILL');
    // The kernel ends what was in its pid namespace; the last of it may still be on its way.
    for (const directory of this.#cgroups) for (let turn = 0; !removeTree(directory) && turn < 250; turn++) await sleep(20);
  }
}

/** `/usr/bin/aovpnd` and `/usr/bin/aovpn`, as a package would have them, with the release and this Node behind them. */
function installPrograms(host: Host): void {
  const daemon = [...installed('aovpnd').map(inCheckout), ...cgroupArguments(host)];
  const command = installed('aovpn').map(inCheckout);
  host.write('/run/programs/bin/aovpnd', `#!/bin/sh\nexec ${daemon.join(' ')} "$@"\n`, 0o755);
  host.write('/run/programs/bin/aovpn', `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`, 0o755);
}

function removeTree(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) removeTree(path.join(directory, entry.name));
    rmdirSync(directory);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
