import { sameAddress, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import { toHostFacts, type Network, type NetworkFacts } from '@aovpn/host';
import type { TrafficSelector, TunnelConfiguration } from '@aovpn/ike';
import { rangeToPrefixes } from '@aovpn/bytes';
import {
  compilePlan,
  emptyPlan,
  objectionToAddress,
  isNameTrigger,
  placeOf,
  printChanges,
  type EncryptedDnsFacts,
  type GatewayEndpoint,
  type Intent,
  type LiveTunnel,
  type NamedAddresses,
  type Plan,
  type PlanInput,
} from '@aovpn/policy';
import { DaemonError } from './daemon-error.ts';
import type { LockdownControl } from './lockdown-control.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import type { TrafficControl } from './traffic-control.ts';
import type { TunnelNetwork } from './tunnel-port.ts';
import { userId } from './user-database.ts';

export interface PlanKeeperOptions {
  readonly network: Network;
  /** `SO_MARK` of our outer packets. */
  readonly mark: number;
  /** What profiles in force want, by name. */
  readonly intents: () => ReadonlyMap<string, Intent>;
  readonly traffic: TrafficControl;
  readonly lockdown: LockdownControl;
  /** Whether a tunnel of that name may have addresses that are nobody else's only: a user has brought its profile. */
  readonly isBrought: (name: string) => boolean;
  /** What filters and apps of these profiles need to know of the machine. */
  readonly facts: (intents: ReadonlyMap<string, Intent>) => Promise<TrafficFacts>;
  /** A plan has come into force. */
  readonly onApplied: (plan: Plan) => void;
  /** What is known of the names of a profile's settings. */
  readonly names: (profile: string) => readonly NamedAddresses[];
  /** What its gateway and its settings say of encrypted resolvers. */
  readonly encryptedDns: (profile: string, configuration: TunnelConfiguration) => Promise<EncryptedDnsFacts | undefined>;
  readonly log: Log;
}

export type TrafficFacts = Pick<PlanInput, 'apps' | 'identities' | 'released' | 'readiness'>;

/** After putting something back the next time waits so long, milliseconds: a quarrel with another program must not use up the machine. */
const repairRest = 200;
/** After a failure, milliseconds; doubled each time. */
const firstRetry = 1000;
const longestRetry = 60_000;
/** Facts that were read ahead are used for so long, milliseconds: a handshake takes less, a person who is asked for a password more. */
const aheadPatience = 5_000;
/** systemd-resolved asks as a user of its own. */
const resolvedUser = 'systemd-resolve';

/** Keeps the machine like the plan of all tunnels that are up: compiled anew and applied whenever one of them, a profile or the network changes. */
export class PlanKeeper {
  readonly #options: PlanKeeperOptions;
  readonly #live = new Map<string, TunnelNetwork>();
  #turn: Promise<unknown> = Promise.resolve();
  #plan: Plan = emptyPlan;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #cleared = false;
  /** What the plan of the next tunnel will ask of the machine; thrown away when anything is told to have changed. */
  #ahead: { readonly facts: Promise<NetworkFacts>; readonly at: number } | undefined;

  constructor(options: PlanKeeperOptions) {
    this.#options = options;
  }

  /** What is in force. */
  get plan(): Plan {
    return this.#plan;
  }

  /** Whether a tunnel of that name is in. */
  isLive(name: string): boolean {
    return this.#live.has(name);
  }

  get #fresh(): Promise<NetworkFacts> | undefined {
    return this.#ahead && performance.now() - this.#ahead.at < aheadPatience ? this.#ahead.facts : undefined;
  }

  /** A tunnel is about to come up: what can be made and read before it is there is made and read now, and nobody waits for it then. */
  expect(): void {
    const { network, mark } = this.#options;
    network.expectPlan(mark);
    if (this.#fresh) return;
    const facts = network.networkFacts();
    // They are read anew then, and it is told.
    facts.catch(() => {});
    this.#ahead = { facts, at: performance.now() };
  }

  /** Takes a tunnel in. @throws {HostError} {DaemonError} AOV-DAEMON-565, and then the tunnel is not in */
  async add(name: string, tunnel: TunnelNetwork): Promise<void> {
    if (this.#options.isBrought(name)) await this.#judgeAddresses(tunnel);
    this.#live.set(name, tunnel);
    const ahead = this.#fresh;
    this.#ahead = undefined;
    try {
      await this.#refresh(await ahead?.catch(() => undefined));
    } catch (error) {
      this.#live.delete(name);
      await this.refresh().catch((second: unknown) =>
        this.#options.log.error(`the plan without it failed as well: ${messageOf(second)}`, name),
      );
      throw error;
    }
  }

  async #judgeAddresses({ device, configuration }: TunnelNetwork): Promise<void> {
    const { addresses, defaultRoutes, localSubnets, ownSubnets, resolver } = await this.#options.network.networkFacts();
    const owners = {
      machine: addresses.map(({ prefix }) => prefix.address),
      attached: [...localSubnets, ...ownSubnets],
      servers: [...resolver.servers, ...defaultRoutes.flatMap(({ gateway }) => gateway ?? [])],
      plan: this.#plan,
    };
    for (const { address } of configuration.addresses) {
      const objection = objectionToAddress(address, device, owners);
      if (objection !== undefined) throw new DaemonError('AOV-DAEMON-565', objection);
    }
  }

  /** Opens LockDown of a profile for its gateway at these places, before the first packet goes there. @throws {HostError} */
  async reach(name: string, places: readonly GatewayEndpoint[]): Promise<void> {
    const { lockdown, intents } = this.#options;
    if (lockdown.aim(name, places) && intents().get(name)?.lockdown) await this.#refresh();
  }

  /** Opens LockDown for the daemon's own questions to these name servers. @throws {HostError} */
  async ask(servers: readonly IpAddress[]): Promise<void> {
    const known = this.#plan.lockdown?.resolvers;
    if (known && !servers.every((server) => known.some((other) => sameAddress(other, server)))) await this.refresh();
  }

  async remove(name: string): Promise<void> {
    if (this.#live.delete(name)) await this.refresh();
  }

  /** Compiles from the facts of this moment and applies. @throws {HostError} */
  async refresh(): Promise<void> {
    this.#ahead = undefined;
    await this.#refresh();
  }

  async #refresh(known?: NetworkFacts): Promise<void> {
    const apply = (): Promise<void> => this.#apply(known);
    const mine = this.#turn.then(apply, apply);
    this.#turn = mine.catch(() => {});
    try {
      await mine;
      this.#failures = 0;
      clearTimeout(this.#retry);
      this.#retry = undefined;
    } catch (error) {
      this.#tryAgainLater();
      throw error;
    }
  }

  /** What is in force is not what is wanted: nobody else would try again before the next change. */
  #tryAgainLater(): void {
    if (this.#retry || this.#cleared) return;
    const delay = Math.min(longestRetry, firstRetry * 2 ** this.#failures++);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (!this.#cleared)
        this.refresh().catch((error: unknown) =>
          this.#options.log.error(`the plan still cannot be applied: ${messageOf(error)}`),
        );
    }, delay);
    this.#retry.unref();
  }

  /** The same after whatever is under way now; what fails is logged. Nothing to do where no profile forces an app into its tunnel or has AutoTrigger. */
  refreshSoon(): void {
    const { intents, log } = this.#options;
    setImmediate(() => {
      const heeding = [...intents().values()].some(
        (intent) =>
          intent.filters.some(({ routing }) => routing?.value === 'ForceTunnel') ||
          intent.nameRules.some((rule) => isNameTrigger(intent, rule)),
      );
      if (heeding) this.refresh().catch((error: unknown) => log.error(`the plan could not be applied: ${messageOf(error)}`));
    });
  }

  /**
   * The end: nothing of any tunnel stays.
   * @param guards `keep`: what refuses stays until the next start, as after a bug; apps that belong into a tunnel then reach nothing
   */
  async clear(guards: 'remove' | 'keep'): Promise<void> {
    this.#live.clear();
    this.#cleared = true;
    clearTimeout(this.#retry);
    const { network, traffic } = this.#options;
    await this.#turn;
    // Ways into the tunnels go before what guards them.
    const { problems } = await network.cleanUp();
    const left = guards === 'keep' ? [] : await traffic.clear();
    this.#plan = emptyPlan;
    for (const what of [...problems, ...left]) this.#options.log.error(`left behind: ${what}`);
  }

  /** Puts routes and rules back when somebody else changes them. */
  watch(): { close(): void } {
    const { network, log } = this.#options;
    let rest: NodeJS.Timeout | undefined;
    let again = false;
    const repair = (): void => {
      again = false;
      rest = setTimeout(() => {
        rest = undefined;
        if (again) repair();
      }, repairRest);
      rest.unref();
      this.refresh().catch((error: unknown) => log.error(`routes could not be put back: ${messageOf(error)}`));
    };
    const watch = network.watchPlan((changes) => {
      log.warn(
        `routes or rules were changed by somebody else and are put back: ${printChanges(changes).trim().replaceAll('\n', '; ')}`,
      );
      if (rest) again = true;
      else repair();
    });
    return {
      close: () => {
        clearTimeout(rest);
        watch.close();
      },
    };
  }

  /** The plan that would be in force if a profile were another one; nothing is changed. */
  async preview(changed: ReadonlyMap<string, Intent>, assumed: readonly LiveTunnel[]): Promise<Plan> {
    return await this.#compile(changed, assumed, await this.#options.network.networkFacts());
  }

  async #apply(known?: NetworkFacts): Promise<void> {
    const { network, traffic, lockdown, intents, log } = this.#options;
    const plan = await this.#compile(intents(), [], known ?? (await network.networkFacts()));
    const before = this.#plan;
    // First: what it lets through is no way past it before there are routes, and what it refuses must not wait for them.
    await lockdown.apply(plan.lockdown);
    await traffic.apply(before, plan, {
      apply: async () => {
        const report = await network.applyPlan(plan);
        if (report.changes.length > 0) log.debug(`plan applied, ${report.changes.length} changes`);
        for (const line of report.resolver.done) log.info(`names: ${line}`);
      },
      undo: async () => void (await network.applyPlan(before)),
    });
    this.#plan = plan;
    this.#tellProblems(before, plan);
    this.#options.onApplied(plan);
  }

  async #compile(known: ReadonlyMap<string, Intent>, assumed: readonly LiveTunnel[], networkFacts: NetworkFacts): Promise<Plan> {
    const { mark, lockdown, facts } = this.#options;
    const tunnels = [...assumed];
    for (const [name, tunnel] of this.#live) {
      const intent = known.get(name);
      if (!intent) continue;
      const encryptedDns = await this.#options.encryptedDns(name, tunnel.configuration);
      const names = this.#options.names(name);
      tunnels.push({ intent, facts: { ...factsOf(name, tunnel), names, ...(encryptedDns && { encryptedDns }) } });
    }
    const live = new Set(tunnels.map(({ intent }) => intent.name));
    const idle = [...known.values()].filter(({ name }) => !live.has(name));
    const host = toHostFacts(networkFacts, mark);
    const resolver = host.resolver === 'systemd-resolved' ? userId(resolvedUser) : undefined;
    const resolverUsers = resolver === undefined ? [] : [{ from: resolver, to: resolver }];
    return compilePlan({ tunnels, idle, host: { ...host, resolverUsers }, ...lockdown.facts, ...(await facts(known)) });
  }

  #tellProblems(before: Plan, { problems }: Plan): void {
    const { log } = this.#options;
    const told = new Set(before.problems.map(({ profile, code, path, message }) => [profile, code, path, message].join('\n')));
    for (const { severity, code, profile, at, path, message } of problems) {
      if (severity === 'info' || told.has([profile, code, path, message].join('\n'))) continue;
      log.warn(`${placeOf({ at, path })}: ${message} [${code}]`, profile);
    }
  }
}

function factsOf(
  profile: string,
  { device, mtu, gateway, kernelEsp, configuration, selectors }: TunnelNetwork,
): LiveTunnel['facts'] {
  const { addresses, dns, dnsDomains, subnets } = configuration;
  const remoteSelectors = selectors.flatMap(prefixesOf);
  return { profile, device, mtu, gateway, kernelEsp, addresses, dns, dnsDomains, subnets, remoteSelectors };
}

function prefixesOf({ from, to }: TrafficSelector): readonly IpPrefix[] {
  return rangeToPrefixes({ from, to });
}
