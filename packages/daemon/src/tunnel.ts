import { formatAddress, sameAddress, type IpPrefix } from '@aovpn/bytes';
import { solvePuzzle, stackOf } from '@aovpn/host';
import type { RadiusStatus } from '@aovpn/api';
import type { DataPlane, DataPlaneEvent, DataPlaneStats, OuterPath, Transport } from '@aovpn/esp';
import type { IkeAction, IkeEnd, IkeEvent, IkeFacts, IkeSa, NamedPpk, TrafficSelector, TunnelConfiguration } from '@aovpn/ike';
import { problem, problemOfEnd, problemOfHost, type Problem, type Redirect } from '@aovpn/supervisor';
import type { DataPlaneChoice } from './choose-data-plane.ts';
import { GatewayWatch } from './gateway-watch.ts';
import { IkeDriver, secretRefused, type IkeDriverPorts } from './ike-driver.ts';
import { messageOf, problemOfError, ProblemError } from './problem-error.ts';
import { TunnelEap, type RadiusWait } from './tunnel-eap.ts';
import type { TunnelNetwork, TunnelOptions, TunnelPorts, TunnelReport } from './tunnel-port.ts';

/** From the loss of a TCP connection to the next try, milliseconds. */
const reconnect = { first: 50, again: 500 } as const;
/** Packets in flight on what a new IKE SA has replaced are still received for so long, milliseconds. */
const retiredPatience = 5_000;
/** The gateway may still be at work on packets of the old one: it is deleted so long after the new one has taken over, milliseconds. */
const handoverPatience = 1_000;
/** How long an orderly end of plan and data plane may take each, milliseconds. */
const cleanUpPatience = 10_000;

/** One IKE SA of the tunnel, with the EAP that authenticates it. */
interface Run {
  readonly driver: IkeDriver;
  readonly eap: TunnelEap;
}

/**
 * One tunnel from its first datagram to its last: wires the IKE machine to the data plane, the keys, the trust and the TLS engine.
 * It performs the machine's actions in order, feeds back what comes of them, and decides nothing.
 *
 * A machine can ask for another IKE SA in its place: that one is a machine of its own beside it, on the same flow and the same data plane, and takes
 * over once it is established (make before break). Device, plan and data plane stay through all of that.
 */
export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #ports: TunnelPorts;
  readonly #report: (report: TunnelReport) => void;
  readonly #watch: GatewayWatch;
  #plane: DataPlane | undefined;
  #run: Run;
  /** On its way to take over. */
  #successor: Run | undefined;
  /** Was replaced, and says goodbye. */
  #retired: Run | undefined;
  /** How the current SA ended while its successor was on its way. */
  #orphaned: IkeEnd | undefined;
  #transport: Transport;
  #path: OuterPath | undefined;
  #network: TunnelNetwork | undefined;
  #selectors: readonly TrafficSelector[] = [];
  /** Work on the data plane and the plan goes one after the other, in the order of the actions. */
  #work: Promise<void> = Promise.resolve();
  #planApplied = false;
  #refused = false;
  #redirect: Redirect | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #over = false;

  constructor(options: TunnelOptions, ports: TunnelPorts, report: (report: TunnelReport) => void) {
    this.#options = options;
    this.#transport = options.transport;
    this.#ports = ports;
    this.#report = report;
    this.#run = this.#makeRun();
    this.#watch = new GatewayWatch({
      polls: options.dataPlane.kind === 'kernel',
      stats: () => this.stats(),
      probe: () => ports.probeGateway(options.gateway, options.ports[this.#transport], this.#transport),
      ask: () => this.#feed({ kind: 'check-liveness' }),
      unanswered: (lastInboundAt) => this.#feed({ kind: 'unanswered', lastInboundAt }),
      answersStrangers: () => this.#feed({ kind: 'gateway-answers-strangers' }),
    });
  }

  get dataPlane(): DataPlaneChoice {
    return this.#options.dataPlane;
  }

  get path(): OuterPath | undefined {
    return this.#path;
  }

  /** Undefined until the tunnel is established. */
  get network(): TunnelNetwork | undefined {
    return this.#network;
  }

  /** What the RADIUS side keeps us waiting for. */
  get wait(): RadiusWait | undefined {
    return this.#run.eap.wait ?? this.#successor?.eap.wait;
  }

  get radius(): RadiusStatus | undefined {
    return this.#run.eap.radius;
  }

  open(): void {
    this.#begin().catch((error: unknown) => this.#fail(error));
  }

  /** `orderly`: say goodbye and wait for the gateway's answer. Otherwise one goodbye, and gone. */
  close(orderly: boolean, why: string): void {
    if (this.#over) return;
    const { isRunning } = this.#run.driver;
    // Whatever became of the old one, this is an end that somebody asked for.
    this.#orphaned = undefined;
    this.#successor?.driver.feed({ kind: 'close', why });
    // The one that was replaced a moment ago may not have said its goodbye yet.
    this.#retired?.driver.feed({ kind: 'close', why });
    this.#run.driver.feed({ kind: 'close', why });
    if (!orderly || !isRunning) this.#finish(undefined);
  }

  /** Binds the outer flow to whatever the network is now, and tells the machine. */
  async move(transport: Transport = this.#transport): Promise<void> {
    if (this.#over || !this.#plane) return;
    const change = this.#ports.mustChangePlane();
    if (change !== undefined) {
      this.#ports.log.info(`here the tunnel needs the other data plane: ${change}`, this.#options.name);
      return this.#report({ kind: 'cannot-move' });
    }
    this.#transport = transport;
    const before = this.#path;
    let path: OuterPath;
    try {
      path = await this.#plane.connect(this.#options.gateway, this.#options.ports[transport], transport);
    } catch (error) {
      // Not a way to the gateway yet; the next change of the network tries again, and the machine's own checks go on.
      this.#ports.log.info(`the tunnel cannot move yet: ${messageOf(error)}`, this.#options.name);
      this.#feed({ kind: 'check-liveness' });
      if (transport === 'tcp') this.#connectAgain(reconnect.again);
      return;
    }
    if (this.#over) return;
    this.#path = path;
    this.#report({ kind: 'facts' });
    // RFC 9329 §6.1: another connection between the same two is known by its first authentic message, also without MOBIKE.
    const again = transport === 'tcp' && this.#network?.facts.mobike === false && before && sameEnds(before, path);
    if (before && (again || samePath(before, path))) {
      this.#feed({ kind: 'check-liveness' });
      this.#report({ kind: 'moved' });
    } else {
      this.#ports.log.info(`moving to ${formatAddress(path.local)}`, this.#options.name);
      this.#feed({ kind: 'path-changed', path });
    }
  }

  /** Without its TCP connection the tunnel is mute: only we can make another (RFC 9329 §6.1). */
  #connectAgain(delay: number): void {
    clearTimeout(this.#reconnect);
    this.#reconnect = setTimeout(() => void this.move(), delay);
  }

  /** Tells whoever has asked for keys those of the IKE SAs that there are now. */
  exportKeys(): void {
    for (const run of [this.#run, this.#successor, this.#retired]) if (run?.driver.sa) this.#exportKeysOf(run.driver.sa);
  }

  checkLiveness(): void {
    this.#feed({ kind: 'check-liveness' });
  }

  /** The PPK as it is now; in force with the next keys that are made, where the gateway has it too (RFC 9867 §3.2). */
  freshPpk(ppk: NamedPpk): void {
    this.#feed({ kind: 'fresh-ppk', ppk });
  }

  /** Asks for new keys before their time: of every pair of CHILD_SAs, then of the IKE SA. */
  rekey(): void {
    const { driver } = this.#run;
    for (const spiIn of driver.children) driver.feed({ kind: 'rekey-child', spiIn });
    driver.feed({ kind: 'rekey-ike' });
  }

  async stats(): Promise<DataPlaneStats | undefined> {
    if (this.#over || !this.#network) return undefined;
    return await this.#plane?.stats();
  }

  async #begin(): Promise<void> {
    const { plane, gateway, ports, config } = this.#options;
    const ticket = this.#ports.findTicket();
    // With a ticket nobody is asked; if the gateway does not take it, EAP asks when it comes to that.
    const missing = ticket ? undefined : await this.#ports.prepare();
    if (this.#over) return;
    if (missing) throw new ProblemError(missing);
    const opened = await this.#ports.openDataPlane(plane, (event) => this.#planeEvent(event));
    if (this.#over) return await opened.close();
    this.#plane = opened;
    // The device comes before the first datagram: a machine without TUN must not authenticate in vain.
    const device = opened.openDevice();
    // Meanwhile workers start, and nobody waits for us yet.
    if (config.auth.kind === 'eap' && !ticket) this.#run.eap.prepare(config.auth.peer);
    await device;
    const path = await opened.connect(gateway, ports[this.#transport], this.#transport);
    if (this.#over) return;
    this.#path = path;
    this.#run.driver.start(ticket ? { ...config, ticket } : config, path);
  }

  #planeEvent(event: DataPlaneEvent): void {
    switch (event.kind) {
      case 'ike':
        if (this.#path && this.#ports.keyExport.isWanted(this.#options.name)) {
          const from = { ...this.#path, remote: event.from, remotePort: event.fromPort };
          this.#ports.keyExport.datagram(this.#options.name, 'in', from, event.datagram);
        }
        return this.#feed({ kind: 'datagram', datagram: event.datagram, from: event.from, fromPort: event.fromPort });
      case 'rekey-needed':
        this.#ports.log.debug(`CHILD_SA needs a rekey (${event.why})`, this.#options.name);
        return this.#feed({ kind: 'rekey-child', spiIn: event.spiIn });
      case 'path-error':
        this.#ports.log.debug(`the network says ${event.code} about the way to the gateway`, this.#options.name);
        return this.#watch.hint();
      case 'unanswered':
        return this.#watch.unanswered();
      case 'flow-lost':
        this.#ports.log.info(`the TCP connection to the gateway is gone: ${event.why}`, this.#options.name);
        if (this.#network) return this.#connectAgain(reconnect.first);
        return this.#fail(new ProblemError(problem('noAnswerInit', `its TCP port: ${event.why}`)));
      case 'fatal':
        return this.#finish(
          problemOfHost({ code: event.code, what: event.what, cure: 'Look into the log of the daemon and of the kernel.' }),
        );
    }
  }

  /** To every IKE SA: each knows what is its own. */
  #feed(event: IkeEvent): void {
    if (this.#over) return;
    this.#run.driver.feed(event);
    this.#successor?.driver.feed(event);
    this.#retired?.driver.feed(event);
  }

  #makeRun(): Run {
    const ports: IkeDriverPorts = {
      crypto: this.#ports.crypto,
      perform: (action, driver) => {
        if (!this.#over) this.#perform(action, driver);
      },
      stepped: (sa) => this.#exportKeysOf(sa),
      bug: (error, driver) => this.#bug(error, driver),
    };
    return { driver: new IkeDriver(ports), eap: new TunnelEap(this.#options.name, this.#ports) };
  }

  #exportKeysOf(sa: IkeSa): void {
    const { name } = this.#options;
    if (this.#ports.keyExport.isWanted(name)) this.#ports.keyExport.ike(name, sa);
  }

  #bug(error: unknown, driver: IkeDriver): void {
    // This tunnel's end, not the daemon's.
    this.#ports.log.error(`bug in the IKE machine: ${stackOf(error)}`, this.#options.name);
    driver.stop();
    this.#finish(problem('internal', 'the IKE machine stopped'));
  }

  /** The current IKE SA wants another one in its place. */
  #replace(why: 'lifetime' | 'crash'): void {
    if (this.#successor || !this.#network) return;
    const run = (this.#successor = this.#makeRun());
    this.#prepareSuccessor(run, why).catch((error: unknown) => this.#successorFailed(run, problemOfError(error)));
  }

  async #prepareSuccessor(run: Run, why: 'lifetime' | 'crash'): Promise<void> {
    const { name } = this.#options;
    const config = this.#ports.renew() ?? this.#options.config;
    // A session is not resumed where it is the authentication that has run out (RFC 5723 §6.2).
    const ticket = why === 'crash' ? this.#ports.findTicket() : undefined;
    const missing = ticket ? undefined : await this.#ports.prepare();
    if (this.#over || this.#successor !== run || !this.#path || !this.#network) return;
    if (missing) return this.#successorFailed(run, missing);
    this.#ports.log.info('a new IKE SA is made beside the one in use', name);
    const replaces = this.#network.configuration.addresses;
    run.driver.start({ ...config, replaces, ...(ticket && { ticket }) }, this.#path);
  }

  #successorFailed(run: Run, what: Problem | undefined): void {
    if (this.#over || this.#successor !== run) return;
    this.#successor = undefined;
    run.driver.stop();
    if (this.#orphaned) return this.#finish(what ?? problemOfEnd(this.#orphaned, this.#options.authentication));
    if (what) this.#ports.log.warn(`no new IKE SA: ${what.message}; the one in use goes on. ${what.cure}`, this.#options.name);
  }

  /** The successor carries traffic: it is the one from now on, and the old one says goodbye. */
  #succeed(run: Run, configuration: TunnelConfiguration, facts: IkeFacts): void {
    const old = this.#run;
    this.#run = run;
    this.#successor = undefined;
    this.#orphaned = undefined;
    this.#watch.silent = false;
    this.#retired?.driver.stop();
    this.#retired = old;
    this.#enqueue(async () => {
      if (!this.#network) return;
      const before = this.#network;
      const network = { ...before, configuration, facts, selectors: this.#selectors };
      await this.#plane!.setInnerAddresses(configuration.addresses.map(({ address }: IpPrefix) => address));
      if (!sameConfiguration(before.configuration, configuration)) {
        this.#ports.log.warn(
          'the gateway gives other addresses than before: connections that used the old ones break',
          this.#options.name,
        );
        await this.#ports.applyPlan(network);
      }
      if (this.#over) return;
      this.#network = network;
      this.#ports.log.info(`the new IKE SA has taken over: ${facts.ikeSuite}; ESP ${facts.childSuite}`, this.#options.name);
      this.#report({ kind: 'unresponsive', silent: false });
      this.#report({ kind: 'facts' });
      const goodbye = (): void => old.driver.feed({ kind: 'close', why: 'a new IKE SA has taken over' });
      setTimeout(goodbye, handoverPatience).unref();
    });
  }

  #perform(action: Exclude<IkeAction, { readonly kind: 'arm' | 'disarm' }>, driver: IkeDriver): void {
    const { log } = this.#ports;
    const { name } = this.#options;
    const run = [this.#run, this.#successor, this.#retired].find((one) => one?.driver === driver);
    if (!run) return;
    const isCurrent = run === this.#run;
    switch (action.kind) {
      case 'send':
        if (this.#path && this.#ports.keyExport.isWanted(name)) {
          const path = action.to ? { ...this.#path, remote: action.to.address, remotePort: action.to.port } : this.#path;
          this.#ports.keyExport.datagram(name, 'out', path, action.datagram);
        }
        return this.#plane?.sendIke(action.datagram, action.to);
      case 'sign':
        return this.#answer(run, async () => {
          const { request, scheme, data } = action;
          try {
            return { kind: 'signed', request, signature: await this.#ports.sign(scheme, data) };
          } catch (error) {
            return { kind: 'signed', request, signature: undefined, problem: messageOf(error) };
          }
        });
      case 'solve-puzzle':
        return this.#answer(run, async () => {
          const { request, puzzle, text } = action;
          const isWanted = (): boolean => !this.#over && driver.isRunning;
          return { kind: 'puzzle-solved', request, solution: await solvePuzzle(this.#ports.crypto, puzzle, text, isWanted) };
        });
      case 'verify-gateway':
        return this.#answer(run, async () => {
          const verdict = await this.#ports.verifyGateway(action);
          for (const line of verdict.trace) log.debug(`gateway certificate: ${line}`, name);
          return { kind: 'gateway-verdict', request: action.request, verdict };
        });
      case 'answered':
        // At once: another place's answer to a probe may be read next, and must not win any more.
        return this.#report({ kind: 'answered' });
      case 'eap':
        return this.#answer(run, async () => {
          const event = await run.eap.handle(action.action);
          return event && { kind: 'eap', event };
        });
      case 'eap-waiting':
        run.eap.quiet(action.since);
        if (run.eap.wait) log.info(run.eap.wait.text, name);
        return this.#report({ kind: 'facts' });
      case 'eap-succeeded':
        log.debug(`EAP ended well: ${action.method}`, name);
        return void run.eap.succeeded(action.method).catch((error: unknown) => log.error(`after EAP: ${messageOf(error)}`, name));
      case 'install-child':
        this.#selectors = action.child.tsr;
        if (this.#path && this.#ports.keyExport.isWanted(name)) this.#ports.keyExport.esp(name, action.child, this.#path);
        return this.#enqueue(async () => {
          const { spi } = action.child.inbound;
          try {
            await this.#plane!.installChild(action.child);
            driver.feed({ kind: 'child-installed', spiIn: spi });
          } catch (error) {
            driver.feed({ kind: 'child-installed', spiIn: spi, problem: messageOf(error) });
          }
        });
      case 'use-child':
        return this.#enqueue(() => this.#plane!.useChild(action.spiIn));
      case 'remove-child':
        return this.#removeChild(action.spiIn, isCurrent);
      case 'ask-traffic':
        return this.#answer(run, async () => {
          const { lastInboundAt, children } = await this.#plane!.stats();
          return { kind: 'traffic', lastInboundAt, children };
        });
      case 'established':
        return isCurrent
          ? this.#established(action.configuration, action.facts)
          : this.#succeed(run, action.configuration, action.facts);
      case 'rekeyed':
        log.info(
          `${action.what === 'ike' ? 'IKE SA' : 'CHILD_SA'} rekeyed: ${action.what === 'ike' ? action.facts.ikeSuite : action.facts.childSuite}`,
          name,
        );
        if (this.#network && isCurrent) this.#network = { ...this.#network, facts: action.facts };
        return this.#report({ kind: 'facts' });
      case 'moved':
        if (!isCurrent) return undefined;
        log.info('the gateway follows to the new address', name);
        return this.#report({ kind: 'moved' });
      case 'cannot-move':
        if (!isCurrent) return undefined;
        return this.#report({ kind: 'cannot-move' });
      case 'unresponsive':
        if (!isCurrent) return undefined;
        this.#watch.silent = action.since !== undefined;
        log.info(action.since === undefined ? 'the gateway answers again' : 'the gateway does not answer', name);
        return this.#report({ kind: 'unresponsive', silent: action.since !== undefined });
      case 'probe-gateway':
        return void this.#watch.probe();
      case 'ticket':
        return this.#ports.keepTicket(action.ticket, action.lifetimeMs);
      case 'replace':
        return isCurrent ? this.#replace(action.why) : undefined;
      case 'ended':
        return this.#ended(run, action.end);
      case 'message':
        return this.#ports.trace(action.record, this.#path);
      case 'trace':
        return log.write(action.level, action.what, name);
    }
  }

  #ended(run: Run, end: IkeEnd): void {
    run.driver.stop();
    if (run === this.#retired) {
      this.#retired = undefined;
      return void run.eap.end(false).catch(() => {});
    }
    if (run === this.#successor) {
      void run.eap.end(secretRefused(end)).catch(() => {});
      return this.#successorFailed(run, problemOfEnd(end, this.#options.authentication));
    }
    // The gateway ends it when its time is up (RFC 4478 §2), or has long forgotten it: what matters is the new one.
    if (this.#successor && end.kind !== 'closed') {
      this.#orphaned = end;
      return this.#report({ kind: 'unresponsive', silent: true });
    }
    this.#refused = secretRefused(end);
    if (end.kind === 'redirected') this.#redirect = { to: end.to, proven: end.proven };
    this.#finish(problemOfEnd(end, this.#options.authentication));
  }

  /** What another IKE SA has replaced still receives what was in flight. */
  #removeChild(spiIn: number, isCurrent: boolean): void {
    const remove = (): void => this.#enqueue(() => this.#plane!.removeChild(spiIn));
    if (isCurrent) return remove();
    setTimeout(remove, retiredPatience).unref();
  }

  #established(configuration: TunnelConfiguration, facts: IkeFacts): void {
    const { plane, gateway, name, dataPlane } = this.#options;
    const { device, mtu } = plane;
    const kernelEsp = dataPlane.kind === 'kernel';
    const network = { device, mtu, gateway, kernelEsp, configuration, selectors: this.#selectors, facts };
    // Its CHILD_SA is in the data plane now; routes and names follow.
    this.#ports.log.info(`${facts.ikeSuite}; ESP ${facts.childSuite}; gateway "${facts.gatewaySubject}"`, name);
    this.#enqueue(async () => {
      this.#planApplied = true;
      // The data plane takes its addresses while routes and names are put into force.
      await allOf(
        this.#plane!.setInnerAddresses(configuration.addresses.map(({ address }: IpPrefix) => address)),
        this.#ports.applyPlan(network),
      );
      if (this.#over) return;
      this.#network = network;
      this.#watch.start();
      const { allowedFamilies } = configuration;
      if (allowedFamilies?.length === 1)
        this.#ports.log.info(`the gateway hands out IPv${allowedFamilies[0]} addresses only`, name);
      this.#report({ kind: 'established' });
    });
  }

  /** Asks the host something and feeds the answer back, if anybody still wants it. */
  #answer({ driver }: Run, ask: () => Promise<IkeEvent | undefined>): void {
    ask().then(
      (event) => {
        if (event && !this.#over && driver.isRunning) driver.feed(event);
        else if (event?.kind === 'eap') TunnelEap.discard(event.event);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #enqueue(task: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#over) return;
      try {
        await task();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    const ending = problemOfError(error);
    this.#feed({ kind: 'close', why: ending.message });
    this.#finish(ending);
  }

  #finish(ending: Problem | undefined): void {
    if (this.#over) return;
    this.#over = true;
    for (const run of this.#runs()) run.driver.stop();
    this.#watch.close();
    clearTimeout(this.#reconnect);
    // Before its routes go: nobody shall believe that they still hold.
    this.#report({ kind: 'ending' });
    this.#clearAway().then(
      () =>
        this.#report({ kind: 'ended', ...(ending && { problem: ending }), ...(this.#redirect && { redirect: this.#redirect }) }),
      (error: unknown) => this.#report({ kind: 'ended', problem: ending ?? problemOfError(error) }),
    );
  }

  #runs(): Run[] {
    return [this.#run, this.#successor, this.#retired].filter((run) => run !== undefined);
  }

  /** Plan first: a route into a device that is gone is worse than none. */
  async #clearAway(): Promise<void> {
    await within(cleanUpPatience, this.#work);
    for (const run of this.#runs()) await within(cleanUpPatience, run.eap.end(this.#refused));
    try {
      if (this.#planApplied) await this.#ports.removePlan();
    } catch (error) {
      this.#ports.log.error(`the plan could not be taken back: ${messageOf(error)}`, this.#options.name);
    }
    await this.#plane?.close();
    this.#plane = undefined;
    this.#network = undefined;
  }
}

function samePath(a: OuterPath, b: OuterPath): boolean {
  return sameEnds(a, b) && a.localPort === b.localPort;
}

function sameEnds(a: OuterPath, b: OuterPath): boolean {
  return sameAddress(a.local, b.local) && sameAddress(a.remote, b.remote) && a.remotePort === b.remotePort;
}

async function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  try {
    await Promise.race([promise.catch(() => {}), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for all of them, whatever becomes of one. @throws what one was rejected with */
async function allOf(...promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) if (result.status === 'rejected') throw result.reason;
}

/** Whether routes, names and the device stay as they are. */
function sameConfiguration(a: TunnelConfiguration, b: TunnelConfiguration): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
