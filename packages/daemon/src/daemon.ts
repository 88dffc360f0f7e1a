import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import type {
  CertificateReport,
  ConnectionStatus,
  DaemonEvent,
  DaemonStatus,
  ExportedSecret,
  LockdownStatus,
  ProfileStatus,
} from '@aovpn/api';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { Transport } from '@aovpn/esp';
import {
  createRevocationChecker,
  type BeaconQuestion,
  type BeaconResult,
  type GatewayVerifier,
  type Network,
  type NetworkFacts,
  type PacServer,
  type TlsEngine,
  type TlsEngineOptions,
  type UpstreamAsker,
} from '@aovpn/host';
import type { MachineCrypto } from '@aovpn/ike';
import type { DnsRule, Intent } from '@aovpn/policy';
import {
  reviewProfile,
  startSupervisor,
  stepSupervisor,
  unwantedConnections,
  viewConnection,
  type Problem,
  type SupervisorAction,
  type SupervisorOccurrence,
  type SupervisorState,
} from '@aovpn/supervisor';
import { AppStore } from './app-store.ts';
import { AppTriggers } from './app-triggers.ts';
import { Attendance } from './attendance.ts';
import { CandidateStore } from './candidate-store.ts';
import type { DataPlanes } from './choose-data-plane.ts';
import { certificateReport } from './certificate-report.ts';
import type { LoadedCredentials } from './credentials.ts';
import { DaemonError } from './daemon-error.ts';
import { deviceNameOf } from './device-name.ts';
import { DirectoryWatch } from './directory-watch.ts';
import { DnsRegistrar } from './dns-registrar.ts';
import { HeldFile } from './held-file.ts';
import { HoldEnds } from './hold-end.ts';
import { LockdownControl, type LockdownPlatform } from './lockdown-control.ts';
import type { Log } from './log.ts';
import { KeyExport } from './key-export.ts';
import { MessageTrace } from './message-trace.ts';
import { askAddresses, joinAnswers, type QuestionAnswer } from './dns-question.ts';
import { NameRoutes } from './name-routes.ts';
import { NetworkFollower } from './network-follower.ts';
import { makeAttempt } from './open-attempt.ts';
import type { DaemonOptions } from './options.ts';
import { PlaceFile } from './place-file.ts';
import { outerMark } from './outer-mark.ts';
import { PortalControl, type PortalPlatform } from './portal-control.ts';
import { PlanKeeper } from './plan-keeper.ts';
import { messageOf, problemOfError } from './problem-error.ts';
import { ProfileStore, weaknessOf, type StoredProfile, type StoreChange } from './profile-store.ts';
import { PromptDesk } from './prompt-desk.ts';
import { ProxyPublisher, removeProxyNotice } from './proxy-publisher.ts';
import { resolveGateway } from './resolve-gateway.ts';
import type { SettingsFile } from './settings-file.ts';
import { StatusBoard } from './status-board.ts';
import { TrafficControl, type FilterPlatform } from './traffic-control.ts';
import { trafficStatus, withPlanProblems } from './traffic-report.ts';
import { TicketStore } from './ticket-store.ts';
import { TrustMemory } from './trust-memory.ts';
import { TrustedNetworks } from './trusted-networks.ts';
import type { Tunnel, TunnelReport } from './tunnel.ts';
import { userId, userText } from './user-database.ts';
import { version } from './version.ts';

/** What the daemon needs of the machine; the real one is made in `platform.ts`. */
export interface Platform {
  readonly crypto: MachineCrypto;
  readonly network: Network;
  /** Serves the proxy script. */
  readonly pac: PacServer;
  readonly filters: FilterPlatform;
  readonly lockdown: LockdownPlatform;
  readonly portal: PortalPlatform;
  readonly asker: UpstreamAsker;
  readonly dataPlanes: DataPlanes;
  createGatewayVerifier(credentials: LoadedCredentials, revocation: 'off' | 'soft' | 'hard'): GatewayVerifier;
  createTlsEngine(options: TlsEngineOptions): TlsEngine;
  probeGateway(address: IpAddress, port: number, transport: Transport): Promise<boolean>;
  askBeacon(question: BeaconQuestion): Promise<BeaconResult>;
}

const rescanInterval = 10_000;
/** How long goodbyes and clearing away may take at the end, milliseconds. */
const stopPatience = 15_000;
/** How long a person may think about a question, milliseconds: gateways and RADIUS servers wait less as a rule, and a machine forgets. */
const promptLifetime = 150_000;

/**
 * The composition root: feeds the supervisor with what happens and performs what it decides. One event at a time; nothing here waits
 * for the network before the next event is taken.
 */
export class Daemon {
  readonly options: DaemonOptions;
  readonly log: Log;
  readonly trace: MessageTrace;
  readonly #keyExport = new KeyExport();
  readonly store: ProfileStore;
  readonly plans: PlanKeeper;
  readonly traffic: TrafficControl;
  readonly lockdown: LockdownControl;
  readonly portal: PortalControl;
  readonly apps: AppStore;
  readonly settings: SettingsFile;
  readonly platform: Platform;
  readonly profilesDir: string;
  readonly attendance: Attendance;
  readonly prompts: PromptDesk;
  readonly #board: StatusBoard;
  readonly #appTriggers: AppTriggers;
  readonly #names: NameRoutes;
  readonly #proxies: ProxyPublisher;
  readonly #registrar: DnsRegistrar;
  readonly #network: NetworkFollower;
  readonly #trusted: TrustedNetworks;
  readonly #candidates: CandidateStore;
  readonly #held: HeldFile;
  readonly #holdEnds = new HoldEnds({ end: (name, why) => this.#say({ kind: 'hold-over', name, why }) });
  readonly #places: PlaceFile;
  readonly #trust: TrustMemory;
  readonly #tickets: TicketStore;
  readonly #revocation = createRevocationChecker();
  readonly #startedAt = new Date();
  readonly #tunnels = new Map<string, { readonly attempt: number; readonly tunnel: Tunnel }>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #watches: { close(): void }[] = [];
  readonly #stopped = Promise.withResolvers<void>();
  #state: SupervisorState = startSupervisor();
  /** Loading of files goes one after the other. */
  #loading: Promise<void> = Promise.resolve();
  #stopping = false;
  #trafficTold = false;

  constructor(options: DaemonOptions, platform: Platform, settings: SettingsFile, log: Log) {
    this.options = options;
    this.platform = platform;
    this.settings = settings;
    this.log = log;
    this.trace = new MessageTrace({ log, clock: Date.now });
    this.profilesDir = path.join(options.configDir, 'profiles.d');
    this.lockdown = new LockdownControl({
      platform: platform.lockdown,
      stateDir: options.stateDir,
      runDir: options.runDir,
      log,
      onChange: () => this.#trafficChanged(),
    });
    this.store = new ProfileStore({
      directory: this.profilesDir,
      lastGoodDirectory: path.join(options.stateDir, 'last-good'),
      review: (name, profile) => reviewProfile(profile, settings.current.of(name)),
      mustStay: ({ intent }) => this.lockdown.isLocking(intent),
      log,
      clock: Date.now,
    });
    this.apps = new AppStore({ configDir: options.configDir, log });
    this.traffic = new TrafficControl({
      filters: platform.filters,
      log,
      onStarted: (app, pid) => this.#appTriggers.started(app, pid),
      onResumed: () => this.#appTriggers.forgetHolds(),
      onChange: () => this.#trafficChanged(),
    });
    this.#appTriggers = new AppTriggers({
      plan: () => this.plans.plan,
      traffic: this.traffic,
      connection: (name) => this.#state.connections.get(name),
      settings: (name) => settings.current.of(name),
      say: (name, why) => this.#say({ kind: 'trigger', name, ...(why !== undefined && { why }) }),
    });
    this.#proxies = new ProxyPublisher(options.runDir, platform.pac, log);
    this.#names = new NameRoutes({
      wishes: (name) => settings.current.of(name),
      ask: (name, rule) => this.#askName(name, rule),
      onChange: () =>
        void this.plans
          .refresh()
          .catch((error: unknown) => log.error(`routes of names could not be applied: ${messageOf(error)}`)),
    });
    this.#registrar = new DnsRegistrar({
      network: platform.network,
      configDir: options.configDir,
      settings: (name) => settings.current.of(name),
      log,
      onChange: (name) => this.#board.publish(name),
    });
    this.plans = new PlanKeeper({
      names: (name) => this.#names.of(name),
      network: platform.network,
      mark: outerMark,
      intents: () => this.intents(),
      traffic: this.traffic,
      lockdown: this.lockdown,
      onApplied: (plan) => {
        this.#appTriggers.planned();
        this.#names.follow(plan);
        void this.#proxies.follow(plan.proxy);
        this.#registrar.follow(plan);
      },
      facts: async (intents) => ({ ...(await this.apps.factsFor(intents)), released: unwantedConnections(this.#state) }),
      log,
    });
    this.#network = new NetworkFollower({
      network: platform.network,
      log,
      onFacts: () => this.#trusted.judge(),
      isUp: () => [...this.#state.connections.values()].some(({ phase }) => phase.kind === 'up'),
      say: (occurrence) => this.#say(occurrence),
      refresh: async (readFacts) => {
        platform.asker.refresh();
        await readFacts();
        await this.plans.refresh();
        this.#names.askAgain();
      },
    });
    this.#trusted = new TrustedNetworks({
      configDir: options.configDir,
      facts: () => this.#network.facts,
      intents: () => this.intents(),
      settings: (name) => settings.current.of(name),
      // Nobody but a gateway is looked up past a lock.
      resolve: async (host) => (this.#wantsLock() ? { addresses: [], why: 'LockDown is in force' } : await this.resolve(host)),
      askBeacon: (question) => platform.askBeacon(question),
      mark: outerMark,
      say: (verdicts) => this.#say({ kind: 'trust', verdicts }),
      log,
    });
    this.portal = new PortalControl({
      platform: platform.portal,
      mark: outerMark,
      log,
      settings: () => settings.current.portal,
      facts: () => platform.network.networkFacts(),
      resolve: (name) => this.resolve(name),
      allow: (questions) => this.#openLockdown({ questions }),
      hole: (portal) => this.#openLockdown({ portal }),
      onChange: (portal) => this.#board.tell({ kind: 'portal', portal }),
    });
    this.#held = new HeldFile(path.join(options.stateDir, 'held.json'), log);
    this.#places = new PlaceFile(path.join(options.stateDir, 'places.json'), log);
    this.#trust = new TrustMemory(path.join(options.stateDir, 'radius-trust.json'), log);
    this.#tickets = new TicketStore(path.join(options.runDir, 'tickets.json'), log);
    this.attendance = new Attendance(
      () => settings.current.promptUsers.length > 0,
      // What was refused for want of a person is tried again.
      () => void this.rescan().catch(() => {}),
    );
    this.prompts = new PromptDesk({
      log,
      attended: () => this.attendance.attended,
      publish: (event) => this.#promptChanged(event),
      lifetimeMs: promptLifetime,
    });
    this.#candidates = new CandidateStore({
      configDir: options.configDir,
      profilesDir: this.profilesDir,
      settings: (name) => settings.current.of(name),
      attendance: this.attendance,
      desk: this.prompts,
      log,
      isLocking: (intent) => this.lockdown.isLocking(intent),
      inUse: (name) => this.#tunnels.has(name),
      createGatewayVerifier: (credentials, revocation) => platform.createGatewayVerifier(credentials, revocation),
      onPicked: () => void this.rescan().catch(() => {}),
    });
    this.#board = new StatusBoard({
      connection: (name) => this.#state.connections.get(name),
      tunnel: (name) => this.#tunnels.get(name)?.tunnel,
      prompts: () => this.prompts.list(),
      parts: (name) => {
        const registration = this.#registrar.state(name);
        return {
          intent: this.store.get(name)?.intent,
          ports: settings.current.of(name),
          plan: this.plans.plan,
          ...(registration && { registration }),
        };
      },
    });
  }

  async start(): Promise<void> {
    await mkdir(this.profilesDir, { recursive: true, mode: 0o755 });
    const weakness = await weaknessOf(this.profilesDir);
    if (weakness !== undefined) throw new DaemonError('AOV-DAEMON-503', weakness);
    removeProxyNotice(this.options.runDir);
    const left = await this.platform.network.cleanUp();
    if (left.rules + left.routes + left.devices.length + left.ipsec > 0 || left.resolver === 'restored') {
      this.log.warn(
        `cleared away what an earlier run left: ${left.rules} rules, ${left.routes} routes, devices ${left.devices.join(' ') || '–'}, ${left.ipsec} IPsec SAs and policies, resolver ${left.resolver}`,
      );
    }
    for (const what of left.problems) this.log.error(`could not be cleared away: ${what}`);
    const held = await this.#held.read();
    this.#state = startSupervisor(held, await this.#places.read());
    this.#holdEnds.take(held);
    await this.portal.start();
    await this.lockdown.read();
    await this.#tickets.load();
    await this.#network.read();
    await this.rescan();
    // Also without any profile: a lock that nothing asks for any more goes. What profiles say decides, not whether their plan could be applied.
    if (!this.#wantsLock()) await this.lockdown.apply(undefined);
    // What guards forced apps is replaced by the first plan in one go, not removed before: they had a moment in the open otherwise.
    if (this.traffic.state.state === 'off')
      for (const what of await this.platform.filters.cleanUp()) this.log.error(`could not be cleared away: ${what}`);
    this.#heedPortal();
    this.#watch();
  }

  /** Says goodbye to every gateway and leaves nothing behind. Resolves in any case. */
  async stop(): Promise<void> {
    if (this.#stopping) return await this.#stopped.promise;
    this.#stopping = true;
    this.log.info('stopping');
    for (const watch of this.#watches) watch.close();
    this.prompts.close();
    await this.portal.stop();
    const patience = setTimeout(() => {
      this.log.error('a tunnel did not end in time');
      this.#stopped.resolve();
    }, stopPatience);
    this.#say({ kind: 'stop' });
    await this.#stopped.promise;
    await this.#tickets.settled();
    clearTimeout(patience);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.abandon('remove');
  }

  /** The promised state by the shortest way: after a bug, or as the last step of an orderly end. */
  async abandon(guards: 'remove' | 'keep'): Promise<void> {
    try {
      await this.plans.clear(guards);
      await this.lockdown.close();
      await this.#candidates.close();
      await this.platform.network.close();
    } catch (error) {
      this.log.error(`clearing away failed: ${messageOf(error)}; "aovpnd --clean-up" tries again`);
    }
    this.#registrar.close();
    this.#names.close();
    await this.#proxies.follow(undefined);
    this.platform.asker.close();
  }

  // What people ask for

  up(name: string): void {
    // Who says so where nobody can be asked means: with what there is.
    if (!this.attendance.attended) this.#candidates.keepsakes(name)?.passwords.tryAgain();
    this.#candidates.askForChoice(name);
    this.#say({ kind: 'up', name });
  }

  /** `by`: the user who says so. @throws {DaemonError} AOV-DAEMON-540 */
  down(name: string, by: number): void {
    this.refuseWhileLocked(name, 'AOV-DAEMON-540');
    this.prompts.withdraw(name);
    this.#candidates.keepsakes(name)?.passwords.forget();
    this.#tickets.forget(name);
    const { downEnds } = this.settings.current.of(name);
    const ends = typeof downEnds === 'number' ? new Date(Date.now() + downEnds).toISOString() : downEnds;
    this.#say({ kind: 'down', name, hold: { by: userText(by), since: new Date().toISOString(), ends } });
  }

  /** @throws {DaemonError} AOV-DAEMON-512, AOV-DAEMON-550 */
  rekey(name: string): void {
    if (!this.hasConnection(name)) throw new DaemonError('AOV-DAEMON-512', name);
    const tunnel = this.#tunnels.get(name)?.tunnel;
    if (!tunnel?.network) throw new DaemonError('AOV-DAEMON-550', name);
    tunnel.rekey();
  }

  /** @throws {DaemonError} with this code, when the profile has LockDown that root has not released */
  refuseWhileLocked(name: string, code: 'AOV-DAEMON-540' | 'AOV-DAEMON-541'): void {
    const stored = this.store.get(name);
    if (stored && this.lockdown.isLocking(stored.intent)) throw new DaemonError(code, name);
  }

  /** Root's way out of LockDown (`released`), or back. @throws {DaemonError} AOV-DAEMON-516, AOV-DAEMON-543 */
  async setLockdown(name: string, released: boolean, by: string): Promise<void> {
    const stored = this.store.get(name);
    if (!stored?.intent.lockdown) throw new DaemonError('AOV-DAEMON-543', name);
    if (released) await this.lockdown.release(name, by);
    else await this.lockdown.engage(name, by);
    // What the connection may do first, so that nothing is held back that is not blocked, nor blocked that is held back.
    await this.#load(stored, true);
    await this.rescan();
    await this.plans.refresh();
  }

  /** Why all traffic of this machine is blocked now; undefined: it is not. */
  get blocked(): string | undefined {
    return this.lockdown.blockedText(this.#isLockedUp());
  }

  /** Whether any profile in force has LockDown that root has not released. */
  #wantsLock(): boolean {
    return [...this.intents().values()].some((intent) => this.lockdown.isLocking(intent));
  }

  /** Undefined when no profile has LockDown. */
  get lockdownStatus(): LockdownStatus | undefined {
    return this.lockdown.status(this.intents().values(), this.#isLockedUp());
  }

  /** Whether a tunnel with LockDown carries traffic. */
  #isLockedUp(): boolean {
    return [...this.#state.connections.values()].some((connection) => viewConnection(connection).trafficBlocked === false);
  }

  /** Whether a user besides root may answer prompts. */
  mayAnswer(uid: number): boolean {
    return this.settings.current.promptUsers.some((user) => userId(user) === uid);
  }

  /** @throws {DaemonError} AOV-DAEMON-512 */
  async certificateReport(name: string): Promise<CertificateReport> {
    const candidate = this.#candidates.get(name);
    const keepsakes = this.#candidates.keepsakes(name);
    if (!candidate || !keepsakes) throw new DaemonError('AOV-DAEMON-512', name);
    return await certificateReport(candidate, keepsakes);
  }

  /** Reads settings, profiles and credentials anew and puts what changed into force. */
  async rescan(): Promise<void> {
    const mine = this.#loading.then(() => this.#rescan());
    this.#loading = mine.catch((error: unknown) => this.log.error(`reading the configuration failed: ${messageOf(error)}`));
    await mine;
  }

  /** `watcher` hears of every change from now on. */
  subscribe(watcher: (event: DaemonEvent) => void): () => void {
    return this.#board.subscribe(watcher);
  }

  async status(): Promise<DaemonStatus> {
    const facts = await this.platform.network.networkFacts();
    const traffic = trafficStatus(this.plans.plan, this.traffic);
    const lockdown = this.lockdownStatus;
    const portal = this.portal.status();
    return {
      version,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      resolver: facts.resolver.owner,
      resolverTrace: facts.resolver.trace,
      connections: await this.connections(),
      profiles: this.profiles(),
      ...(traffic && { traffic }),
      ...(lockdown && { lockdown }),
      ...(portal.state !== 'none' && { portal }),
    };
  }

  /** With what the plan in force says of them. */
  profiles(): readonly ProfileStatus[] {
    return this.store.statuses().map((profile) => withPlanProblems(profile, this.plans.plan));
  }

  async connections(): Promise<readonly ConnectionStatus[]> {
    const names = [...this.#state.connections.keys()].sort();
    const all = await Promise.all(names.map((name) => this.#board.status(name)));
    return all.filter((status) => status !== undefined);
  }

  /** What the network was when it was last looked at. */
  get facts(): NetworkFacts | undefined {
    return this.#network.facts;
  }

  /** For the doctor. */
  candidate(
    name: string,
  ): { readonly stored: StoredProfile; readonly credentials?: LoadedCredentials; readonly problem?: Problem } | undefined {
    const candidate = this.#candidates.get(name);
    const spec = this.#state.connections.get(name)?.spec;
    return candidate && { ...candidate, ...(spec?.problem && { problem: spec.problem }) };
  }

  hasConnection(name: string): boolean {
    return this.#state.connections.has(name);
  }

  async resolve(server: string): ReturnType<typeof resolveGateway> {
    const facts = await this.platform.network.networkFacts();
    await this.plans.ask(facts.resolver.servers);
    return await resolveGateway(server, {
      servers: facts.resolver.servers,
      mark: outerMark,
      asker: this.platform.asker,
      v4: facts.sources.v4 !== undefined,
    });
  }

  /** Where a program would be answered: by the servers of a rule through their tunnel, or by the machine's own ones outside of all. */
  async #askName(name: string, rule: DnsRule | undefined): Promise<QuestionAnswer> {
    const { asker, network } = this.platform;
    const options = rule
      ? { servers: rule.servers, mark: 0, asker }
      : { servers: (await network.networkFacts()).resolver.servers, mark: outerMark, asker };
    return joinAnswers(await Promise.all(([6, 4] as const).map((family) => askAddresses(name, family, options))));
  }

  // Events in

  #watch(): void {
    const rescan = (): void => void this.rescan().catch(() => {});
    const appDirectories = ['apps.d', 'sids.d'].map((name) => path.join(this.options.configDir, name));
    const files = new DirectoryWatch([this.options.configDir, this.profilesDir, ...appDirectories], rescan, rescanInterval);
    this.#network.watch();
    this.#watches.push(files, this.#holdEnds, this.#appTriggers, this.#network, this.#trusted, this.plans.watch());
  }

  async #rescan(): Promise<void> {
    if (this.#stopping) return;
    const settingsChanged = await this.settings.reload();
    const changes = settingsChanged ? await this.store.reconsider() : await this.store.scan();
    for (const change of changes) await this.#take(change);
    // Credentials beside profiles that did not change themselves.
    for (const name of this.store.names()) {
      const stored = this.store.get(name);
      if (stored && !changes.some((change) => change.kind === 'in-force' && change.stored.name === name))
        await this.#load(stored, settingsChanged);
    }
    if (settingsChanged || changes.length > 0) this.#trusted.judge();
    const appsChanged = this.apps.isLoaded && (await this.apps.load());
    if (changes.length > 0 || appsChanged || settingsChanged)
      await this.plans.refresh().catch((error: unknown) => this.log.error(`the plan could not be applied: ${messageOf(error)}`));
  }

  async #take(change: StoreChange): Promise<void> {
    switch (change.kind) {
      case 'in-force':
        if (!change.stored.intent.lockdown) await this.lockdown.forget(change.stored.name);
        await this.#load(change.stored, true);
        this.#publishProfile(change.stored.name);
        return;
      case 'refused':
        this.#publishProfile(change.name);
        return;
      case 'removed':
        await this.#candidates.remove(change.name);
        await this.#trust.forget(change.name);
        await this.#places.forget(change.name);
        await this.lockdown.forget(change.name);
        this.#tickets.forget(change.name);
        this.#say({ kind: 'profile-removed', name: change.name });
        return;
    }
  }

  /** Tells the supervisor if profile, settings or credentials differ. */
  async #load(stored: StoredProfile, force: boolean): Promise<void> {
    const spec = await this.#candidates.load(stored, force);
    if (!spec) return;
    // Before the profile: it must not connect where it is not needed.
    this.#trusted.judge();
    this.#say({ kind: 'profile', spec });
  }

  // The supervisor

  #say(occurrence: SupervisorOccurrence): void {
    const unwanted = [...unwantedConnections(this.#state)].join('/');
    const { state, actions } = stepSupervisor(this.#state, { ...occurrence, random: Math.random() }, performance.now());
    this.#state = state;
    // What its apps may do without it changes with the wish.
    if (!this.#stopping && [...unwantedConnections(state)].join('/') !== unwanted) this.plans.refreshSoon();
    const changed = new Set<string>();
    for (const action of actions) {
      if (action.kind === 'changed') changed.add(action.name);
      else this.#perform(action);
    }
    for (const name of changed) this.#board.publish(name);
    if (changed.size > 0) this.#appTriggers.settle();
    this.#heedPortal();
  }

  /** Whether somebody would want to sign in to this network: a connection that holds traffic inside is wanted, and not up. */
  #heedPortal(): void {
    const { connections, network } = this.#state;
    const needed = [...connections.values()].some(
      (connection) => holdsInside(this.store.get(connection.spec.name)?.intent) && wantsPortal(viewConnection(connection).state),
    );
    const ways = (this.#network.facts?.defaultRoutes ?? []).map(
      ({ family, device, gateway }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''}`,
    );
    this.portal.heed(needed && (network.v4 || network.v6), ways.join('\n'));
  }

  async #openLockdown(change: Pick<LockdownControl, 'questions'> | Pick<LockdownControl, 'portal'>): Promise<void> {
    Object.assign(this.lockdown, change);
    if (this.plans.plan.lockdown) await this.plans.refresh();
  }

  #perform(action: Exclude<SupervisorAction, { readonly kind: 'changed' }>): void {
    switch (action.kind) {
      case 'resolve':
        return void this.#resolve(action);
      case 'open':
        return this.#open(action);
      case 'probe':
        return void this.#probe(action);
      case 'keep-places':
        return void this.#places.keep(action.name, action.places);
      case 'close':
        return void this.#close(action);
      case 'move':
        return void this.#tunnelOf(action)?.move(action.transport);
      case 'check-liveness':
        return this.#tunnelOf(action)?.checkLiveness();
      case 'arm':
        return this.#arm(action.name, action.at);
      case 'disarm':
        clearTimeout(this.#timers.get(action.name));
        this.#timers.delete(action.name);
        return;
      case 'keep-held':
        this.#holdEnds.take(action.holds);
        return void this.#held.write(action.holds);
      case 'forgotten':
        return this.#board.forget(action.name);
      case 'log':
        return this.log.write(action.level, action.text, action.name);
      case 'stopped':
        return this.#stopped.resolve();
    }
  }

  #tunnelOf({ name, attempt }: { readonly name: string; readonly attempt: number }): Tunnel | undefined {
    const entry = this.#tunnels.get(name);
    return entry?.attempt === attempt ? entry.tunnel : undefined;
  }

  /** What stands in DNS because of a tunnel can be taken out only while the tunnel is there. */
  async #close(action: Extract<SupervisorAction, { readonly kind: 'close' }>): Promise<void> {
    const tunnel = this.#tunnelOf(action);
    if (action.orderly && this.#registrar.state(action.name)) await this.#registrar.withdraw(action.name);
    tunnel?.close(action.orderly, action.why);
  }

  async #resolve({ name, attempt, servers }: Extract<SupervisorAction, { readonly kind: 'resolve' }>): Promise<void> {
    const answers = await Promise.all(
      servers.map(async (server) => {
        try {
          return { server, ...(await this.resolve(server)) };
        } catch (error) {
          return { server, addresses: [], why: messageOf(error) };
        }
      }),
    );
    this.#say({ kind: 'resolved', name, attempt, answers });
  }

  async #probe({ name, attempt, candidate }: Extract<SupervisorAction, { readonly kind: 'probe' }>): Promise<void> {
    const { gatewayPort, tcpPort } = this.settings.current.of(name);
    const { address, transport } = candidate;
    const port = transport === 'tcp' ? tcpPort : gatewayPort;
    const answered = await this.plans
      .reach(name, [{ address, port }])
      .then(() => this.platform.probeGateway(address, port, transport))
      .catch(() => false);
    if (answered) this.#say({ kind: 'probed', name, attempt, candidate });
  }

  /** Keys and datagrams for root, where the settings allow it. Returns what begins it. @throws {DaemonError} where they do not */
  exportKeys(
    connection: string | undefined,
    peer: { readonly uid: number; readonly pid: number },
  ): (take: (secret: ExportedSecret) => void) => () => void {
    if (!this.settings.current.allowKeyExport || peer.uid !== 0) throw new DaemonError('AOV-DAEMON-521');
    return (take) => {
      this.log.warn(`keys of ${connection ?? 'every connection'} are being handed to process ${peer.pid} of root`);
      const end = this.#keyExport.begin(connection, take);
      for (const { tunnel } of this.#tunnels.values()) tunnel.exportKeys();
      return () => {
        end();
        this.log.warn(`keys are no longer handed to process ${peer.pid}`);
      };
    };
  }

  #open(action: Extract<SupervisorAction, { readonly kind: 'open' }>): void {
    const { name, attempt } = action;
    this.platform.network.expectPlan(outerMark);
    const context = {
      platform: this.platform,
      plans: this.plans,
      desk: this.prompts,
      trust: this.#trust,
      tickets: this.#tickets,
      log: this.log,
      trace: this.trace,
      keyExport: this.#keyExport,
      revocation: this.#revocation,
      device: deviceNameOf(name, this.store.names()),
      mark: outerMark,
    };
    let tunnel: Tunnel;
    try {
      const report = (what: TunnelReport): void => this.#reported(name, attempt, what);
      tunnel = makeAttempt(action, this.#candidates.get(name), this.#candidates.keepsakes(name), context, report);
    } catch (error) {
      setImmediate(() => this.#say({ kind: 'ended', name, attempt, problem: problemOfError(error) }));
      return;
    }
    this.#tunnels.set(name, { attempt, tunnel });
    tunnel.open();
  }

  #reported(name: string, attempt: number, report: TunnelReport): void {
    switch (report.kind) {
      case 'facts':
        return this.#board.publish(name);
      case 'ended':
        if (this.#tunnels.get(name)?.attempt === attempt) this.#tunnels.delete(name);
        return this.#say({ name, attempt, ...report });
      case 'answered':
      case 'established':
      case 'unresponsive':
      case 'moved':
      case 'cannot-move':
      case 'ending':
        return this.#say({ name, attempt, ...report });
    }
  }

  #arm(name: string, at: number): void {
    clearTimeout(this.#timers.get(name));
    const delay = Math.min(0x7fff_ffff, Math.max(0, at - performance.now()));
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        this.#say({ kind: 'timer', name });
      }, delay),
    );
  }

  // What people see

  /** A question, or its end, is told; the status of its connection may read otherwise. */
  #promptChanged(event: DaemonEvent): void {
    this.#board.tell(event);
    if (event.kind === 'prompt') this.#board.publish(event.prompt.connection);
    // Once the desk has let go of it.
    if (event.kind === 'prompt-over') setImmediate(() => this.#board.publish(event.connection));
  }

  #publishProfile(name: string): void {
    const profile: ProfileStatus | undefined = this.store.status(name);
    if (profile) this.#board.tell({ kind: 'profile', profile });
  }

  /** Filters of a profile, and who counts as an app, show in the status of its connection. */
  #trafficChanged(): void {
    if (this.#trafficTold) return;
    this.#trafficTold = true;
    setImmediate(() => {
      this.#trafficTold = false;
      for (const name of this.#state.connections.keys()) this.#board.publish(name);
    });
  }

  /** What profiles in force want, by name. */
  intents(): ReadonlyMap<string, Intent> {
    return new Map(
      this.store.names().flatMap((name) => {
        const intent = this.store.get(name)?.intent;
        return intent ? [[name, intent] as const] : [];
      }),
    );
  }
}

function holdsInside(intent: Intent | undefined): boolean {
  return intent !== undefined && (intent.routing.value === 'ForceTunnel' || intent.lockdown !== undefined);
}

function wantsPortal(state: ConnectionStatus['state']): boolean {
  return state === 'connecting' || state === 'waiting' || state === 'blocked' || state === 'recovering';
}
