import { formatAddress, sameAddress, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import type { RadiusStatus } from '@aovpn/api';
import type {
  DataPlane,
  DataPlaneEvent,
  DataPlaneOptions,
  DataPlaneStats,
  OpenDataPlane,
  OuterPath,
  Transport,
} from '@aovpn/esp';
import {
  startIkeSa,
  stepIkeSa,
  type GatewayVerdict,
  type IkeAction,
  type IkeEnd,
  type IkeEvent,
  type IkeFacts,
  type IkeSa,
  type IkeSaConfig,
  type IkeStep,
  type IkeTimer,
  type MachineCrypto,
  type MessageRecord,
  type SignatureScheme,
  type TrafficSelector,
  type TunnelConfiguration,
} from '@aovpn/ike';
import { problem, problemOfEnd, problemOfHost, type AuthenticationKind, type Problem } from '@aovpn/supervisor';
import { messageOf, problemOfError, ProblemError } from './problem-error.ts';
import { TunnelEap, type EapPorts, type RadiusWait } from './tunnel-eap.ts';

export interface TunnelOptions {
  readonly name: string;
  readonly config: IkeSaConfig;
  readonly authentication: AuthenticationKind;
  readonly gateway: IpAddress;
  readonly ports: { readonly udp: number; readonly tcp: number };
  readonly transport: Transport;
  readonly plane: DataPlaneOptions;
}

/** What the tunnel has others do; every promise may reject with a host error. */
export interface TunnelPorts extends EapPorts {
  readonly crypto: MachineCrypto;
  readonly openDataPlane: OpenDataPlane;
  /** Gets what only a person can give (a password, a PIN) before anything is sent: gateways do not wait for people. */
  prepare(): Promise<Problem | undefined>;
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
  verifyGateway(question: Extract<IkeAction, { readonly kind: 'verify-gateway' }>): Promise<GatewayVerdict>;
  /** Whether anything on the gateway's port answers an IKE_SA_INIT of a stranger; resolves within some seconds. */
  probeGateway(address: IpAddress, port: number, transport: Transport): Promise<boolean>;
  /** Puts routes and names of this tunnel into force. */
  applyPlan(facts: TunnelNetwork): Promise<void>;
  /** An IKE message was sent or came in, for the trace. */
  trace(record: MessageRecord, path: OuterPath | undefined): void;
  removePlan(): Promise<void>;
}

/** What the policy room needs to know of a tunnel that is up. */
export interface TunnelNetwork {
  readonly device: string;
  readonly mtu: number;
  readonly gateway: IpAddress;
  readonly configuration: TunnelConfiguration;
  /** Narrowed TSr of the CHILD_SA. */
  readonly selectors: readonly TrafficSelector[];
  readonly facts: IkeFacts;
}

/** What the supervisor hears of it. `ended` is the last word and comes exactly once, after everything is cleared away. */
export type TunnelReport =
  | { readonly kind: 'answered' }
  | { readonly kind: 'established' }
  | { readonly kind: 'unresponsive'; readonly silent: boolean }
  | { readonly kind: 'moved' }
  | { readonly kind: 'cannot-move' }
  /** Something that the status shows differs (algorithms after a rekey, the outer path). */
  | { readonly kind: 'facts' }
  | { readonly kind: 'ended'; readonly problem?: Problem };

/**
 * ICMP and the kernel may say that the path is broken; nothing of that is authenticated, so it is only a hint to ask the gateway
 * (RFC 7296 §2.4), and one that a stranger can give at most so often, milliseconds.
 */
const hintInterval = 5_000;
/** Packets that leave and nothing that comes back for so long are a hint as well, looked for this often, milliseconds. */
const oneWay = { after: 3_000, every: 1_000 } as const;
/** From the loss of a TCP connection to the next try, milliseconds. */
const reconnect = { first: 50, again: 500 } as const;
/** How long an orderly end of plan and data plane may take each, milliseconds. */
const cleanUpPatience = 10_000;

/**
 * One tunnel from its first datagram to its last: wires the IKE machine to the data plane, the keys, the trust and the TLS engine.
 * It performs the machine's actions in order, feeds back what comes of them, and decides nothing.
 */
export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #ports: TunnelPorts;
  readonly #report: (report: TunnelReport) => void;
  readonly #timers = new Map<IkeTimer, NodeJS.Timeout>();
  #plane: DataPlane | undefined;
  #sa: IkeSa | undefined;
  readonly #eap: TunnelEap;
  #transport: Transport;
  #path: OuterPath | undefined;
  #network: TunnelNetwork | undefined;
  #selectors: readonly TrafficSelector[] = [];
  /** Work on the data plane and the plan goes one after the other, in the order of the actions. */
  #work: Promise<void> = Promise.resolve();
  #planApplied = false;
  #hintTaken = -Infinity;
  #silent = false;
  #refused = false;
  #probing = false;
  #packetsOut = 0;
  #establishedAt = 0;
  #watch: NodeJS.Timeout | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #over = false;

  constructor(options: TunnelOptions, ports: TunnelPorts, report: (report: TunnelReport) => void) {
    this.#options = options;
    this.#transport = options.transport;
    this.#ports = ports;
    this.#report = report;
    this.#eap = new TunnelEap(options.name, ports);
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
    return this.#eap.wait;
  }

  get radius(): RadiusStatus | undefined {
    return this.#eap.radius;
  }

  open(): void {
    this.#begin().catch((error: unknown) => this.#fail(error));
  }

  /** `orderly`: say goodbye and wait for the gateway's answer. Otherwise one goodbye, and gone. */
  close(orderly: boolean, why: string): void {
    if (this.#over) return;
    if (this.#sa) this.#feed({ kind: 'close', why });
    if (!orderly || !this.#sa) this.#finish(undefined);
  }

  /** Binds the outer flow to whatever the network is now, and tells the machine. */
  async move(transport: Transport = this.#transport): Promise<void> {
    if (this.#over || !this.#plane) return;
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
    if (before && samePath(before, path)) {
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

  checkLiveness(): void {
    this.#feed({ kind: 'check-liveness' });
  }

  /** Asks for new keys before their time: of every pair of CHILD_SAs, then of the IKE SA. */
  rekey(): void {
    for (const { spiIn } of this.#sa?.children ?? []) this.#feed({ kind: 'rekey-child', spiIn });
    this.#feed({ kind: 'rekey-ike' });
  }

  async stats(): Promise<DataPlaneStats | undefined> {
    if (this.#over || !this.#network) return undefined;
    return await this.#plane?.stats();
  }

  async #begin(): Promise<void> {
    const { plane, gateway, ports, config } = this.#options;
    const missing = await this.#ports.prepare();
    if (this.#over) return;
    if (missing) throw new ProblemError(missing);
    const opened = await this.#ports.openDataPlane(plane, (event) => this.#planeEvent(event));
    if (this.#over) return await opened.close();
    this.#plane = opened;
    // The device comes before the first datagram: a machine without TUN must not authenticate in vain.
    const device = opened.openDevice();
    // Meanwhile workers start, and nobody waits for us yet.
    if (config.auth.kind === 'eap') this.#eap.prepare(config.auth.peer);
    await device;
    const path = await opened.connect(gateway, ports[this.#transport], this.#transport);
    if (this.#over) return;
    this.#path = path;
    this.#step(() => startIkeSa(this.#ports.crypto, config, path, performance.now()));
  }

  #planeEvent(event: DataPlaneEvent): void {
    switch (event.kind) {
      case 'ike':
        return this.#feed({ kind: 'datagram', datagram: event.datagram, from: event.from, fromPort: event.fromPort });
      case 'rekey-needed':
        this.#ports.log.debug(`CHILD_SA needs a rekey (${event.why})`, this.#options.name);
        return this.#feed({ kind: 'rekey-child', spiIn: event.spiIn });
      case 'path-error':
        this.#ports.log.debug(`the network says ${event.code} about the way to the gateway`, this.#options.name);
        return this.#hint();
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

  #hint(): void {
    // Once the gateway is being asked, another question would only put off the answer "it is gone".
    if (!this.#network || this.#silent || performance.now() - this.#hintTaken < hintInterval) return;
    this.#hintTaken = performance.now();
    this.#feed({ kind: 'check-liveness' });
  }

  async #lookForOneWayTraffic(): Promise<void> {
    const { packetsOut = 0, lastInboundAt } = (await this.stats().catch(() => undefined)) ?? {};
    const sent = packetsOut > this.#packetsOut;
    this.#packetsOut = packetsOut;
    if (sent && performance.now() - (lastInboundAt ?? this.#establishedAt) > oneWay.after) this.#hint();
  }

  #feed(event: IkeEvent): void {
    const sa = this.#sa;
    if (this.#over || !sa) return;
    this.#step(() => stepIkeSa(this.#ports.crypto, sa, event, performance.now()));
  }

  #step(step: () => IkeStep): void {
    let result: IkeStep;
    try {
      result = step();
    } catch (error) {
      // Whatever the gateway sent, the machine must not throw: this is our bug, and this tunnel's end, not the daemon's.
      this.#ports.log.error(
        `bug in the IKE machine: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        this.#options.name,
      );
      return this.#finish(problem('internal', 'the IKE machine stopped'));
    }
    this.#sa = result.sa;
    for (const action of result.actions) {
      if (this.#over) return;
      this.#perform(action);
    }
  }

  #perform(action: IkeAction): void {
    const { log } = this.#ports;
    const { name } = this.#options;
    switch (action.kind) {
      case 'send':
        return this.#plane?.sendIke(action.datagram);
      case 'arm':
        return this.#arm(action.timer, action.at);
      case 'disarm':
        clearTimeout(this.#timers.get(action.timer));
        this.#timers.delete(action.timer);
        return;
      case 'sign':
        return this.#answer(async () => {
          const { request, scheme, data } = action;
          try {
            return { kind: 'signed', request, signature: await this.#ports.sign(scheme, data) };
          } catch (error) {
            return { kind: 'signed', request, signature: undefined, problem: messageOf(error) };
          }
        });
      case 'verify-gateway':
        return this.#answer(async () => {
          const verdict = await this.#ports.verifyGateway(action);
          for (const line of verdict.trace) log.debug(`gateway certificate: ${line}`, name);
          return { kind: 'gateway-verdict', request: action.request, verdict };
        });
      case 'answered':
        return this.#report({ kind: 'answered' });
      case 'eap':
        return this.#answer(async () => {
          const event = await this.#eap.handle(action.action);
          return event && { kind: 'eap', event };
        });
      case 'eap-waiting':
        this.#eap.quiet(action.since);
        if (this.#eap.wait) log.info(this.#eap.wait.text, name);
        return this.#report({ kind: 'facts' });
      case 'eap-succeeded':
        log.debug(`EAP ended well: ${action.method}`, name);
        return void this.#eap
          .succeeded(action.method)
          .catch((error: unknown) => log.error(`after EAP: ${messageOf(error)}`, name));
      case 'install-child':
        this.#selectors = action.child.tsr;
        return this.#enqueue(async () => {
          const { spi } = action.child.inbound;
          try {
            await this.#plane!.installChild(action.child);
            this.#feed({ kind: 'child-installed', spiIn: spi });
          } catch (error) {
            this.#feed({ kind: 'child-installed', spiIn: spi, problem: messageOf(error) });
          }
        });
      case 'use-child':
        return this.#enqueue(() => this.#plane!.useChild(action.spiIn));
      case 'remove-child':
        return this.#enqueue(() => this.#plane!.removeChild(action.spiIn));
      case 'ask-traffic':
        return this.#answer(async () => {
          const { lastInboundAt, children } = await this.#plane!.stats();
          return { kind: 'traffic', lastInboundAt, children };
        });
      case 'established':
        return this.#established(action.configuration, action.facts);
      case 'rekeyed':
        log.info(
          `${action.what === 'ike' ? 'IKE SA' : 'CHILD_SA'} rekeyed: ${action.what === 'ike' ? action.facts.ikeSuite : action.facts.childSuite}`,
          name,
        );
        if (this.#network) this.#network = { ...this.#network, facts: action.facts };
        return this.#report({ kind: 'facts' });
      case 'moved':
        log.info('the gateway follows to the new address', name);
        return this.#report({ kind: 'moved' });
      case 'cannot-move':
        return this.#report({ kind: 'cannot-move' });
      case 'unresponsive':
        this.#silent = action.since !== undefined;
        log.info(action.since === undefined ? 'the gateway answers again' : 'the gateway does not answer', name);
        return this.#report({ kind: 'unresponsive', silent: action.since !== undefined });
      case 'probe-gateway':
        return void this.#probe();
      case 'ended':
        this.#refused = secretRefused(action.end);
        return this.#finish(problemOfEnd(action.end, this.#options.authentication));
      case 'message':
        return this.#ports.trace(action.record, this.#path);
      case 'trace':
        return log.write(action.level, action.what, name);
    }
  }

  async #probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    try {
      const { gateway, ports } = this.#options;
      if (await this.#ports.probeGateway(gateway, ports[this.#transport], this.#transport))
        this.#feed({ kind: 'gateway-answers-strangers' });
    } finally {
      this.#probing = false;
    }
  }

  #established(configuration: TunnelConfiguration, facts: IkeFacts): void {
    const { plane, gateway, name } = this.#options;
    const network = { device: plane.device, mtu: plane.mtu, gateway, configuration, selectors: this.#selectors, facts };
    this.#enqueue(async () => {
      await this.#plane!.setInnerAddresses(configuration.addresses.map(({ address }: IpPrefix) => address));
      if (this.#over) return;
      this.#planApplied = true;
      await this.#ports.applyPlan(network);
      if (this.#over) return;
      this.#network = network;
      this.#establishedAt = performance.now();
      this.#watch = setInterval(() => void this.#lookForOneWayTraffic(), oneWay.every);
      this.#ports.log.info(`${facts.ikeSuite}; ESP ${facts.childSuite}; gateway "${facts.gatewaySubject}"`, name);
      this.#report({ kind: 'established' });
    });
  }

  #arm(timer: IkeTimer, at: number): void {
    clearTimeout(this.#timers.get(timer));
    const delay = Math.min(0x7fff_ffff, Math.max(0, Math.ceil(at - performance.now())));
    this.#timers.set(
      timer,
      setTimeout(() => {
        this.#timers.delete(timer);
        this.#feed({ kind: 'timer', timer });
      }, delay),
    );
  }

  /** Asks the host something and feeds the answer back, if anybody still wants it. */
  #answer(ask: () => Promise<IkeEvent | undefined>): void {
    ask().then(
      (event) => {
        if (event && !this.#over) this.#feed(event);
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
    if (this.#sa) this.#feed({ kind: 'close', why: ending.message });
    this.#finish(ending);
  }

  #finish(ending: Problem | undefined): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    clearInterval(this.#watch);
    clearTimeout(this.#reconnect);
    this.#clearAway().then(
      () => this.#report(ending ? { kind: 'ended', problem: ending } : { kind: 'ended' }),
      (error: unknown) => this.#report({ kind: 'ended', problem: ending ?? problemOfError(error) }),
    );
  }

  /** Plan first: a route into a device that is gone is worse than none. */
  async #clearAway(): Promise<void> {
    await within(cleanUpPatience, this.#work);
    await within(cleanUpPatience, this.#eap.end(this.#refused));
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
  return (
    sameAddress(a.local, b.local) &&
    a.localPort === b.localPort &&
    sameAddress(a.remote, b.remote) &&
    a.remotePort === b.remotePort
  );
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

/** Whether the server did not like the secret that it was given. Methods that have no word for that just end. */
function secretRefused(end: IkeEnd): boolean {
  if (end.kind !== 'failed' || end.failure.kind !== 'eap') return false;
  const { kind, unexplained } = end.failure.failure;
  // A refusal after the server has shown that it knows the password says nothing against the password.
  return kind === 'wrong-password' || kind === 'password-expired' || (kind === 'rejected' && unexplained === 'secret');
}
