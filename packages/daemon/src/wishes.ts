import type { Daemon } from './daemon.ts';
import { DaemonError } from './daemon-error.ts';
import { userId, userText } from './user-database.ts';

/** What people ask of connections. */
export class Wishes {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  up(name: string): void {
    // Who says so where nobody can be asked means: with what there is.
    if (!this.#daemon.attendance.isAttended(name)) this.#daemon.candidates.keepsakes(name)?.passwords.tryAgain();
    this.#daemon.candidates.askForChoice(name);
    this.#daemon.loop.say({ kind: 'up', name });
  }

  /** `by`: the user who says so. @throws {DaemonError} AOV-DAEMON-540 */
  down(name: string, by: number): void {
    this.refuseWhileLocked(name, 'AOV-DAEMON-540');
    this.#daemon.prompts.withdraw(name);
    this.#daemon.candidates.keepsakes(name)?.passwords.forget();
    this.#daemon.tickets.forget(name);
    const { downEnds } = this.#daemon.settings.current.of(name);
    const ends = typeof downEnds === 'number' ? new Date(Date.now() + downEnds).toISOString() : downEnds;
    this.#daemon.loop.say({ kind: 'down', name, hold: { by: userText(by), since: new Date().toISOString(), ends } });
  }

  /** @throws {DaemonError} AOV-DAEMON-512, AOV-DAEMON-550 */
  rekey(name: string): void {
    if (!this.#daemon.hasConnection(name)) throw new DaemonError('AOV-DAEMON-512', name);
    const tunnel = this.#daemon.tunnels.get(name);
    if (!tunnel?.network) throw new DaemonError('AOV-DAEMON-550', name);
    tunnel.rekey();
  }

  /** @throws {DaemonError} with this code, when the profile has LockDown that root has not released */
  refuseWhileLocked(name: string, code: 'AOV-DAEMON-540' | 'AOV-DAEMON-541'): void {
    const stored = this.#daemon.store.get(name);
    if (stored && this.#daemon.lockdown.isLocking(stored.intent)) throw new DaemonError(code, name);
  }

  /** Root's way out of LockDown (`released`), or back. @throws {DaemonError} AOV-DAEMON-516, AOV-DAEMON-543 */
  async setLockdown(name: string, released: boolean, by: string): Promise<void> {
    const stored = this.#daemon.store.get(name);
    if (!stored?.intent.lockdown) throw new DaemonError('AOV-DAEMON-543', name);
    if (released) await this.#daemon.lockdown.release(name, by);
    else await this.#daemon.lockdown.engage(name, by);
    // What the connection may do first, so that nothing is held back that is not blocked, nor blocked that is held back.
    await this.#daemon.intake.load(stored, true);
    await this.#daemon.rescan();
    await this.#daemon.plans.refresh();
  }

  /** Whether a user besides root may answer prompts. */
  mayAnswer(uid: number): boolean {
    return this.#daemon.settings.current.promptUsers.some((user) => userId(user) === uid);
  }
}
