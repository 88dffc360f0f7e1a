import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { automaticMetric, type HostFacts, type LinkSuffix, type Plan, type PlanChange } from '@aovpn/policy';
import type { EncryptedResolverState } from '../resolver/encrypted-upstream.ts';
import { defaultStubAddress, openResolver, type PhysicalResolver, type ResolverReport } from '../resolver/resolver.ts';
import { applyRoutes, findDrift, type AppliedChanges } from './apply-plan.ts';
import { cleanUp, type CleanUpReport } from './clean-up.ts';
import { readLinks } from './kernel-network.ts';
import { readLinkSpeed } from './link-speed.ts';
import { readLinkSuffixes } from './link-suffix.ts';
import { readPhysicalNetwork, readRouteTo, type PhysicalNetwork, type RouteTo } from './network-facts.ts';
import { openGuard } from './guard.ts';
import { defaultResolvConf, defaultRunDirectory, defaultStateDirectory } from './place.ts';
import { readNetworkManagerDomains } from './network-manager.ts';
import { openRouteSocket } from './route-socket.ts';
import { watchNetwork, type NetworkChange } from './watch-network.ts';
import { watchOurs } from './watch-plan.ts';

export interface NetworkOptions {
  /** `/etc/resolv.conf` unless told otherwise. */
  readonly resolvConf?: string;
  /** Where the resolver journal lives, `/var/lib/aovpn` unless told otherwise; must outlive a reboot. */
  readonly stateDirectory?: string;
  /** Where kernel settings of before are noted, `/run/aovpn` unless told otherwise. */
  readonly runDirectory?: string;
  /** Loopback address of our stub resolver, 127.0.0.96 unless told otherwise. */
  readonly stubAddress?: string;
}

/** Everything that changed, and what is true now. */
export interface ApplyReport {
  readonly changes: AppliedChanges['changes'];
  /** Read back from the kernel; its `dns` is empty. */
  readonly now: Plan;
  readonly resolver: ResolverReport;
}

export interface NetworkFacts extends PhysicalNetwork {
  readonly resolver: PhysicalResolver;
  /** DNS suffixes that networks gave to physical links. */
  readonly suffixes: readonly LinkSuffix[];
}

/** The machine's network as the daemon uses it. Every promise rejects with a HostError of the 300s. */
export interface Network {
  /** Idempotent. Calls follow each other; a failed one leaves what was there before. */
  applyPlan(plan: Plan): Promise<ApplyReport>;
  /** A plan with another tunnel is about to come: what can be done before is done now, so that nobody waits for it. */
  expectPlan(mark: number): void;
  networkFacts(): Promise<NetworkFacts>;
  /** How the kernel sends to an address now, with a mark or without. */
  routeTo(destination: IpAddress, mark?: number): RouteTo | undefined;
  watchNetwork(onChange: (change: NetworkChange) => void): { close(): void };
  /**
   * Calls back within a moment when somebody else changed routes, rules, addresses or guards of the plan in force: with what would put them
   * right, which is what the next `applyPlan` of the same plan does.
   */
  watchPlan(onDrift: (changes: readonly PlanChange[]) => void): { close(): void };
  /** Calls back for every question of a program that brings a tunnel up (AutoTrigger): with the profile, and the name of the rule. */
  watchTriggers(onTrigger: (profile: string, rule: string) => void): { close(): void };
  /** What is known of the encrypted resolvers (RFC 9464) that the plan in force names and that our stub resolver asks. */
  encryptedResolvers(): readonly EncryptedResolverState[];
  /** Calls back when one of them has proven itself after it had not, or fails. */
  watchResolvers(onState: (state: EncryptedResolverState) => void): { close(): void };
  /** Removes everything of ours, whoever made it. */
  cleanUp(): Promise<CleanUpReport>;
  /** Counts of our stub resolver while it runs. */
  stubCounts():
    | { readonly queries: number; readonly failed: number; readonly refused: number; readonly mismatched: number }
    | undefined;
  /** Gives the resolver back; routes and rules stay until `cleanUp` or an empty plan. */
  close(): Promise<void>;
}

/** @throws {HostError} AOV-HOST-300 */
export function openNetwork(options: NetworkOptions = {}): Network {
  const place = {
    resolvConf: options.resolvConf ?? defaultResolvConf,
    stateDirectory: options.stateDirectory ?? defaultStateDirectory,
    runDirectory: options.runDirectory ?? defaultRunDirectory,
  };
  const guard = openGuard(place.runDirectory);
  const socket = openRouteSocket();
  const stubAddress = (options.stubAddress === undefined ? undefined : parseAddress(options.stubAddress)) ?? defaultStubAddress;
  const resolver = openResolver(socket, { ...place, stubAddress });
  let turn: Promise<unknown> = Promise.resolve();
  /** One change of the machine at a time. */
  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const mine = turn.then(act, act);
    turn = mine.catch(() => undefined);
    return mine;
  };
  /** What the resolver was last told without an error; what a failed apply goes back to. */
  let dnsInForce: Plan['dns'] | undefined;
  /** What the kernel was last made to look like. */
  let planInForce: Plan | undefined;

  return {
    applyPlan: (plan) =>
      inTurn(async () => {
        let report: ResolverReport | undefined;
        const before = planInForce?.tunnels ?? [];
        const staying = new Set(plan.tunnels.map(({ device }) => device));
        try {
          // Before the first address, and until the last one is gone.
          await guard.apply([...plan.tunnels, ...before.filter(({ device }) => !staying.has(device))]);
          const { changes, observed } = await applyRoutes(socket, plan, async () => {
            report = await resolver.apply(plan.dns);
          });
          await guard.apply(plan.tunnels);
          dnsInForce = plan.dns;
          planInForce = plan;
          return { changes, now: observed.plan, resolver: report! };
        } catch (error) {
          await guard.apply(before).catch(() => undefined);
          // The routes are back; so are the name rules, if anything can be done about them at all.
          if (dnsInForce) await resolver.apply(dnsInForce).catch(() => undefined);
          else await resolver.close().catch(() => undefined);
          throw error;
        }
      }),
    expectPlan: (mark) => {
      guard.prepare(mark);
      // What fails here fails again, and is told, when it is needed.
      resolver.expect().catch(() => undefined);
    },
    networkFacts: async () => {
      const [physical, networkManager] = await Promise.all([resolver.physical(), readNetworkManagerDomains()]);
      const network = readPhysicalNetwork(socket);
      const defaultDevice = network.defaultRoutes[0]?.device;
      const suffixes = readLinkSuffixes(readLinks(socket), {
        search: physical.search,
        resolved: physical.linkDomains,
        networkManager,
        ...(defaultDevice === undefined ? {} : { defaultDevice }),
      });
      return { ...network, resolver: physical, suffixes };
    },
    routeTo: (destination, mark = 0) => readRouteTo(socket, destination, mark),
    watchNetwork: (onChange) => watchNetwork(onChange, { ...place, isHeld: () => resolver.holdsPlace }),
    watchPlan: (onDrift) => {
      let open = true;
      const watch = watchOurs(() => {
        // Behind whatever is being applied: what we do ourselves is no drift.
        void inTurn(async () => {
          const changes = open && planInForce ? findDrift(socket, planInForce) : [];
          if (changes.length > 0) onDrift(changes);
        }).catch(() => undefined);
      });
      const guarding = guard.watch((what) => {
        if (open && planInForce) onDrift([{ op: 'replace', kind: 'guard', what }]);
      });
      return {
        close: () => {
          open = false;
          watch.close();
          guarding.close();
        },
      };
    },
    encryptedResolvers: () => resolver.encrypted(),
    watchResolvers: (onState) => resolver.watchEncrypted(onState),
    watchTriggers: (onTrigger) => resolver.watchTriggers(onTrigger),
    cleanUp: () =>
      inTurn(async () => {
        planInForce = undefined;
        // What cannot be given back here is tried again there, and reported.
        await resolver.close().catch(() => undefined);
        dnsInForce = undefined;
        await guard.forget();
        return await cleanUp(place);
      }),
    stubCounts: () => resolver.counts(),
    close: () =>
      inTurn(async () => {
        await resolver.close();
        socket.close();
      }),
  };
}

function physicalMetric({ defaultRoutes }: NetworkFacts): HostFacts['physicalMetric'] {
  const of = (family: 4 | 6) => {
    const device = defaultRoutes.find((route) => route.family === family)?.device;
    if (device === undefined) return undefined;
    const { kind, megabits } = readLinkSpeed(device);
    return { device, value: automaticMetric(kind, megabits) };
  };
  const [v4, v6] = [of(4), of(6)];
  return v4 || v6 ? { ...(v4 && { v4 }), ...(v6 && { v6 }) } : undefined;
}

/** The part of the facts that the policy room asks for. */
export function toHostFacts(facts: NetworkFacts, mark: number): HostFacts {
  const { owner, servers, search } = facts.resolver;
  const metric = physicalMetric(facts);
  return {
    resolver: owner,
    physicalDns: servers,
    physicalSearch: search,
    ...(metric && { physicalMetric: metric }),
    mark,
    localSubnets: facts.localSubnets,
    ownSubnets: facts.ownSubnets,
  };
}
