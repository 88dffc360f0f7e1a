import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import type { CertificateReport, ConnectionStatus, DaemonEvent, DaemonStatus, LockdownStatus, ProfileStatus } from '@aovpn/api';
import { formatAddress } from '@aovpn/bytes';
import type { EncryptedResolverState, NetworkFacts } from '@aovpn/host';
import type { Intent } from '@aovpn/policy';
import {
  approachingConnections,
  isSettled,
  reviewProfile,
  startSupervisor,
  unwantedConnections,
  viewConnection,
  wantsPortal,
  type Problem,
  type SupervisorState,
} from '@aovpn/supervisor';
import { AppStore } from './app-store.ts';
import { Attendance } from './attendance.ts';
import { CandidateStore } from './candidate-store.ts';
import { certificateReport } from './certificate-report.ts';
import type { LoadedCredentials } from './credentials.ts';
import { Configuration } from './configuration.ts';
import { DaemonError } from './daemon-error.ts';
import { DirectoryWatch } from './directory-watch.ts';
import { enrolledDirectory, Enrolments } from './enrolments.ts';
import { DnsRegistrar } from './dns-registrar.ts';
import { HeldFile } from './held-file.ts';
import { HoldEnds } from './hold-end.ts';
import { LockdownControl } from './lockdown-control.ts';
import type { Log } from './log.ts';
import { MessageTrace } from './message-trace.ts';
import { NameLookup } from './name-lookup.ts';
import { NameRoutes } from './name-routes.ts';
import { NetworkFollower } from './network-follower.ts';
import type { DaemonOptions } from './options.ts';
import { PlaceFile } from './place-file.ts';
import { outerMark } from './outer-mark.ts';
import { PortalControl } from './portal-control.ts';
import { PlanKeeper } from './plan-keeper.ts';
import type { Platform } from './platform-port.ts';
import { MachinePlatform } from './machine-platform.ts';
import { messageOf } from './problem-error.ts';
import { ProfileStore, weaknessOf, type StoredProfile, type StoreChange } from './profile-store.ts';
import { Profiles } from './profiles.ts';
import { PromptDesk } from './prompt-desk.ts';
import { ProxyPublisher, removeProxyNotice } from './proxy-publisher.ts';
import type { SettingsFile } from './settings-file.ts';
import { encryptedDnsFacts, tellResolver } from './encrypted-dns.ts';
import { StatusBoard } from './status-board.ts';
import { SupervisorLoop, type Deed } from './supervisor-loop.ts';
import { TrafficControl } from './traffic-control.ts';
import { trafficStatus, withPlanProblems } from './traffic-report.ts';
import { TicketStore } from './ticket-store.ts';
import { Triggers } from './triggers.ts';
import { TrustMemory } from './trust-memory.ts';
import { TrustedNetworks } from './trusted-networks.ts';
import { Tunnels } from './tunnels.ts';
import { userId, userText } from './user-database.ts';
import { Users } from './users.ts';
import { version } from './version.ts';
import { WakeWatch } from './wake-watch.ts';

/** Files are watched; what nobody tells of, such as a card in a reader, is looked for this often while a connection may be waiting for it. Milliseconds. */
const rescanInterval = { wanting: 10_000, settled: 300_000 } as const;
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
  readonly machine: MachinePlatform;
  readonly store: Profiles;
  readonly users: Users;
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
  readonly lookup: NameLookup;
  readonly enrolments: Enrolments;
  readonly #configuration: Configuration;
  readonly #loop = new SupervisorLoop({
    perform: (deed) => this.#perform(deed),
    stepped: (before, after, changed) => this.#stepped(before, after, changed),
  });
  readonly #board: StatusBoard;
  readonly #triggers: Triggers;
  readonly #names: NameRoutes;
  readonly #proxies: ProxyPublisher;
  readonly #registrar: DnsRegistrar;
  readonly #network: NetworkFollower;
  readonly #trusted: TrustedNetworks;
  readonly #candidates: CandidateStore;
  readonly #held: HeldFile;
  readonly #holdEnds = new HoldEnds({ end: (name, why) => this.#loop.say({ kind: 'hold-over', name, why }) });
  readonly #places: PlaceFile;
  readonly #trust: TrustMemory;
  readonly #tickets: TicketStore;
  readonly #startedAt = new Date();
  readonly tunnels: Tunnels;
  readonly #watches: { close(): void }[] = [];
  #files: DirectoryWatch | undefined;
  readonly #stopped = Promise.withResolvers<void>();
  #stopping = false;
  #trafficTold = false;

  constructor(options: DaemonOptions, platform: Platform, settings: SettingsFile, log: Log) {
    this.options = options;
    this.platform = platform;
    this.machine = new MachinePlatform({ log });
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
    this.users = new Users({
      options,
      profilesDir: this.profilesDir,
      settings: () => settings.current,
      store: () => this.store,
      onChange: () => void this.rescan().catch(() => {}),
      // The connections that the user brings must be there first.
      onSession: (user) =>
        void this.rescan()
          .then(() => this.#holdEnds.signedIn(user))
          .catch(() => {}),
      log,
    });
    this.store = new Profiles({
      machine: new ProfileStore({
        directory: this.profilesDir,
        lastGoodDirectory: path.join(options.stateDir, 'last-good'),
        review: (name, profile) => reviewProfile(profile, settings.current.of(name)),
        mustStay: ({ intent }) => this.lockdown.isLocking(intent),
        log,
        clock: Date.now,
      }),
      signedIn: () => this.users.present(),
      open: (owner) => this.users.openStore(owner),
    });
    this.apps = new AppStore({ configDir: options.configDir, log });
    this.traffic = new TrafficControl({
      filters: platform.filters,
      log,
      onStarted: (app, pid) => this.#triggers.started(app, pid),
      onResumed: () => this.#triggers.forgetHolds(),
      onChange: () => this.#trafficChanged(),
    });
    this.#triggers = new Triggers({
      plan: () => this.plans.plan,
      traffic: this.traffic,
      state: () => this.#loop.state,
      tunnel: (name) => this.tunnels.get(name),
      settings: (name) => settings.current.of(name),
      say: (name, why) => this.#loop.say({ kind: 'trigger', name, ...(why !== undefined && { why }) }),
    });
    this.#proxies = new ProxyPublisher(options.runDir, platform.pac, log);
    this.lookup = new NameLookup(platform.asker, platform.network, () => this.plans);
    this.#names = new NameRoutes({
      wishes: (name) => settings.current.of(name),
      ask: (name, rule, mark) => this.lookup.asProgram(name, rule, mark),
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
      encryptedDns: (name, configuration) =>
        encryptedDnsFacts(configuration, settings.current.of(name), options.configDir, (text) => log.warn(text, name)),
      names: (name) => this.#names.of(name),
      network: platform.network,
      mark: outerMark,
      intents: () => this.intents(),
      isBrought: (name) => this.users.hasBrought(name),
      traffic: this.traffic,
      lockdown: this.lockdown,
      onApplied: (plan) => {
        this.#triggers.planned();
        this.#names.follow(plan);
        void this.#proxies.follow(plan.proxy);
        this.#registrar.follow(plan);
      },
      facts: async (intents) => ({
        ...(await this.apps.factsFor(intents)),
        released: unwantedConnections(this.#loop.state),
        readiness: this.#triggers.readiness(),
      }),
      log,
    });
    this.#network = new NetworkFollower({
      network: platform.network,
      log,
      onFacts: () => {
        this.#trusted.judge();
        this.enrolments.wayFound();
      },
      isUp: () => [...this.#loop.state.connections.values()].some(({ phase }) => phase.kind === 'up'),
      say: (occurrence) => this.#loop.say(occurrence),
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
      credential: (name) => {
        const { material, credential } = this.#candidates.get(name)?.credentials ?? {};
        return material?.machine ?? credential;
      },
      // Nobody but a gateway is looked up past a lock.
      resolve: async (host) =>
        this.#wantsLock() ? { addresses: [], why: 'LockDown is in force' } : await this.lookup.outside(host),
      askBeacon: (question) => platform.askBeacon(question),
      mark: outerMark,
      say: (verdicts) => this.#loop.say({ kind: 'trust', verdicts }),
      log,
    });
    this.portal = new PortalControl({
      platform: platform.portal,
      mark: outerMark,
      log,
      settings: () => settings.current.portal,
      facts: () => platform.network.networkFacts(),
      resolve: (name) => this.lookup.outside(name),
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
      (name) => this.store.ownerOf(name)?.uid,
    );
    this.prompts = new PromptDesk({
      log,
      attended: (name) => this.attendance.isAttended(name),
      publish: (event) => this.#promptChanged(event),
      lifetimeMs: promptLifetime,
    });
    this.#candidates = new CandidateStore({
      configDir: options.configDir,
      stems: ({ name }) => this.users.stemsOf(name),
      settings: (name) => this.users.settingsOf(name),
      hostName: () => this.machine.hostName,
      attendance: this.attendance,
      desk: this.prompts,
      log,
      isLocking: (intent) => this.lockdown.isLocking(intent),
      hasExpired: (enrolment) => this.enrolments.hasExpired(enrolment),
      inUse: (name) => this.tunnels.has(name),
      createGatewayVerifier: (credentials, revocation) => platform.createGatewayVerifier(credentials, revocation),
      onPicked: () => void this.rescan().catch(() => {}),
    });
    this.tunnels = new Tunnels({
      platform,
      plans: this.plans,
      desk: this.prompts,
      trust: this.#trust,
      tickets: this.#tickets,
      log,
      trace: this.trace,
      settings: () => settings.current,
      names: this.lookup,
      candidates: this.#candidates,
      registrar: this.#registrar,
      profiles: () => this.store.names(),
      say: (occurrence) => this.#loop.say(occurrence),
      onFacts: (name) => this.#board.publish(name),
    });
    this.enrolments = new Enrolments({
      configDir: options.configDir,
      directory: enrolledDirectory(options.stateDir),
      settings: () => settings.current.enrolments,
      hostName: () => this.machine.hostName ?? hostname(),
      obtain: (wanted) => platform.obtainCertificate(wanted),
      usedBy: (name) => this.store.names().filter((profile) => settings.current.of(profile).enrolment === name),
      onChange: () => void this.rescan().catch(() => {}),
      log,
    });
    this.#configuration = new Configuration({
      settings,
      store: this.store,
      apps: this.apps,
      prepare: () => this.enrolments.look(),
      lookAtNetwork: async () => {
        try {
          await this.#network.read();
        } catch (error) {
          log.error(`the network could not be looked at: ${messageOf(error)}`);
        }
      },
      take: (change) => this.#take(change),
      load: async (name, settingsChanged) => {
        const stored = this.store.get(name);
        if (stored) await this.#load(stored, settingsChanged);
      },
      onChanged: () => this.#trusted.judge(),
      refreshPlan: () => this.plans.refresh(),
      log,
    });
    this.#board = new StatusBoard({
      connection: (name) => this.#loop.connection(name),
      tunnel: (name) => this.tunnels.get(name),
      prompts: () => this.prompts.list(),
      parts: (name) => {
        const registration = this.#registrar.state(name);
        const owner = this.store.ownerOf(name);
        return {
          intent: this.store.get(name)?.intent,
          ...(owner && { owner }),
          ports: settings.current.of(name),
          plan: this.plans.plan,
          encryptedDns: settings.current.of(name).encryptedDns,
          resolvers: platform.network.encryptedResolvers(),
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
    await this.users.start();
    const held = await this.#held.read();
    this.#loop.begin(startSupervisor(held, await this.#places.read()));
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
    this.#configuration.close();
    await this.users.close();
    for (const watch of this.#watches) watch.close();
    this.prompts.close();
    this.enrolments.close();
    await this.portal.stop();
    const patience = setTimeout(() => {
      this.log.error('a tunnel did not end in time');
      this.#stopped.resolve();
    }, stopPatience);
    this.#loop.say({ kind: 'stop' });
    await this.#stopped.promise;
    await this.#tickets.settled();
    clearTimeout(patience);
    this.#loop.close();
    await this.abandon('remove');
  }

  /** The promised state by the shortest way: after a bug, or as the last step of an orderly end. */
  async abandon(guards: 'remove' | 'keep'): Promise<void> {
    try {
      await this.plans.clear(guards);
      await this.lockdown.close();
      await this.#candidates.close();
      await this.tunnels.closeAll();
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
    if (!this.attendance.isAttended(name)) this.#candidates.keepsakes(name)?.passwords.tryAgain();
    this.#candidates.askForChoice(name);
    this.#loop.say({ kind: 'up', name });
  }

  /** `by`: the user who says so. @throws {DaemonError} AOV-DAEMON-540 */
  down(name: string, by: number): void {
    this.refuseWhileLocked(name, 'AOV-DAEMON-540');
    this.prompts.withdraw(name);
    this.#candidates.keepsakes(name)?.passwords.forget();
    this.#tickets.forget(name);
    const { downEnds } = this.settings.current.of(name);
    const ends = typeof downEnds === 'number' ? new Date(Date.now() + downEnds).toISOString() : downEnds;
    this.#loop.say({ kind: 'down', name, hold: { by: userText(by), since: new Date().toISOString(), ends } });
  }

  /** @throws {DaemonError} AOV-DAEMON-512, AOV-DAEMON-550 */
  rekey(name: string): void {
    if (!this.hasConnection(name)) throw new DaemonError('AOV-DAEMON-512', name);
    const tunnel = this.tunnels.get(name);
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
    return [...this.#loop.state.connections.values()].some((connection) => viewConnection(connection).trafficBlocked === false);
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
    await this.machine.look();
    await this.#configuration.read();
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
    const enrolments = this.enrolments.status();
    return {
      version,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      resolver: facts.resolver.owner,
      resolverTrace: facts.resolver.trace,
      platform: await this.machine.look(),
      signedIn: this.users.signedIn(),
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
    return this.store.statuses().map((profile) => withPlanProblems(profile, this.plans.plan));
  }

  async connections(): Promise<readonly ConnectionStatus[]> {
    const names = [...this.#loop.state.connections.keys()].sort();
    const all = await Promise.all(names.map((name) => this.#board.status(name)));
    return all.filter((status) => status !== undefined);
  }

  async connection(name: string): Promise<ConnectionStatus | undefined> {
    return await this.#board.status(name);
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
    const spec = this.#loop.connection(name)?.spec;
    return candidate && { ...candidate, ...(spec?.problem && { problem: spec.problem }) };
  }

  hasConnection(name: string): boolean {
    return this.#loop.state.connections.has(name);
  }

  // Events in

  #watch(): void {
    const rescan = (): void => void this.rescan().catch(() => {});
    const appDirectories = ['apps.d', 'sids.d'].map((name) => path.join(this.options.configDir, name));
    const files = new DirectoryWatch({
      directories: () => [
        this.options.configDir,
        this.profilesDir,
        ...appDirectories,
        ...this.users.directories(),
        ...this.#candidates.directories(),
      ],
      onChange: rescan,
      pollMs: () => (isSettled(this.#loop.state) ? rescanInterval.settled : rescanInterval.wanting),
    });
    this.#files = files;
    this.#network.watch();
    const wake = new WakeWatch({
      platform: this.platform.wake,
      log: this.log,
      onWake: () => {
        this.#holdEnds.look();
        void this.enrolments.look();
        this.#loop.say({ kind: 'clock-jump' });
        this.#network.look();
      },
    });
    wake.watch();
    this.#watches.push(
      files,
      wake,
      this.users.watch(),
      this.#holdEnds,
      this.#triggers,
      this.platform.network.watchTriggers((profile, rule) => this.#triggers.asked(profile, rule)),
      this.platform.network.watchResolvers((state) => this.#resolverChanged(state)),
      this.#network,
      this.#trusted,
      this.plans.watch(),
    );
  }

  #resolverChanged(state: EncryptedResolverState): void {
    tellResolver(this.log, state);
    for (const name of this.store.names()) this.#board.publish(name);
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
      case 'left':
        // What was learnt (places, trust) is there when the user is.
        await this.#candidates.remove(change.name);
        this.#tickets.forget(change.name);
        this.#loop.say({ kind: 'profile-removed', name: change.name });
        return;
      case 'removed':
        await this.#candidates.remove(change.name);
        await this.#trust.forget(change.name);
        await this.#places.forget(change.name);
        await this.lockdown.forget(change.name);
        this.#tickets.forget(change.name);
        this.#loop.say({ kind: 'profile-removed', name: change.name });
        return;
    }
  }

  /** Tells the supervisor if profile, settings or credentials differ. */
  async #load(stored: StoredProfile, force: boolean): Promise<void> {
    const spec = await this.#candidates.load(stored, force);
    if (!spec) return;
    const ppk = this.#candidates.get(stored.name)?.compiled?.config.ppk;
    if (ppk) this.tunnels.get(stored.name)?.freshPpk(ppk);
    // Before the profile: it must not connect where it is not needed.
    this.#trusted.judge();
    this.#loop.say({ kind: 'profile', spec });
  }

  // The supervisor

  #stepped(before: SupervisorState, after: SupervisorState, changed: ReadonlySet<string>): void {
    // What the apps of a connection may do without it, and what its names come to, changes with the wish.
    const planned = (state: SupervisorState): string =>
      JSON.stringify([[...unwantedConnections(state)], [...this.#triggers.readiness(state)]]);
    if (!this.#stopping && planned(after) !== planned(before)) this.plans.refreshSoon();
    for (const name of changed) this.#board.publish(name);
    if ([...changed].some((name) => after.connections.get(name)?.phase.kind === 'up')) this.enrolments.wayFound();
    if (changed.size > 0) this.#triggers.settle();
    this.#files?.pace();
    const { begun, next } = approachingConnections(after);
    if (!this.#stopping) this.tunnels.expect(this.#triggers.expected(), next, begun);
    this.#heedPortal();
  }

  #heedPortal(): void {
    const ways = (this.#network.facts?.defaultRoutes ?? []).map(
      ({ family, device, gateway }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''}`,
    );
    const needed = wantsPortal(this.#loop.state, (name) => this.store.get(name)?.intent);
    this.portal.heed(needed, ways.join('\n'));
  }

  async #openLockdown(change: Pick<LockdownControl, 'questions'> | Pick<LockdownControl, 'portal'>): Promise<void> {
    Object.assign(this.lockdown, change);
    if (this.plans.plan.lockdown) await this.plans.refresh();
  }

  #perform(deed: Deed): void {
    switch (deed.kind) {
      case 'resolve':
        return void this.tunnels.resolve(deed);
      case 'open':
        return this.tunnels.open(deed);
      case 'probe':
        return void this.tunnels.probe(deed);
      case 'close':
        return void this.tunnels.close(deed);
      case 'move':
        return this.tunnels.move(deed);
      case 'check-liveness':
        return this.tunnels.checkLiveness(deed);
      case 'keep-places':
        return void this.#places.keep(deed.name, deed.places);
      case 'keep-held':
        this.#holdEnds.take(deed.holds);
        return void this.#held.write(deed.holds);
      case 'forgotten':
        return this.#board.forget(deed.name);
      case 'log':
        return this.log.write(deed.level, deed.text, deed.name);
      case 'stopped':
        return this.#stopped.resolve();
    }
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
      for (const name of this.#loop.state.connections.keys()) this.#board.publish(name);
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
