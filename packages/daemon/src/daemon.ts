import { hostname } from 'node:os';
import path from 'node:path';
import type { DaemonEvent } from '@aovpn/api';
import type { NetworkFacts } from '@aovpn/host';
import type { Intent } from '@aovpn/policy';
import { reviewProfile, unwantedConnections } from '@aovpn/supervisor';
import { AppStore } from './app-store.ts';
import { Attendance } from './attendance.ts';
import { CandidateStore } from './candidate-store.ts';
import { Configuration } from './configuration.ts';
import { Deeds } from './deeds.ts';
import type { DirectoryWatch } from './directory-watch.ts';
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
import { Overview } from './overview.ts';
import { PlaceFile } from './place-file.ts';
import { outerMark } from './outer-mark.ts';
import { PortalControl } from './portal-control.ts';
import { PlanKeeper } from './plan-keeper.ts';
import type { Platform } from './platform-port.ts';
import { MachinePlatform } from './machine-platform.ts';
import { messageOf } from './problem-error.ts';
import { ProfileStore } from './profile-store.ts';
import { ProfileIntake } from './profile-intake.ts';
import { Profiles } from './profiles.ts';
import { PromptDesk } from './prompt-desk.ts';
import { ProxyPublisher } from './proxy-publisher.ts';
import type { SettingsFile } from './settings-file.ts';
import { encryptedDnsFacts } from './encrypted-dns.ts';
import { StatusBoard } from './status-board.ts';
import { SupervisorLoop } from './supervisor-loop.ts';
import { TrafficControl } from './traffic-control.ts';
import { TicketStore } from './ticket-store.ts';
import { Triggers } from './triggers.ts';
import { TrustMemory } from './trust-memory.ts';
import { TrustedNetworks } from './trusted-networks.ts';
import { Tunnels } from './tunnels.ts';
import { Users } from './users.ts';
import { Wishes } from './wishes.ts';

/** How long a person may think about a question, milliseconds: gateways and RADIUS servers wait less as a rule, and a machine forgets. */
const promptLifetime = 150_000;

/**
 * The composition root: every part of the daemon, tied to those that it has to do with. What happens is said to the supervisor, one event at a time, and what that
 * decides is performed ({@link Deeds}); nothing waits for the network before the next event is taken. Its start and its end are in life.ts.
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
  readonly configuration: Configuration;
  readonly loop = new SupervisorLoop({
    perform: (deed) => this.deeds.perform(deed),
    stepped: (before, after, changed) => this.deeds.stepped(before, after, changed),
  });
  readonly board: StatusBoard;
  readonly triggers: Triggers;
  readonly nameRoutes: NameRoutes;
  readonly proxies: ProxyPublisher;
  readonly registrar: DnsRegistrar;
  readonly network: NetworkFollower;
  readonly trusted: TrustedNetworks;
  readonly candidates: CandidateStore;
  readonly held: HeldFile;
  readonly holdEnds = new HoldEnds({ end: (name, why) => this.loop.say({ kind: 'hold-over', name, why }) });
  readonly places: PlaceFile;
  readonly trust: TrustMemory;
  readonly tickets: TicketStore;
  readonly startedAt = new Date();
  readonly tunnels: Tunnels;
  /** Undefined until they are watched. */
  files: DirectoryWatch | undefined;
  readonly deeds = new Deeds(this);
  readonly intake = new ProfileIntake(this);
  readonly wishes = new Wishes(this);
  readonly overview = new Overview(this);

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
      onChange: () => this.board.publishAll(),
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
          .then(() => this.holdEnds.signedIn(user))
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
      onStarted: (app, pid) => this.triggers.started(app, pid),
      onResumed: () => this.triggers.forgetHolds(),
      onChange: () => this.board.publishAll(),
    });
    this.triggers = new Triggers({
      plan: () => this.plans.plan,
      traffic: this.traffic,
      state: () => this.loop.state,
      tunnel: (name) => this.tunnels.get(name),
      settings: (name) => settings.current.of(name),
      say: (name, why) => this.loop.say({ kind: 'trigger', name, ...(why !== undefined && { why }) }),
    });
    this.proxies = new ProxyPublisher(options.runDir, platform.pac, log);
    this.lookup = new NameLookup(platform.asker, platform.network, () => this.plans);
    this.nameRoutes = new NameRoutes({
      wishes: (name) => settings.current.of(name),
      ask: (name, rule, mark) => this.lookup.asProgram(name, rule, mark),
      onChange: () =>
        void this.plans
          .refresh()
          .catch((error: unknown) => log.error(`routes of names could not be applied: ${messageOf(error)}`)),
    });
    this.registrar = new DnsRegistrar({
      network: platform.network,
      configDir: options.configDir,
      settings: (name) => settings.current.of(name),
      log,
      onChange: (name) => this.board.publish(name),
    });
    this.plans = new PlanKeeper({
      encryptedDns: (name, configuration) =>
        encryptedDnsFacts(configuration, settings.current.of(name), options.configDir, (text) => log.warn(text, name)),
      names: (name) => this.nameRoutes.of(name),
      network: platform.network,
      mark: outerMark,
      intents: () => this.intents(),
      isBrought: (name) => this.users.hasBrought(name),
      traffic: this.traffic,
      lockdown: this.lockdown,
      onApplied: (plan) => {
        this.triggers.planned();
        this.nameRoutes.follow(plan);
        void this.proxies.follow(plan.proxy);
        this.registrar.follow(plan);
      },
      facts: async (intents) => ({
        ...(await this.apps.factsFor(intents)),
        released: unwantedConnections(this.loop.state),
        readiness: this.triggers.readiness(),
      }),
      log,
    });
    this.network = new NetworkFollower({
      network: platform.network,
      log,
      onFacts: () => {
        this.trusted.judge();
        this.enrolments.wayFound();
      },
      isUp: () => [...this.loop.state.connections.values()].some(({ phase }) => phase.kind === 'up'),
      say: (occurrence) => this.loop.say(occurrence),
      refresh: async (readFacts) => {
        platform.asker.refresh();
        await readFacts();
        await this.plans.refresh();
        this.nameRoutes.askAgain();
      },
    });
    this.trusted = new TrustedNetworks({
      configDir: options.configDir,
      facts: () => this.network.facts,
      intents: () => this.intents(),
      settings: (name) => settings.current.of(name),
      credential: (name) => {
        const { material, credential } = this.candidates.get(name)?.credentials ?? {};
        return material?.machine ?? credential;
      },
      // Nobody but a gateway is looked up past a lock.
      resolve: async (host) =>
        this.lockdown.isWantedBy(this.intents().values())
          ? { addresses: [], why: 'LockDown is in force' }
          : await this.lookup.outside(host),
      askBeacon: (question) => platform.askBeacon(question),
      mark: outerMark,
      say: (verdicts) => this.loop.say({ kind: 'trust', verdicts }),
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
      onChange: (portal) => this.board.tell({ kind: 'portal', portal }),
    });
    this.held = new HeldFile(path.join(options.stateDir, 'held.json'), log);
    this.places = new PlaceFile(path.join(options.stateDir, 'places.json'), log);
    this.trust = new TrustMemory(path.join(options.stateDir, 'radius-trust.json'), log);
    this.tickets = new TicketStore(path.join(options.runDir, 'tickets.json'), log);
    this.attendance = new Attendance(
      () => settings.current.promptUsers.length > 0,
      // What was refused for want of a person is tried again.
      () => void this.rescan().catch(() => {}),
      (name) => this.store.ownerOf(name)?.uid,
    );
    this.prompts = new PromptDesk({
      log,
      attended: (name) => this.attendance.isAttended(name),
      publish: (event) => this.board.promptChanged(event),
      lifetimeMs: promptLifetime,
    });
    this.candidates = new CandidateStore({
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
      createGatewayVerifier: (credentials, settings) => platform.createGatewayVerifier(credentials, settings),
      onPicked: () => void this.rescan().catch(() => {}),
    });
    this.tunnels = new Tunnels({
      platform,
      plans: this.plans,
      desk: this.prompts,
      trust: this.trust,
      tickets: this.tickets,
      log,
      trace: this.trace,
      settings: () => settings.current,
      names: this.lookup,
      candidates: this.candidates,
      registrar: this.registrar,
      profiles: () => this.store.names(),
      say: (occurrence) => this.loop.say(occurrence),
      onFacts: (name) => this.board.publish(name),
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
    this.configuration = new Configuration({
      settings,
      store: this.store,
      apps: this.apps,
      prepare: () => this.enrolments.look(),
      lookAtNetwork: async () => {
        try {
          await this.network.read();
        } catch (error) {
          log.error(`the network could not be looked at: ${messageOf(error)}`);
        }
      },
      take: (change) => this.intake.take(change),
      load: async (name, settingsChanged) => {
        const stored = this.store.get(name);
        if (stored) await this.intake.load(stored, settingsChanged);
      },
      onChanged: () => this.trusted.judge(),
      refreshPlan: () => this.plans.refresh(),
      log,
    });
    this.board = new StatusBoard({
      names: () => this.loop.state.connections.keys(),
      profile: (name) => this.store.status(name),
      connection: (name) => this.loop.connection(name),
      tunnel: (name) => this.tunnels.get(name),
      prompts: () => this.prompts.list(),
      parts: (name) => {
        const registration = this.registrar.state(name);
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

  /** Reads settings, profiles and credentials anew and puts what changed into force. */
  async rescan(): Promise<void> {
    await this.machine.look();
    await this.configuration.read();
  }

  /** `watcher` hears of every change from now on. */
  subscribe(watcher: (event: DaemonEvent) => void): () => void {
    return this.board.subscribe(watcher);
  }

  /** What the network was when it was last looked at. */
  get facts(): NetworkFacts | undefined {
    return this.network.facts;
  }

  hasConnection(name: string): boolean {
    return this.loop.state.connections.has(name);
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

  async #openLockdown(change: Pick<LockdownControl, 'questions'> | Pick<LockdownControl, 'portal'>): Promise<void> {
    Object.assign(this.lockdown, change);
    if (this.plans.plan.lockdown) await this.plans.refresh();
  }
}
