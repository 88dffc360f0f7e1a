import { formatAddress, type IpPrefix } from '@aovpn/bytes';
import { stackOf } from '@aovpn/host';
import type { RadiusStatus } from '@aovpn/api';
import type { DataPlane, DataPlaneEvent, DataPlaneStats, OuterPath, Transport } from '@aovpn/esp';
import type { IkeAction, IkeEnd, IkeEvent, IkeFacts, IkeSa, NamedPpk, TrafficSelector, TunnelConfiguration } from '@aovpn/ike';
import { explainRefusal, problem, problemOfEnd, problemOfHost, type Problem, type Redirect } from '@aovpn/supervisor';
import { askHost, type IkeQuestion } from './ask-host.ts';
import type { DataPlaneChoice } from './choose-data-plane.ts';
import { GatewayWatch } from './gateway-watch.ts';
import { IkeDriver, secretRefused, type IkeDriverPorts } from './ike-driver.ts';
import { IkeSas, type Run } from './ike-sas.ts';
import { OuterFlow } from './outer-flow.ts';
import { messageOf, problemOfError, ProblemError } from './problem-error.ts';
import { SendGate } from './send-gate.ts';
import { SerialWork } from './serial-work.ts';
import { TunnelEap, type RadiusWait } from './tunnel-eap.ts';
import type { TunnelNetwork, TunnelOptions, TunnelPorts, TunnelReport } from './tunnel-port.ts';

/** Packets in flight on what a new IKE SA has replaced are still received for so long, milliseconds. */
const retiredPatience = 5_000;
/** The gateway may still be at work on packets of the old one: it is deleted so long after the new one has taken over, milliseconds. */
const handoverPatience = 1_000;
/** How long an orderly end of plan and data plane may take each, milliseconds. */
const cleanUpPatience = 10_000;

/**
 * One tunnel from its first datagram to its last: wires the IKE machine to the data plane, the keys, the trust and the TLS engine.
 * It performs the machine's actions in order, feeds back what comes of them, and decides nothing.
 *
 * A machine can ask for another IKE SA in its place ({@link IkeSas}): device, plan and data plane stay through all of that.
 */
export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #ports: TunnelPorts;
  readonly #report: (report: TunnelReport) => void;
  readonly #watch: GatewayWatch;
  #plane: DataPlane | undefined;
  readonly #sas: IkeSas;
  readonly #flow: OuterFlow;
  #network: TunnelNetwork | undefined;
  #selectors: readonly TrafficSelector[] = [];
  readonly #work = new SerialWork(
    () => this.#over,
    (error) => this.#fail(error),
  );
  readonly #gate = new SendGate((datagram, to) => this.#plane?.sendIke(datagram, to));
  #planApplied = false;
  #refused = false;
  #redirect: Redirect | undefined;
  #over = false;

  constructor(options: TunnelOptions, ports: TunnelPorts, report: (report: TunnelReport) => void) {
    this.#options = options;
    this.#ports = ports;
    this.#report = report;
    this.#sas = new IkeSas(() => this.#makeRun());
    const { gateway, transport } = options;
    this.#flow = new OuterFlow({ gateway, transport, ports: options.ports, onReconnect: () => void this.move() });
    this.#watch = new GatewayWatch({
      polls: () => this.dataPlane?.kind === 'kernel',
      stats: () => this.stats(),
      probe: () => ports.probeGateway(options.gateway, this.#flow.port, this.#flow.transport),
      ask: () => this.#feed({ kind: 'check-liveness' }),
      unanswered: (lastInboundAt) => this.#feed({ kind: 'unanswered', lastInboundAt }),
      answersStrangers: () => this.#feed({ kind: 'gateway-answers-strangers' }),
    });
  }

  /** Undefined until it is chosen. */
  get dataPlane(): DataPlaneChoice | undefined {
    return this.#ports.chosenPlane();
  }

  get path(): OuterPath | undefined {
    return this.#flow.path;
  }

  /** Undefined until the tunnel is established. */
  get network(): TunnelNetwork | undefined {
    return this.#network;
  }

  /** What the RADIUS side keeps us waiting for. */
  get wait(): RadiusWait | undefined {
    return this.#sas.current.eap.wait ?? this.#sas.successor?.eap.wait;
  }

  get radius(): RadiusStatus | undefined {
    return this.#sas.current.eap.radius;
  }

  open(): void {
    this.#begin().catch((error: unknown) => this.#fail(error));
  }

  /** `orderly`: say goodbye and wait for the gateway's answer. Otherwise one goodbye, and gone. */
  close(orderly: boolean, why: string): void {
    if (this.#over) return;
    const { isRunning } = this.#sas.current.driver;
    this.#sas.close(why);
    if (!orderly || !isRunning) this.#finish(undefined);
  }

  /** Binds the outer flow to whatever the network is now, and tells the machine. */
  async move(transport: Transport = this.#flow.transport): Promise<void> {
    if (this.#over || !this.#plane) return;
    const change = this.#ports.mustChangePlane();
    if (change !== undefined) {
      this.#ports.log.info(`here the tunnel needs the other data plane: ${change}`, this.#options.name);
      return this.#report({ kind: 'cannot-move' });
    }
    let path: OuterPath;
    try {
      path = await this.#flow.bind(this.#plane, transport);
    } catch (error) {
      // Not a way to the gateway yet; the next change of the network tries again, and the machine's own checks go on.
      this.#ports.log.info(`the tunnel cannot move yet: ${messageOf(error)}`, this.#options.name);
      this.#feed({ kind: 'check-liveness' });
      if (transport === 'tcp') this.#flow.reconnect('again');
      return;
    }
    if (this.#over) return;
    const flow = this.#flow.take(path, this.#network?.facts.mobike);
    this.#report({ kind: 'facts' });
    if (flow === 'same') {
      this.#feed({ kind: 'check-liveness' });
      this.#report({ kind: 'moved' });
    } else {
      this.#ports.log.info(`moving to ${formatAddress(path.local)}`, this.#options.name);
      this.#feed({ kind: 'path-changed', path });
    }
  }

  /** Tells whoever has asked for keys those of the IKE SAs that there are now. */
  exportKeys(): void {
    for (const { driver } of this.#sas.all()) if (driver.sa) this.#exportKeysOf(driver.sa);
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
    const { driver } = this.#sas.current;
    for (const spiIn of driver.children) driver.feed({ kind: 'rekey-child', spiIn });
    driver.feed({ kind: 'rekey-ike' });
  }

  async stats(): Promise<DataPlaneStats | undefined> {
    if (this.#over || !this.#network) return undefined;
    return await this.#plane?.stats();
  }

  async #begin(): Promise<void> {
    const { plane, config } = this.#options;
    const ticket = this.#ports.findTicket();
    // With a ticket nobody is asked; if the gateway does not take it, EAP asks when it comes to that.
    const missing = ticket ? undefined : await this.#ports.prepare();
    if (this.#over) return;
    if (missing) throw new ProblemError(missing);
    await this.#ports.choosePlane();
    if (this.#over) return;
    const opened = await this.#ports.openDataPlane(plane, (event) => this.#planeEvent(event));
    if (this.#over) return await opened.close();
    this.#plane = opened;
    // The device comes before the first datagram: a machine without TUN must not authenticate in vain.
    const device = opened.openDevice();
    // Meanwhile workers start, and nobody waits for us yet.
    if (config.auth.kind === 'eap' && !ticket) this.#sas.current.eap.prepare(config.auth.peer);
    await device;
    const path = await this.#flow.bind(opened);
    if (this.#over) return;
    this.#flow.take(path, undefined);
    this.#sas.current.driver.start(ticket ? { ...config, ticket } : config, path);
  }

  #planeEvent(event: DataPlaneEvent): void {
    switch (event.kind) {
      case 'ike':
        if (this.path) {
          const from = { ...this.path, remote: event.from, remotePort: event.fromPort };
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
        if (this.#network) return this.#flow.reconnect('first');
        return this.#fail(new ProblemError(problem('noAnswerInit', `its TCP port: ${event.why}`)));
      case 'fatal':
        return this.#finish(
          problemOfHost({ code: event.code, what: event.what, cure: 'Look into the log of the daemon and of the kernel.' }),
        );
    }
  }

  #feed(event: IkeEvent): void {
    if (!this.#over) this.#sas.feed(event);
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
    this.#ports.keyExport.ike(this.#options.name, sa);
  }

  #bug(error: unknown, driver: IkeDriver): void {
    // This tunnel's end, not the daemon's.
    this.#ports.log.error(`bug in the IKE machine: ${stackOf(error)}`, this.#options.name);
    driver.stop();
    this.#finish(problem('internal', 'the IKE machine stopped'));
  }

  /** The current IKE SA wants another one in its place. */
  #replace(why: 'lifetime' | 'crash'): void {
    const run = this.#network && this.#sas.beginSuccessor();
    if (run) this.#prepareSuccessor(run, why).catch((error: unknown) => this.#successorFailed(run, problemOfError(error)));
  }

  async #prepareSuccessor(run: Run, why: 'lifetime' | 'crash'): Promise<void> {
    const { name } = this.#options;
    const config = this.#ports.renew() ?? this.#options.config;
    // A session is not resumed where it is the authentication that has run out (RFC 5723 §6.2).
    const ticket = why === 'crash' ? this.#ports.findTicket() : undefined;
    const missing = ticket ? undefined : await this.#ports.prepare();
    if (this.#over || this.#sas.successor !== run || !this.path || !this.#network) return;
    if (missing) return this.#successorFailed(run, missing);
    this.#ports.log.info('a new IKE SA is made beside the one in use', name);
    const replaces = this.#network.configuration.addresses;
    run.driver.start({ ...config, replaces, ...(ticket && { ticket }) }, this.path);
  }

  #successorFailed(run: Run, what: Problem | undefined): void {
    const left = this.#over ? undefined : this.#sas.giveUp(run);
    if (!left) return;
    if (left.orphaned) return this.#finish(what ?? this.#problemOf(left.orphaned));
    if (what) this.#ports.log.warn(`no new IKE SA: ${what.message}; the one in use goes on. ${what.cure}`, this.#options.name);
  }

  /** The successor carries traffic: it is the one from now on, and the old one says goodbye. */
  #succeed(run: Run, configuration: TunnelConfiguration, facts: IkeFacts): void {
    const old = this.#sas.takeOver(run);
    this.#watch.silent = false;
    this.#work.add(async () => {
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
    const run = this.#sas.runOf(driver);
    if (!run) return;
    const isCurrent = run === this.#sas.current;
    switch (action.kind) {
      case 'send':
        if (this.path) {
          const path = action.to ? { ...this.path, remote: action.to.address, remotePort: action.to.port } : this.path;
          this.#ports.keyExport.datagram(name, 'out', path, action.datagram);
        }
        return this.#gate.send(action.datagram, action.to);
      case 'sign':
      case 'solve-puzzle':
      case 'verify-gateway':
      case 'eap':
      case 'ask-traffic':
        return this.#answer(run, action);
      case 'answered':
        // At once: another place's answer to a probe may be read next, and must not win any more.
        return this.#report({ kind: 'answered' });
      case 'eap-waiting':
        run.eap.quiet(action.since);
        if (run.eap.wait) log.info(run.eap.wait.text, name);
        return this.#report({ kind: 'facts' });
      case 'eap-succeeded':
        log.debug(`EAP ended well: ${action.method}`, name);
        return void run.eap.succeeded(action.method).catch((error: unknown) => log.error(`after EAP: ${messageOf(error)}`, name));
      case 'install-child':
        this.#selectors = action.child.tsr;
        if (this.path) this.#ports.keyExport.esp(name, action.child, this.path);
        return this.#work.add(async () => {
          const { spi } = action.child.inbound;
          try {
            await this.#plane!.installChild(action.child);
            driver.feed({ kind: 'child-installed', spiIn: spi });
          } catch (error) {
            driver.feed({ kind: 'child-installed', spiIn: spi, problem: messageOf(error) });
          }
        });
      case 'use-child': {
        const release = this.#gate.hold();
        return this.#work.add(() => this.#plane!.useChild(action.spiIn).finally(release));
      }
      case 'remove-child':
        return this.#removeChild(action.spiIn, isCurrent);
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
        return this.#ports.trace(action.record, this.path);
      case 'trace':
        return log.write(action.level, action.what, name);
    }
  }

  #ended(run: Run, end: IkeEnd): void {
    switch (this.#sas.ended(run, end)) {
      case 'retired':
        return void run.eap.end(false).catch(() => {});
      case 'successor':
        void run.eap.end(secretRefused(end)).catch(() => {});
        return this.#successorFailed(run, this.#problemOf(end));
      case 'orphaned':
        return this.#report({ kind: 'unresponsive', silent: true });
      case 'current':
        this.#refused = secretRefused(end);
        if (end.kind === 'redirected') this.#redirect = { to: end.to, proven: end.proven };
        return this.#finish(this.#problemOf(end));
    }
  }

  #problemOf(end: IkeEnd): Problem | undefined {
    const found = problemOfEnd(end, this.#options.authentication);
    return found && explainRefusal(found, this.#ports.sentCertificates(), Date.now());
  }

  /** What another IKE SA has replaced still receives what was in flight. */
  #removeChild(spiIn: number, isCurrent: boolean): void {
    const remove = (): void => this.#work.add(() => this.#plane!.removeChild(spiIn));
    if (isCurrent) return remove();
    setTimeout(remove, retiredPatience).unref();
  }

  #established(configuration: TunnelConfiguration, facts: IkeFacts): void {
    const { plane, gateway, name } = this.#options;
    const { device, mtu } = plane;
    const kernelEsp = this.dataPlane?.kind === 'kernel';
    const network = { device, mtu, gateway, kernelEsp, configuration, selectors: this.#selectors, facts };
    // Its CHILD_SA is in the data plane now; routes and names follow.
    this.#ports.log.info(`${facts.ikeSuite}; ESP ${facts.childSuite}; gateway "${facts.gatewaySubject}"`, name);
    this.#work.add(async () => {
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
  #answer(run: Run, question: IkeQuestion): void {
    const { driver } = run;
    const { name } = this.#options;
    askHost(question, run, { name, ports: this.#ports, plane: this.#plane, isOver: () => this.#over }).then(
      (event) => {
        if (event && !this.#over && driver.isRunning) driver.feed(event);
        else if (event?.kind === 'eap') TunnelEap.discard(event.event);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    const ending = problemOfError(error);
    this.#feed({ kind: 'close', why: ending.message });
    this.#finish(ending);
  }

  #finish(ending: Problem | undefined): void {
    if (this.#over) return;
    // A goodbye among them would never leave.
    this.#gate.flush();
    this.#over = true;
    this.#sas.stop();
    this.#watch.close();
    this.#flow.close();
    // Before its routes go: nobody shall believe that they still hold.
    this.#report({ kind: 'ending' });
    this.#clearAway().then(
      () =>
        this.#report({ kind: 'ended', ...(ending && { problem: ending }), ...(this.#redirect && { redirect: this.#redirect }) }),
      (error: unknown) => this.#report({ kind: 'ended', problem: ending ?? problemOfError(error) }),
    );
  }

  /** Plan first: a route into a device that is gone is worse than none. */
  async #clearAway(): Promise<void> {
    await within(cleanUpPatience, this.#work.settled());
    for (const run of this.#sas.all()) await within(cleanUpPatience, run.eap.end(this.#refused));
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
