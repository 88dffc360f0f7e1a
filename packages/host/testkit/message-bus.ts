import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Why there is no bus to be had on this machine. */
export const noBus = existsSync('/usr/bin/dbus-daemon') ? false : 'not on this machine: dbus-daemon';

/** Debian's dbus-daemon with a bus of the shape of the system bus in a directory of its own, on which everybody may own every name. */
export class MessageBus {
  readonly socket: string;
  readonly #place = mkdtempSync(path.join(tmpdir(), 'aovpn-bus-'));
  #daemon: ChildProcess | undefined;

  constructor() {
    this.socket = path.join(this.#place, 'bus');
    const allowed = ['send_type', 'receive_type'].flatMap((way) =>
      ['method_call', 'signal', 'method_return', 'error'].map((type) => `<allow ${way}="${type}"/>`),
    );
    writeFileSync(
      path.join(this.#place, 'bus.conf'),
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=${this.socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/>${allowed.join('')}</policy></busconfig>`,
    );
  }

  async start(): Promise<void> {
    const daemon = spawn('dbus-daemon', [`--config-file=${this.#place}/bus.conf`, '--nofork', '--print-address=1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#daemon = daemon;
    await once(daemon.stdout, 'data');
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon;
    if (!daemon) return;
    this.#daemon = undefined;
    const ended = once(daemon, 'exit');
    daemon.kill();
    await ended;
    rmSync(this.socket, { force: true });
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#place, { recursive: true, force: true });
  }
}
