import process from 'node:process';
import type { CertificateReport, ConnectionStatus, DaemonStatus, LockdownStatus, ProfileStatus } from '@aovpn/api';
import { viewConnection, type Problem } from '@aovpn/supervisor';
import { certificateReport } from './certificate-report.ts';
import type { LoadedCredentials } from './credentials.ts';
import type { Daemon } from './daemon.ts';
import { DaemonError } from './daemon-error.ts';
import type { StoredProfile } from './profile-store.ts';
import { trafficStatus, withPlanProblems } from './traffic-report.ts';
import { version } from './version.ts';

/** What people see of the whole machine. */
export class Overview {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  async status(): Promise<DaemonStatus> {
    const facts = await this.#daemon.platform.network.networkFacts();
    const traffic = trafficStatus(this.#daemon.plans.plan, this.#daemon.traffic);
    const lockdown = this.lockdownStatus;
    const portal = this.#daemon.portal.status();
    const enrolments = this.#daemon.enrolments.status();
    return {
      version,
      pid: process.pid,
      startedAt: this.#daemon.startedAt.toISOString(),
      resolver: facts.resolver.owner,
      resolverTrace: facts.resolver.trace,
      platform: await this.#daemon.machine.held(),
      signedIn: this.#daemon.users.signedIn(),
      connections: await this.connections(),
      profiles: this.profiles(),
      ...(traffic && { traffic }),
      ...(lockdown && { lockdown }),
      ...(portal.state !== 'none' && { portal }),
      ...(enrolments.length > 0 && { enrolments }),
    };
  }

  /** With what the plan in force says of them. */
  profiles(): readonly ProfileStatus[] {
    return this.#daemon.store.statuses().map((profile) => withPlanProblems(profile, this.#daemon.plans.plan));
  }

  async connections(): Promise<readonly ConnectionStatus[]> {
    const names = [...this.#daemon.loop.state.connections.keys()].sort();
    const all = await Promise.all(names.map((name) => this.#daemon.board.status(name)));
    return all.filter((status) => status !== undefined);
  }

  async connection(name: string): Promise<ConnectionStatus | undefined> {
    return await this.#daemon.board.status(name);
  }

  /** Why all traffic of this machine is blocked now; undefined: it is not. */
  get blocked(): string | undefined {
    return this.#daemon.lockdown.blockedText(this.#isLockedUp());
  }

  /** Undefined when no profile has LockDown. */
  get lockdownStatus(): LockdownStatus | undefined {
    return this.#daemon.lockdown.status(this.#daemon.intents().values(), this.#isLockedUp());
  }

  /** Whether a tunnel with LockDown carries traffic. */
  #isLockedUp(): boolean {
    return [...this.#daemon.loop.state.connections.values()].some(
      (connection) => viewConnection(connection).trafficBlocked === false,
    );
  }

  /** @throws {DaemonError} AOV-DAEMON-512 */
  async certificateReport(name: string): Promise<CertificateReport> {
    const candidate = this.#daemon.candidates.get(name);
    const keepsakes = this.#daemon.candidates.keepsakes(name);
    if (!candidate || !keepsakes) throw new DaemonError('AOV-DAEMON-512', name);
    return await certificateReport(candidate, keepsakes);
  }

  /** For the doctor. */
  candidate(
    name: string,
  ): { readonly stored: StoredProfile; readonly credentials?: LoadedCredentials; readonly problem?: Problem } | undefined {
    const candidate = this.#daemon.candidates.get(name);
    const spec = this.#daemon.loop.connection(name)?.spec;
    return candidate && { ...candidate, ...(spec?.problem && { problem: spec.problem }) };
  }
}
