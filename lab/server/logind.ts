import { existsSync, mkdirSync } from 'node:fs';
import process from 'node:process';
import { BusService } from '../../packages/host/testkit/bus-service.ts';
import type { Host } from '../host.ts';
import type { Running } from '../running.ts';
import { startBus, systemBus } from './message-bus.ts';

const program = '/lib/systemd/systemd-logind';

/** Somebody who is signed in on that host. */
export interface SignedIn {
  /** The program that the session was opened for ends, and PAM closes it. */
  signOut(): Promise<void>;
}

/** Why this machine cannot have a logind of its own in the lab. */
export const noLogind =
  existsSync(program) && existsSync('/usr/bin/dbus-daemon') ? false : 'not on this machine: systemd-logind or dbus-daemon';

const manager = 'org.freedesktop.systemd1.Manager';

/**
 * A system bus with Debian's own systemd-logind on one host. What logind asks systemd for, to start `systemd-suspend.service`, a program of
 * ours takes: the machine under the lab shall not sleep. So the host is "asleep" from {@link suspend} until {@link wake}, for whoever hears
 * logind; its processes run on.
 */
export class Logind {
  readonly #host: Host;
  readonly #bus: Running;
  readonly #logind: Running;
  readonly #systemd: BusService;
  #started = Promise.withResolvers<void>();

  static async start(host: Host): Promise<Logind> {
    for (const part of [
      'systemd/sessions',
      'systemd/users',
      'systemd/seats',
      'systemd/machines',
      'systemd/inhibit',
      'systemd/shutdown',
      'user',
      'udev',
    ])
      mkdirSync(host.file(`/run/${part}`), { recursive: true });
    const bus = await startBus(host);
    let onStart = (): void => undefined;
    let jobs = 1;
    const systemd = await BusService.open(host.file(systemBus), ['org.freedesktop.systemd1'], (member, values) => {
      if (member === 'Get') return ['v', [{ signature: 's', value: values[1] === 'LoadState' ? 'loaded' : 'inactive' }]];
      const unit = typeof values[0] === 'string' ? values[0] : '';
      // Scopes of sessions, and services of users; they are "done" at once.
      if (member === 'StartTransientUnit' || ((member === 'StartUnit' || member === 'StopUnit') && unit.startsWith('user'))) {
        const job = ++jobs;
        const path = `/org/freedesktop/systemd1/job/${job}`;
        setImmediate(() => systemd.emit('/org/freedesktop/systemd1', manager, 'JobRemoved', 'uoss', [job, path, unit, 'done']));
        return ['o', [path]];
      }
      if (member === 'StartUnit') {
        onStart();
        return ['o', ['/org/freedesktop/systemd1/job/1']];
      }
      return ['', []];
    });
    // What the kernel says it can.
    await host.exec(['mount', '-t', 'tmpfs', 'power', '/sys/power']);
    await host.exec(['sh', '-c', 'echo mem freeze > /sys/power/state; echo "[deep]" > /sys/power/mem_sleep']);
    const logind = host.spawn([program], { name: 'logind', env: { ...process.env, SYSTEMD_LOG_TARGET: 'console' } });
    await logind.saysWithin(/New seat/);
    const self = new Logind(host, bus, logind, systemd);
    onStart = () => self.#started.resolve();
    return self;
  }

  private constructor(host: Host, bus: Running, logind: Running, systemd: BusService) {
    this.#host = host;
    this.#bus = bus;
    this.#logind = logind;
    this.#systemd = systemd;
  }

  /** As `systemctl suspend` does; resolves when the machine would stop now. */
  async suspend(): Promise<void> {
    this.#started = Promise.withResolvers();
    await this.#host.exec([
      'busctl',
      '--system',
      'call',
      'org.freedesktop.login1',
      '/org/freedesktop/login1',
      'org.freedesktop.login1.Manager',
      'Suspend',
      'b',
      'false',
    ]);
    await this.#started.promise;
  }

  /** systemd-suspend.service has ended: the machine runs again. */
  wake(): void {
    const job = [1, '/org/freedesktop/systemd1/job/1', 'suspend.target', 'done'];
    this.#systemd.emit('/org/freedesktop/systemd1', manager, 'JobRemoved', 'uoss', job);
  }

  /** A session by PAM, as a terminal or sshd opens one; the user must be in the host's `/etc/passwd`. */
  async signIn(user: string, kind: 'user' | 'greeter' | 'background' = 'user'): Promise<SignedIn> {
    this.#host.write(
      '/etc/pam.d/runuser',
      [
        'auth sufficient pam_permit.so',
        'account sufficient pam_permit.so',
        `session required pam_systemd.so class=${kind}`,
        '',
      ].join('\n'),
    );
    const program = this.#host.spawn(['runuser', '-u', user, '--', 'sh', '-c', 'echo "signed in"; read line'], {
      name: `session-of-${user}`,
      stdin: true,
    });
    await program.saysWithin(/signed in/);
    return {
      signOut: async () => {
        program.stdin?.end();
        await program.exited;
      },
    };
  }

  async stop(): Promise<void> {
    this.#systemd.close();
    await this.#logind.stop('SIGTERM');
    await this.#bus.stop('SIGTERM');
  }
}
