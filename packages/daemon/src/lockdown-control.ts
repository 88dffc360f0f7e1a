import { rm } from 'node:fs/promises';
import path from 'node:path';
import { lockdownMarkerName, type LockdownMarker, type LockdownStatus, type Problem } from '@aovpn/api';
import { sameAddress } from '@aovpn/bytes';
import { type Lockdown, type LockdownRepair, writeFileAtomically } from '@aovpn/host';
import {
  formatBecause,
  type Because,
  type GatewayEndpoint,
  type Intent,
  type LockdownPlan,
  type PortalHole,
} from '@aovpn/policy';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import { ReleaseFile, type Release } from './release-file.ts';

/** What the machine offers for LockDown. */
export interface LockdownPlatform {
  open(onRepair: (repair: LockdownRepair) => void): Lockdown;
}

export interface LockdownControlOptions {
  readonly platform: LockdownPlatform;
  readonly stateDir: string;
  readonly runDir: string;
  readonly log: Log;
  /** What people see may differ. */
  readonly onChange: () => void;
}

/** The name of the file that keeps releases. */
export const releaseFileName = 'lockdown-released.json';

/** Of one gateway: what its names had for addresses lately. */
const maxPlaces = 16;

/** LockDown as this daemon knows it: what root has released, where gateways are reached, and what is in force in the kernel. */
export class LockdownControl {
  /** Set by whoever lets a person sign in to a network; the next plan has it. */
  portal: PortalHole | undefined;
  /** Where the daemon asks whether the network wants a sign-in; the next plan has it. */
  questions: readonly GatewayEndpoint[] = [];
  readonly #options: LockdownControlOptions;
  readonly #releases: ReleaseFile;
  readonly #endpoints = new Map<string, readonly GatewayEndpoint[]>();
  readonly #lockdown: Lockdown;
  #inForce: LockdownPlan | undefined;
  /** What log and marker say is in force; undefined: nothing yet. */
  #told: string | undefined;
  #problem: Pick<Problem, 'code' | 'message' | 'cure'> | undefined;
  #lastRepair: LockdownStatus['lastRepair'];

  constructor(options: LockdownControlOptions) {
    this.#options = options;
    this.#releases = new ReleaseFile(path.join(options.stateDir, releaseFileName), options.log);
    this.#lockdown = options.platform.open((repair) => this.#repaired(repair));
  }

  /** Reads what was released before. */
  async read(): Promise<void> {
    await this.#releases.read();
  }

  /** What a plan must know of it. */
  get facts(): {
    readonly endpoints: ReadonlyMap<string, readonly GatewayEndpoint[]>;
    readonly unlocked: ReadonlySet<string>;
    readonly portal?: PortalHole;
    readonly questions: readonly GatewayEndpoint[];
  } {
    const unlocked = new Set(this.#releases.releases.keys());
    return { endpoints: this.#endpoints, unlocked, questions: this.questions, ...(this.portal && { portal: this.portal }) };
  }

  /** Whether the profile locks: it has LockDown, and root has not released it. */
  isLocking({ name, lockdown }: Pick<Intent, 'name' | 'lockdown'>): boolean {
    return lockdown !== undefined && !this.#releases.releases.has(name);
  }

  /** Whether any of these profiles locks. */
  isWantedBy(intents: Iterable<Intent>): boolean {
    return [...intents].some((intent) => this.isLocking(intent));
  }

  /** Remembers where the gateway of a profile is reached, the last places only; whether there is a new one among them. */
  aim(name: string, places: readonly GatewayEndpoint[]): boolean {
    const before = this.#endpoints.get(name) ?? [];
    const isKnown = (place: GatewayEndpoint): boolean =>
      before.some(({ address, port }) => port === place.port && sameAddress(address, place.address));
    const news = places.filter((place) => !isKnown(place));
    if (news.length > 0) this.#endpoints.set(name, [...news, ...before].slice(0, maxPlaces));
    return news.length > 0;
  }

  /** Puts LockDown of a plan into force, or takes it away when the plan has none. @throws {HostError} and what was in force stays */
  async apply(plan: LockdownPlan | undefined): Promise<void> {
    const { log, onChange } = this.#options;
    const before = this.#inForce;
    try {
      await this.#lockdown.apply(plan);
    } catch (error) {
      const { code = '', cure = '' } = error as { readonly code?: string; readonly cure?: string };
      this.#problem = { code, message: messageOf(error), cure };
      if (plan && !before) log.error(`LockDown could not be put in force, traffic is NOT blocked: ${messageOf(error)}`);
      onChange();
      throw error;
    }
    this.#inForce = plan;
    this.#problem = undefined;
    // The first time tells as well: a file of an earlier run may say otherwise.
    if (this.#told === reasonText(plan)) return;
    this.#told = reasonText(plan);
    if (plan) log.warn(`LockDown is in force: nothing leaves this machine but through the tunnel; ${reasonText(plan)}`);
    else if (before) log.warn(`LockDown has ended: traffic goes where routes lead; it was ${reasonText(before)}`);
    await this.#mark(plan);
    onChange();
  }

  /** The one way out. @throws {DaemonError} AOV-DAEMON-516 */
  async release(name: string, by: string): Promise<void> {
    await this.#change(() => this.#releases.add([name], { at: new Date().toISOString(), by }));
    this.#options.log.warn(`LockDown released by ${by}; until: aovpn lockdown engage ${name}`, name);
  }

  /** @throws {DaemonError} AOV-DAEMON-516 */
  async engage(name: string, by: string): Promise<void> {
    await this.#change(() => this.#releases.remove([name]));
    this.#options.log.warn(`LockDown engaged again by ${by}`, name);
  }

  /** A profile that is gone, or has no LockDown any more, needs no release. */
  async forget(name: string): Promise<void> {
    this.#endpoints.delete(name);
    await this.#releases.remove([name]).catch((error: unknown) => this.#options.log.error(messageOf(error), name));
  }

  /** Why traffic is blocked now, one sentence for people; undefined: it is not. `isUp`: some tunnel with LockDown carries traffic. */
  blockedText(isUp: boolean): string | undefined {
    if (!this.#inForce || isUp) return undefined;
    return `All traffic of this machine is blocked until the tunnel is up: ${reasonText(this.#inForce)}.`;
  }

  releaseOf(name: string): Release | undefined {
    return this.#releases.releases.get(name);
  }

  /** Undefined when no profile has LockDown. */
  status(intents: Iterable<Intent>, isUp: boolean): LockdownStatus | undefined {
    const having = [...intents].filter(({ lockdown }) => lockdown !== undefined);
    if (having.length === 0 && !this.#inForce && !this.#problem) return undefined;
    const wanted = this.isWantedBy(having);
    const state = this.#problem ? 'failed' : this.#inForce ? 'engaged' : wanted ? 'failed' : 'released';
    const blocked = this.blockedText(isUp);
    return {
      state,
      traffic: !this.#inForce ? 'open' : blocked === undefined ? 'through-tunnel' : 'blocked',
      profiles: having.map(({ name, lockdown }) => {
        const released = this.releaseOf(name);
        return { name, because: formatBecause(lockdown!), ...(released && { released }) };
      }),
      ...(blocked !== undefined && { text: blocked }),
      ...(this.#problem && { problem: this.#problem }),
      ...(this.#lastRepair && { lastRepair: this.#lastRepair }),
    };
  }

  /** Stops watching; what is in force stays. */
  async close(): Promise<void> {
    await this.#lockdown.close();
  }

  async #change(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw new DaemonError('AOV-DAEMON-516', messageOf(error), error);
    }
  }

  #repaired({ what, failure }: LockdownRepair): void {
    const { log, onChange } = this.#options;
    if (failure === undefined) log.warn(`LockDown: put back what somebody else changed: ${what}`);
    else log.error(`LockDown: somebody else changed it, and putting it back failed: ${what}: ${failure}`);
    this.#lastRepair = { at: new Date().toISOString(), what, ...(failure !== undefined && { failure }) };
    onChange();
  }

  /** For who asks while no daemon answers. */
  async #mark(plan: LockdownPlan | undefined): Promise<void> {
    const { runDir, log } = this.#options;
    await writeMarker(runDir, plan).catch((error: unknown) => log.error(`${lockdownMarkerName}: ${messageOf(error)}`));
  }
}

/** Says in a file that everybody may read why traffic is blocked; undefined: it is not. @throws {Error} of the file system */
export async function writeMarker(runDir: string, plan: LockdownPlan | undefined): Promise<void> {
  const file = path.join(runDir, lockdownMarkerName);
  if (!plan) return await rm(file, { force: true });
  const marker: LockdownMarker = { since: new Date().toISOString(), because: plan.because.map(formatBecause) };
  await writeFileAtomically(file, `${JSON.stringify(marker)}\n`, 0o644);
}

function reasonText(plan: { readonly because: readonly Because[] } | undefined): string {
  return plan?.because.map(formatBecause).join(', ') ?? '';
}
