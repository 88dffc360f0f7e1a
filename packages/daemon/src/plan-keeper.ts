import type { IpPrefix } from '@aovpn/bytes';
import { toHostFacts, type Network } from '@aovpn/host';
import type { TrafficSelector } from '@aovpn/ike';
import { rangeToPrefixes } from '@aovpn/bytes';
import { compilePlan, emptyPlan, type Intent, type LiveTunnel, type Plan } from '@aovpn/policy';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import type { TunnelNetwork } from './tunnel.ts';

export interface PlanKeeperOptions {
  readonly network: Network;
  /** `SO_MARK` of our outer packets. */
  readonly mark: number;
  /** What profiles in force want, by name. */
  readonly intents: () => ReadonlyMap<string, Intent>;
  readonly log: Log;
}

/** Keeps the machine like the plan of all tunnels that are up: compiled anew and applied whenever one of them, a profile or the network changes. */
export class PlanKeeper {
  readonly #options: PlanKeeperOptions;
  readonly #live = new Map<string, TunnelNetwork>();
  #turn: Promise<unknown> = Promise.resolve();
  #plan: Plan = emptyPlan;

  constructor(options: PlanKeeperOptions) {
    this.#options = options;
  }

  /** What is in force. */
  get plan(): Plan {
    return this.#plan;
  }

  /** Takes a tunnel in. @throws {HostError} and then the tunnel is not in */
  async add(name: string, tunnel: TunnelNetwork): Promise<void> {
    this.#live.set(name, tunnel);
    try {
      await this.refresh();
    } catch (error) {
      this.#live.delete(name);
      await this.refresh().catch((second: unknown) =>
        this.#options.log.error(`the plan without it failed as well: ${messageOf(second)}`, name),
      );
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    if (this.#live.delete(name)) await this.refresh();
  }

  /** Compiles from the facts of this moment and applies. @throws {HostError} */
  async refresh(): Promise<void> {
    const mine = this.#turn.then(
      () => this.#apply(),
      () => this.#apply(),
    );
    this.#turn = mine.catch(() => {});
    await mine;
  }

  /** The end: nothing of any tunnel stays. */
  async clear(): Promise<void> {
    this.#live.clear();
    const { network } = this.#options;
    await this.#turn;
    const report = await network.cleanUp();
    this.#plan = emptyPlan;
    for (const what of report.problems) this.#options.log.error(`left behind: ${what}`);
  }

  async #apply(): Promise<void> {
    const { network, mark, intents, log } = this.#options;
    const known = intents();
    const tunnels: LiveTunnel[] = [];
    for (const [name, tunnel] of this.#live) {
      const intent = known.get(name);
      if (intent) tunnels.push({ intent, facts: factsOf(name, tunnel) });
    }
    const idle = [...known.values()].filter(({ name }) => !this.#live.has(name));
    const plan = compilePlan({ tunnels, idle, host: toHostFacts(await network.networkFacts(), mark) });
    const report = await network.applyPlan(plan);
    this.#plan = plan;
    if (report.changes.length > 0) log.debug(`plan applied, ${report.changes.length} changes`);
    for (const line of report.resolver.done) log.info(`names: ${line}`);
  }
}

function factsOf(profile: string, { device, mtu, gateway, configuration, selectors }: TunnelNetwork): LiveTunnel['facts'] {
  const { addresses, dns, dnsDomains, subnets } = configuration;
  return { profile, device, mtu, gateway, addresses, dns, dnsDomains, subnets, remoteSelectors: selectors.flatMap(prefixesOf) };
}

function prefixesOf({ from, to }: TrafficSelector): readonly IpPrefix[] {
  return rangeToPrefixes({ from, to });
}
