import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { domainToASCII } from 'node:url';
import type { DaemonEvent, LeakReport } from '@aovpn/api';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { addressOn, injectControl, openPacketCapture, readWatchedLinks, type WatchedLinks } from '@aovpn/host';
import { LeakLedger, leakPromise, readPacket, resolveProfile, type LeakPromise } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { controlDestination, defaultDestinations, planCanaries } from './canary-plan.ts';
import { CanarySender } from './canary-sender.ts';
import { followConnection, type FollowedConnection } from './follow-daemon.ts';
import { leakReport } from './leak-report.ts';
import { openNetworkChanger } from './network-changer.ts';
import { performStep, stepTitles, type StepName } from './step.ts';

/** What the test needs of the daemon: the words of its contract, by whatever way. */
export interface LeakTestDaemon {
  /** The ProfileXML. */
  profile(name: string): Promise<string>;
  /** Whether root has released LockDown of the profile. */
  isReleased(name: string): Promise<boolean>;
  /** Ends with the daemon; called again it waits for the next one, or throws. */
  events(signal: AbortSignal): AsyncIterable<DaemonEvent>;
  rekey(name: string): Promise<void>;
  pid(): Promise<number>;
}

export interface LeakTestOptions {
  readonly profile: string;
  /** What to do, in this order; empty: only what `manual` says. */
  readonly steps: readonly StepName[];
  readonly rounds: number;
  /** Names of what somebody else does now; the test lasts until they end. */
  readonly manual?: AsyncIterable<string>;
  /** Where canaries go; empty: documentation addresses. */
  readonly destinations: readonly IpAddress[];
  readonly canariesPerSecond: number;
  readonly signal: AbortSignal;
  readonly progress: (progress: LeakTestProgress) => void;
}

export interface LeakTestProgress {
  readonly text: string;
  readonly watched: number;
  readonly leaked: number;
}

/** How long a packet waits for its verdict, milliseconds: what the daemon says of that moment must have arrived. */
const verdictDelay = 2_000;
const tick = 250;
/** How long a step may take to heal, milliseconds. */
const healingPatience = 60_000;
/** See `LeakLedgerOptions`. */
const lettingGoMs = 400;

/** Watches, disturbs, reports. Whatever it changed is put back when it resolves, and when this process ends in any other way. */
export async function runLeakTest(daemon: LeakTestDaemon, options: LeakTestOptions): Promise<LeakReport> {
  const promise = await readPromise(daemon, options.profile);
  const run = new LeakTestRun(daemon, options, promise);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

async function readPromise(daemon: LeakTestDaemon, name: string): Promise<LeakPromise> {
  const { profile } = parseProfile(new TextEncoder().encode(await daemon.profile(name)), { toAscii: domainToASCII });
  if (!profile) throw new Error(`the profile "${name}" cannot be read`);
  return leakPromise(profile, resolveProfile(name, profile).intent, await daemon.isReleased(name));
}

class LeakTestRun {
  readonly #daemon: LeakTestDaemon;
  readonly #options: LeakTestOptions;
  readonly #promise: LeakPromise;
  readonly #destinations: readonly IpAddress[];
  readonly #ledger: LeakLedger;
  readonly #sender: CanarySender;
  readonly #mark = `aovpn-canary-${randomBytes(6).toString('hex')}`;
  readonly #control = `aovpn-control-${randomBytes(6).toString('hex')}`;
  readonly #ending = new AbortController();
  readonly #changer = openNetworkChanger();
  readonly #startedAt = Date.now();
  readonly #outcomes = new Map<number, string>();
  readonly #watchedLinks = new Map<number, string>();
  readonly #capture = openPacketCapture((seen) => this.#saw(seen));
  /** Devices that were looked at and do not lead out. */
  readonly #inside = new Set<number>();
  #links: WatchedLinks | undefined;
  #controlsSent = 0;
  #stepsBegun = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(daemon: LeakTestDaemon, options: LeakTestOptions, promise: LeakPromise) {
    this.#daemon = daemon;
    this.#options = options;
    this.#promise = promise;
    this.#destinations = options.destinations.length > 0 ? options.destinations : defaultDestinations;
    this.#ledger = new LeakLedger({
      promise,
      canaryMark: Buffer.from(this.#mark),
      controlMark: Buffer.from(this.#control),
      lettingGoMs,
    });
    this.#sender = new CanarySender(() => this.#ledger.promised);
    if (promise.kind === 'lockdown') this.#ledger.setPromised(this.#startedAt, true);
    this.#lookAtLinks();
  }

  async run(): Promise<LeakReport> {
    const { signal } = this.#options;
    signal.addEventListener('abort', () => this.#ending.abort(), { once: true });
    const events = (ending: AbortSignal): AsyncIterable<DaemonEvent> => this.#daemon.events(ending);
    const always = this.#promise.kind === 'lockdown';
    const connection = followConnection(this.#promise.profile, events, this.#ledger, always, this.#ending.signal);
    await this.#knowGateways();
    this.#timer = setInterval(() => this.#tick(), tick);
    this.#begin('start');
    this.#sendControls();
    this.#sender.start(this.#options.canariesPerSecond);
    await this.#steps(connection);
    await this.#byHand();
    this.#begin('end');
    this.#sendControls();
    this.#sender.stop();
    // What is under way still has to arrive, and the daemon's word on it.
    await sleep(verdictDelay);
    this.#capture.drain();
    this.#ledger.settle(Infinity);
    return leakReport({
      promise: this.#promise,
      findings: this.#ledger.findings(Date.now()),
      startedAt: this.#startedAt,
      endedAt: Date.now(),
      links: [...new Set(this.#watchedLinks.values())].sort(),
      missed: this.#capture.missed(),
      canaries: this.#sender.counts,
      controlsSent: this.#controlsSent,
      outcomes: this.#outcomes,
      interrupted: signal.aborted,
    });
  }

  async close(): Promise<void> {
    this.#ending.abort();
    clearInterval(this.#timer);
    this.#sender.stop();
    this.#capture.close();
    await this.#changer.close();
  }

  async #steps(connection: FollowedConnection): Promise<void> {
    const { steps, rounds, signal } = this.#options;
    if (steps.length > 0 && !(await this.#isUp(connection))) this.#outcome('the connection is not up');
    for (let round = 1; round <= rounds; round++) {
      for (const step of steps) {
        if (signal.aborted) return;
        this.#begin(step, stepTitles[step]);
        try {
          const leftOut = await performStep(step, {
            connection,
            changer: this.#changer,
            links: () => this.#lookAtLinks(),
            rekey: () => this.#daemon.rekey(this.#promise.profile),
            restartDaemon: () => this.#restartDaemon(),
            signal,
          });
          if (leftOut !== undefined) this.#outcome(`left out: ${leftOut}`);
        } catch (error) {
          this.#outcome(`failed: ${error instanceof Error ? error.message : String(error)}`);
        }
        if (!signal.aborted && !(await this.#isUp(connection))) this.#outcome('the connection did not come back up');
      }
    }
  }

  async #byHand(): Promise<void> {
    const { manual, signal } = this.#options;
    if (!manual) return;
    for await (const name of manual) {
      if (signal.aborted) return;
      this.#begin(name);
    }
  }

  async #isUp(connection: FollowedConnection): Promise<boolean> {
    return await connection.until(({ state }) => state === 'up', healingPatience);
  }

  /** @throws where no service manager would start it again */
  async #restartDaemon(): Promise<void> {
    const run = promisify(execFile);
    const { stdout } = await run('systemctl', ['show', 'aovpn.service', '--property=MainPID', '--value']);
    const pid = await this.#daemon.pid();
    if (Number(stdout.trim()) !== pid)
      throw new Error('the daemon is not the service aovpn.service: nobody would start it again');
    process.kill(pid, 'SIGKILL');
    await sleep(500);
    await run('systemctl', ['start', 'aovpn.service']);
  }

  #begin(name: string, title = name): void {
    this.#ledger.step(name, Date.now());
    this.#stepsBegun++;
    this.#tell(title);
  }

  #outcome(text: string): void {
    this.#outcomes.set(this.#stepsBegun - 1, text);
    this.#tell(text);
  }

  #tell(text: string): void {
    const { watched, leaked } = this.#ledger;
    this.#options.progress({ text, watched, leaked });
  }

  #tick(): void {
    this.#capture.drain();
    this.#lookAtLinks();
    this.#ledger.settle(Date.now() - verdictDelay);
  }

  #saw({ at, index, etherType, octets }: Parameters<Parameters<typeof openPacketCapture>[0]>[0]): void {
    // A device that nobody knew yet may be the new way out.
    if (!this.#watchedLinks.has(index) && !this.#inside.has(index)) {
      this.#lookAtLinks();
      if (!this.#watchedLinks.has(index)) this.#inside.add(index);
    }
    const device = this.#watchedLinks.get(index);
    if (device !== undefined) this.#ledger.saw({ at, device, packet: readPacket(etherType, octets) });
  }

  /** Once watched, a link stays so: it may lose its default route and get it back. */
  #lookAtLinks(): WatchedLinks {
    const links = readWatchedLinks();
    const changed = JSON.stringify(links) !== JSON.stringify(this.#links);
    this.#links = links;
    for (const [index, device] of links.links) this.#watchedLinks.set(index, device);
    if (!changed) return links;
    // What was inside may have become a way out.
    this.#inside.clear();
    this.#ledger.attached(links.attached);
    this.#sender.use(planCanaries({ promise: this.#promise, links, destinations: this.#destinations, mark: this.#mark }));
    return links;
  }

  /** Every address that the gateway's names lead to, besides those that the daemon tells. */
  async #knowGateways(): Promise<void> {
    for (const name of this.#promise.gatewayNames) {
      const literal = parseAddress(name);
      const found = literal ? [] : await lookup(name, { all: true }).catch(() => []);
      for (const address of [literal, ...found.map((one) => parseAddress(one.address))])
        if (address) this.#ledger.gateway(address, 4500);
    }
  }

  /** Lets a leak out on every link, to show that it would be seen. */
  #sendControls(): void {
    const links = this.#lookAtLinks();
    const destination = controlDestination(this.#promise, this.#destinations);
    if (!destination) return;
    for (const device of new Set(links.links.values())) {
      if (!links.running.includes(device)) continue;
      const source = addressOn(links, device, destination.family) ?? destination;
      if (injectControl(device, source, destination, Buffer.from(this.#control))) this.#controlsSent++;
    }
  }
}
