import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import type { ConnectionStatus, DaemonEvent, DaemonStatus, ProfileStatus } from '@aovpn/api';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { OpenDataPlane } from '@aovpn/esp';
import type { GatewayVerifier, Network, NetworkFacts, UpstreamAsker } from '@aovpn/host';
import type { IkeSaConfig, MachineCrypto } from '@aovpn/ike';
import { devicePrefix, type Intent } from '@aovpn/policy';
import { withoutPositions, type Profile } from '@aovpn/profile';
import {
  compileIkeConfig,
  gatewayNamesOf,
  problem,
  reviewProfile,
  startSupervisor,
  stepSupervisor,
  viewConnection,
  type CompiledIkeConfig,
  type ConnectionSpec,
  type Problem,
  type SupervisorAction,
  type SupervisorOccurrence,
  type SupervisorState,
} from '@aovpn/supervisor';
import { connectionStatus, type ConnectionMoments } from './connection-status.ts';
import { digestFiles, findCredentials, loadCredentials, type CredentialPaths, type LoadedCredentials } from './credentials.ts';
import { DaemonError } from './daemon-error.ts';
import { DirectoryWatch } from './directory-watch.ts';
import type { Log } from './log.ts';
import type { DaemonOptions } from './options.ts';
import { PlanKeeper } from './plan-keeper.ts';
import { ProfileStore, weaknessOf, type StoredProfile, type StoreChange } from './profile-store.ts';
import { resolveGateway } from './resolve-gateway.ts';
import type { SettingsFile } from './settings-file.ts';
import { messageOf, problemOfError, Tunnel, type TlsEngine, type TunnelReport } from './tunnel.ts';
import { version } from './version.ts';
import { writeFileAtomically } from './write-file.ts';

/** What the daemon needs of the machine; the real one is made in `platform.ts`. */
export interface Platform {
  readonly crypto: MachineCrypto;
  readonly network: Network;
  readonly asker: UpstreamAsker;
  readonly openDataPlane: OpenDataPlane;
  createGatewayVerifier(credentials: LoadedCredentials, revocation: 'off' | 'soft' | 'hard'): GatewayVerifier;
  createTlsEngine(credentials: LoadedCredentials): TlsEngine;
  probeGateway(address: IpAddress, port: number): Promise<boolean>;
}

/** `SO_MARK` of our outer packets and of queries for gateway names: they never enter a tunnel. "aov" in ASCII. */
const outerMark = 0x61_6f_76;

/** What is known of a profile that is in force, besides what it says. */
interface Candidate {
  readonly stored: StoredProfile;
  readonly paths: CredentialPaths;
  readonly digest: string;
  readonly credentials?: LoadedCredentials;
  readonly compiled?: CompiledIkeConfig;
  readonly verifier?: GatewayVerifier;
}

const rescanInterval = 10_000;
const clockInterval = 5_000;
/** A difference of the two clocks that is a jump and not a correction, milliseconds. */
const clockJump = 5_000;
/** Connecting begins once the network has been quiet for so long; tunnels that are up move at once. Milliseconds. */
const networkQuiet = 250;
/** How long goodbyes and clearing away may take at the end, milliseconds. */
const stopPatience = 15_000;

/**
 * The composition root: feeds the supervisor with what happens and performs what it decides. One event at a time; nothing here waits
 * for the network before the next event is taken.
 */
export class Daemon {
  readonly options: DaemonOptions;
  readonly log: Log;
  readonly store: ProfileStore;
  readonly plans: PlanKeeper;
  readonly settings: SettingsFile;
  readonly platform: Platform;
  readonly profilesDir: string;
  readonly #startedAt = new Date();
  readonly #candidates = new Map<string, Candidate>();
  readonly #tunnels = new Map<string, { readonly attempt: number; readonly tunnel: Tunnel }>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #moments = new Map<string, ConnectionMoments>();
  readonly #published = new Map<string, string>();
  readonly #subscribers = new Set<(event: DaemonEvent) => void>();
  readonly #watches: { close(): void }[] = [];
  readonly #stopped = Promise.withResolvers<void>();
  #state: SupervisorState = startSupervisor([]);
  #facts: NetworkFacts | undefined;
  /** Loading of files goes one after the other. */
  #loading: Promise<void> = Promise.resolve();
  #networkTimer: NodeJS.Timeout | undefined;
  #networkStale = false;
  #networkBusy = false;
  #stopping = false;

  constructor(options: DaemonOptions, platform: Platform, settings: SettingsFile, log: Log) {
    this.options = options;
    this.platform = platform;
    this.settings = settings;
    this.log = log;
    this.profilesDir = path.join(options.configDir, 'profiles.d');
    this.store = new ProfileStore({
      directory: this.profilesDir,
      lastGoodDirectory: path.join(options.stateDir, 'last-good'),
      review: (name, profile) => reviewProfile(profile, settings.current.of(name)),
      log,
      clock: Date.now,
    });
    this.plans = new PlanKeeper({ network: platform.network, mark: outerMark, intents: () => this.#intents(), log });
  }

  async start(): Promise<void> {
    await mkdir(this.profilesDir, { recursive: true, mode: 0o755 });
    const weakness = await weaknessOf(this.profilesDir);
    if (weakness !== undefined) throw new DaemonError('AOV-DAEMON-503', weakness);
    const left = await this.platform.network.cleanUp();
    if (left.rules + left.routes + left.devices.length > 0 || left.resolver === 'restored') {
      this.log.warn(
        `cleared away what an earlier run left: ${left.rules} rules, ${left.routes} routes, devices ${left.devices.join(' ') || '–'}, resolver ${left.resolver}`,
      );
    }
    for (const what of left.problems) this.log.error(`could not be cleared away: ${what}`);
    this.#state = startSupervisor(await this.#readHeld());
    await this.#readNetwork();
    await this.rescan();
    this.#watch();
  }

  /** Says goodbye to every gateway and leaves nothing behind. Resolves in any case. */
  async stop(): Promise<void> {
    if (this.#stopping) return await this.#stopped.promise;
    this.#stopping = true;
    this.log.info('stopping');
    for (const watch of this.#watches) watch.close();
    clearTimeout(this.#networkTimer);
    const patience = setTimeout(() => {
      this.log.error('a tunnel did not end in time');
      this.#stopped.resolve();
    }, stopPatience);
    this.#say({ kind: 'stop' });
    await this.#stopped.promise;
    clearTimeout(patience);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.abandon();
  }

  /** The promised state by the shortest way: after a bug, or as the last step of an orderly end. */
  async abandon(): Promise<void> {
    try {
      await this.plans.clear();
      await this.platform.network.close();
    } catch (error) {
      this.log.error(`clearing away failed: ${messageOf(error)}; "aovpnd --clean-up" tries again`);
    }
    this.platform.asker.close();
  }

  // What people ask for

  up(name: string): void {
    this.#say({ kind: 'up', name });
  }

  down(name: string): void {
    this.#say({ kind: 'down', name });
  }

  /** Reads settings, profiles and credentials anew and puts what changed into force. */
  async rescan(): Promise<void> {
    const mine = this.#loading.then(() => this.#rescan());
    this.#loading = mine.catch((error: unknown) => this.log.error(`reading the configuration failed: ${messageOf(error)}`));
    await mine;
  }

  /** `watcher` hears of every change from now on. */
  subscribe(watcher: (event: DaemonEvent) => void): () => void {
    this.#subscribers.add(watcher);
    return () => this.#subscribers.delete(watcher);
  }

  async status(): Promise<DaemonStatus> {
    const facts = await this.platform.network.networkFacts();
    return {
      version,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      resolver: facts.resolver.owner,
      resolverTrace: facts.resolver.trace,
      connections: await this.connections(),
      profiles: this.store.statuses(),
    };
  }

  async connections(): Promise<readonly ConnectionStatus[]> {
    const names = [...this.#state.connections.keys()].sort();
    const all = await Promise.all(names.map((name) => this.#status(name)));
    return all.filter((status) => status !== undefined);
  }

  /** What the network was when it was last looked at. */
  get facts(): NetworkFacts | undefined {
    return this.#facts;
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
    return await resolveGateway(server, { servers: facts.resolver.servers, mark: outerMark, asker: this.platform.asker });
  }

  // Events in

  #watch(): void {
    const rescan = (): void => void this.rescan().catch(() => {});
    const files = new DirectoryWatch([this.options.configDir, this.profilesDir], rescan, rescanInterval);
    const network = this.platform.network.watchNetwork((change) => {
      this.log.debug(`network: ${change.kinds.join(', ')} changed`);
      clearTimeout(this.#networkTimer);
      const moving = [...this.#state.connections.values()].some(({ phase }) => phase.kind === 'up');
      if (moving) void this.#networkChanged();
      else this.#networkTimer = setTimeout(() => void this.#networkChanged(), networkQuiet);
    });
    let wall = Date.now();
    let monotonic = performance.now();
    const clock = setInterval(() => {
      const drift = Date.now() - wall - (performance.now() - monotonic);
      wall = Date.now();
      monotonic = performance.now();
      if (Math.abs(drift) < clockJump) return;
      this.log.info(`the clock jumped by ${Math.round(drift / 1000)} s: this machine slept, or its clock was set`);
      this.#say({ kind: 'clock-jump' });
      void this.#networkChanged();
    }, clockInterval);
    this.#watches.push(files, network, { close: () => clearInterval(clock) });
  }

  /** Takes in what is true now; a change while that is under way is looked at once more afterwards. */
  async #networkChanged(): Promise<void> {
    this.#networkStale = true;
    if (this.#networkBusy) return;
    this.#networkBusy = true;
    while (this.#networkStale && !this.#stopping) {
      this.#networkStale = false;
      try {
        this.platform.asker.refresh();
        await this.#readNetwork();
        await this.plans.refresh();
      } catch (error) {
        this.log.error(`after a change of the network: ${messageOf(error)}`);
      }
    }
    this.#networkBusy = false;
  }

  async #readNetwork(): Promise<void> {
    const facts = await this.platform.network.networkFacts();
    this.#facts = facts;
    const usable = facts.addresses.filter(({ device }) => facts.running.includes(device));
    const has = (family: 4 | 6): boolean => usable.some(({ prefix }) => prefix.address.family === family);
    const fingerprint = [
      ...usable.map(({ device, prefix }) => `${device} ${formatAddress(prefix.address)}`).sort(),
      ...facts.defaultRoutes.map(({ family, device, gateway }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''}`),
    ].join('\n');
    this.#say({ kind: 'network', network: { v4: has(4), v6: has(6), fingerprint } });
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
    if (changes.length > 0)
      await this.plans.refresh().catch((error: unknown) => this.log.error(`the plan could not be applied: ${messageOf(error)}`));
  }

  async #take(change: StoreChange): Promise<void> {
    switch (change.kind) {
      case 'in-force':
        await this.#load(change.stored, true);
        this.#publishProfile(change.stored.name);
        return;
      case 'refused':
        this.#publishProfile(change.name);
        return;
      case 'removed':
        this.#candidates.delete(change.name);
        this.#say({ kind: 'profile-removed', name: change.name });
        return;
    }
  }

  /** Reads credentials if they or the profile differ, and tells the supervisor. */
  async #load(stored: StoredProfile, force: boolean): Promise<void> {
    const { name, profile, intent } = stored;
    const settings = this.settings.current.of(name);
    const paths = await findCredentials(name, settings, this.options.configDir, this.profilesDir);
    const digest = await digestFiles(paths);
    const before = this.#candidates.get(name);
    if (!force && before?.digest === digest) return;
    const loaded = await loadCredentials(profile, paths);
    let obstacle = 'problem' in loaded ? loaded.problem : undefined;
    let candidate: Candidate = { stored, paths, digest };
    if (!('problem' in loaded)) {
      const userName = settings.userName ?? loaded.userName;
      const compiled = compileIkeConfig(profile, { ...settings, ...(userName !== undefined && { userName }) }, loaded.facts);
      if ('problem' in compiled) obstacle = compiled.problem;
      try {
        const verifier = this.platform.createGatewayVerifier(loaded, settings.revocation);
        candidate = { ...candidate, credentials: loaded, verifier, ...(!('problem' in compiled) && { compiled }) };
      } catch (error) {
        obstacle ??= problemOfError(error);
      }
    }
    this.#candidates.set(name, candidate);
    if (obstacle && this.#tunnels.has(name))
      this.log.error(
        `${obstacle.message} [${obstacle.code}]; the tunnel that runs goes on, the next one cannot begin. ${obstacle.cure}`,
        name,
      );
    const tunnelKey = keyOf(tunnelParts(profile), settings);
    const spec: ConnectionSpec = {
      name,
      tunnel: intent.tunnel,
      automatic: intent.alwaysOn.value,
      servers: gatewayNamesOf(profile),
      tunnelKey,
      retryKey: keyOf(tunnelKey, digest),
      ...(obstacle && { problem: obstacle }),
      outageMs: (intent.networkOutageSeconds.value ?? 0) * 1000,
    };
    this.#say({ kind: 'profile', spec });
  }

  // The supervisor

  #say(occurrence: SupervisorOccurrence): void {
    const { state, actions } = stepSupervisor(this.#state, { ...occurrence, random: Math.random() }, performance.now());
    this.#state = state;
    const changed = new Set<string>();
    for (const action of actions) {
      if (action.kind === 'changed') changed.add(action.name);
      else this.#perform(action);
    }
    for (const name of changed) this.#publish(name);
  }

  #perform(action: Exclude<SupervisorAction, { readonly kind: 'changed' }>): void {
    switch (action.kind) {
      case 'resolve':
        return void this.#resolve(action);
      case 'open':
        return this.#open(action);
      case 'close':
        return this.#tunnelOf(action)?.close(action.orderly, action.why);
      case 'move':
        return void this.#tunnelOf(action)?.move();
      case 'check-liveness':
        return this.#tunnelOf(action)?.checkLiveness();
      case 'arm':
        return this.#arm(action.name, action.at);
      case 'disarm':
        clearTimeout(this.#timers.get(action.name));
        this.#timers.delete(action.name);
        return;
      case 'keep-held':
        return void this.#writeHeld(action.names);
      case 'forgotten':
        this.#moments.delete(action.name);
        this.#published.delete(action.name);
        return this.#tell({ kind: 'removed', name: action.name });
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

  #open({ name, attempt, candidate, more }: Extract<SupervisorAction, { readonly kind: 'open' }>): void {
    const known = this.#candidates.get(name);
    const { compiled, credentials, verifier } = known ?? {};
    if (!compiled || !credentials || !verifier) {
      setImmediate(() => this.#say({ kind: 'ended', name, attempt, problem: problem('internal', 'the credentials are gone') }));
      return;
    }
    const settings = this.settings.current.of(name);
    const tunnel = new Tunnel(
      {
        name,
        config: more ? withShortInit(compiled.config) : compiled.config,
        authentication: compiled.authentication,
        gateway: candidate.address,
        gatewayPort: settings.gatewayPort,
        plane: { device: this.#deviceOf(name), mtu: settings.mtu, mark: outerMark, keepaliveSeconds: settings.keepaliveSeconds },
      },
      {
        crypto: this.platform.crypto,
        openDataPlane: this.platform.openDataPlane,
        log: this.log,
        sign: async (scheme, data) => {
          if (!credentials.credential) throw new Error('there is no key');
          return await credentials.credential.sign(scheme, data);
        },
        verifyGateway: ({ certificates, identity, names }) => verifier.verify({ certificates, identity, names }),
        readPassword: () => credentials.readPassword(),
        probeGateway: (address, port) => this.platform.probeGateway(address, port),
        createTlsEngine: () => this.platform.createTlsEngine(credentials),
        applyPlan: (facts) => this.plans.add(name, facts),
        removePlan: () => this.plans.remove(name),
      },
      (report) => this.#reported(name, attempt, report),
    );
    this.#tunnels.set(name, { attempt, tunnel });
    tunnel.open();
  }

  #reported(name: string, attempt: number, report: TunnelReport): void {
    switch (report.kind) {
      case 'facts':
        return this.#publish(name);
      case 'ended':
        if (this.#tunnels.get(name)?.attempt === attempt) this.#tunnels.delete(name);
        return this.#say({ name, attempt, ...report });
      case 'established':
      case 'unresponsive':
      case 'moved':
      case 'cannot-move':
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

  async #status(name: string): Promise<ConnectionStatus | undefined> {
    const stats = await this.#tunnels
      .get(name)
      ?.tunnel.stats()
      .catch(() => undefined);
    // Looked at after the wait, so that what is told last is what is true last.
    const connection = this.#state.connections.get(name);
    if (!connection) return undefined;
    const view = viewConnection(connection);
    const tunnel = this.#tunnels.get(name)?.tunnel;
    return connectionStatus({
      view,
      servers: connection.spec.servers,
      moments: this.#moment(name),
      intent: this.store.get(name)?.intent,
      gatewayPort: this.settings.current.of(name).gatewayPort,
      plan: this.plans.plan,
      ...(tunnel?.network && { network: tunnel.network }),
      ...(stats && { stats }),
    });
  }

  /** Times of day are taken when something happens: the two clocks drift apart while the machine sleeps. */
  #moment(name: string): ConnectionMoments {
    const { since, connectedAt, problem: current, nextTryAt } = viewConnection(this.#state.connections.get(name)!);
    const before = this.#moments.get(name);
    const stamp = (
      at: number,
      old: { readonly at: number; readonly iso: string } | undefined,
    ): { readonly at: number; readonly iso: string } =>
      old?.at === at ? old : { at, iso: new Date(Date.now() + at - performance.now()).toISOString() };
    const moments: ConnectionMoments = {
      since: stamp(since, before?.since),
      ...(connectedAt !== undefined && { connectedAt: stamp(connectedAt, before?.connectedAt) }),
      ...(nextTryAt !== undefined && { nextTryAt: stamp(nextTryAt, before?.nextTryAt) }),
      ...(current && {
        problem: before?.problem?.problem === current ? before.problem : { problem: current, iso: new Date().toISOString() },
      }),
    };
    this.#moments.set(name, moments);
    return moments;
  }

  #publish(name: string): void {
    if (!this.#state.connections.has(name)) return;
    this.#moment(name);
    void this.#status(name).then(
      (connection) => {
        if (!connection) return;
        const { traffic: _, ...steady } = connection;
        const text = JSON.stringify(steady);
        if (this.#published.get(name) === text) return;
        this.#published.set(name, text);
        this.#tell({ kind: 'status', connection });
      },
      () => {},
    );
  }

  #publishProfile(name: string): void {
    const profile: ProfileStatus | undefined = this.store.status(name);
    if (profile) this.#tell({ kind: 'profile', profile });
  }

  #tell(event: DaemonEvent): void {
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  // Small matters

  #intents(): ReadonlyMap<string, Intent> {
    return new Map(
      this.store.names().flatMap((name) => {
        const intent = this.store.get(name)?.intent;
        return intent ? [[name, intent] as const] : [];
      }),
    );
  }

  /** At most 15 characters, recognisable, and the same at every start: `aov-` and the name, shortened by a hash when it must be. */
  #deviceOf(name: string): string {
    const plain = name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '');
    const room = 15 - devicePrefix.length - 1;
    const clash = this.store
      .names()
      .some((other) => other !== name && other.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-') === plain);
    if (plain !== '' && plain.length <= room && !clash) return `${devicePrefix}-${plain}`;
    const hash = createHash('sha256').update(name).digest('hex').slice(0, 4);
    return `${devicePrefix}-${plain.slice(0, room - 5)}${plain === '' ? '' : '-'}${hash}`;
  }

  #heldFile(): string {
    return path.join(this.options.stateDir, 'held.json');
  }

  async #readHeld(): Promise<readonly string[]> {
    try {
      const names: unknown = JSON.parse(await readFile(this.#heldFile(), 'utf8'));
      if (!Array.isArray(names)) throw new TypeError('not a list');
      return names.filter((name): name is string => typeof name === 'string');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.log.warn(`${this.#heldFile()} cannot be read, so nothing is held down: ${messageOf(error)}`);
      return [];
    }
  }

  async #writeHeld(names: readonly string[]): Promise<void> {
    try {
      await writeFileAtomically(this.#heldFile(), `${JSON.stringify(names)}\n`, 0o600);
    } catch (error) {
      this.log.error(
        `what is held down could not be written to ${this.#heldFile()} and will not survive a restart: ${messageOf(error)}`,
      );
    }
  }
}

/** With other places to try, a silent one gets about three seconds. */
function withShortInit(config: IkeSaConfig): IkeSaConfig {
  return { ...config, retransmit: { ...config.retransmit, initTries: 2 } };
}

/** The parts of a profile that a running tunnel was made from; routes and names are put into force without a new tunnel. */
function tunnelParts(profile: Profile): unknown {
  const { servers, nativeProtocolType, protocolList, cryptographySuite, authentication } = profile.nativeProfile ?? {};
  const { disableIkev2Fragmentation, lockDown, trafficFilters, deviceTunnel } = profile;
  return withoutPositions({
    servers,
    nativeProtocolType,
    protocolList,
    cryptographySuite,
    authentication,
    disableIkev2Fragmentation,
    lockDown,
    trafficFilters,
    deviceTunnel,
  });
}

function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
