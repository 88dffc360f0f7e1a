import { parseAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import type { DnsPlan } from '@aovpn/policy';
import type { EncryptedResolverState } from './encrypted-upstream.ts';
import { networkCure } from '../network/errors.ts';
import { HostError } from '../host-error.ts';
import { readLinks } from '../network/kernel-network.ts';
import type { RouteSocket } from '../network/route-socket.ts';
import { decideResolver, networkManagerHeader, type ResolverDecision } from './decide-resolver.ts';
import { readRcManager, standAside, standsAside } from './network-manager.ts';
import { giveBack, isTaken, readOriginal, takeOver, writeAhead, type ResolvConfPlace } from './resolv-conf-journal.ts';
import { parseResolvConf, type ResolvConf } from './resolv-conf.ts';
import { findResolvconf, putRecord, readOurRecord, removeRecord } from './resolvconf-record.ts';
import { arrangeResolvedLinks } from './resolved-links.ts';
import { holdsResolvConf, readWithoutUs, releasePlace } from './resolver-place.ts';
import { openResolverDevice, resolverDevice, type ResolverDevice } from './resolver-device.ts';
import { openStubResolver, type OnTrigger, type StubEvents, type StubResolver } from './stub-resolver.ts';
import { openUserStubs } from './user-stubs.ts';
import { openSystemdResolved } from './systemd-resolved.ts';

type OnEncrypted = (state: EncryptedResolverState) => void;

export const defaultStubAddress = parseAddress('127.0.0.96')!;

/** Who answers for the machine without us. */
export interface PhysicalResolver extends ResolverDecision {
  readonly servers: readonly IpAddress[];
  readonly search: readonly string[];
  /** What systemd-resolved has for the machine's own links, when it is the owner. */
  readonly linkDomains: readonly { readonly index: number; readonly domain: string; readonly routingOnly: boolean }[];
}

export interface ResolverReport {
  readonly owner: ResolverDecision['owner'];
  readonly rules: number;
  /** Whether our stub resolver listens now. */
  readonly stub: boolean;
  /** What was done, one act a line; empty when all was as wanted. */
  readonly done: readonly string[];
}

/** Puts name rules in force, through systemd-resolved or our own stub. */
export interface Resolver {
  physical(): Promise<PhysicalResolver>;
  /** Name rules are about to come: what can be written down before is written down now. */
  expect(): Promise<void>;
  /** Idempotent; an empty DnsPlan gives everything back. @throws {HostError} AOV-HOST-310 to 313 */
  apply(dns: DnsPlan): Promise<ResolverReport>;
  /** Whether resolv.conf, or what it is made from, was made to name our stub and has not been given back: whoever changed it since has taken it away. */
  readonly holdsPlace: boolean;
  counts(): ReturnType<StubResolver['counts']> | undefined;
  /** Calls back for every question that brings a tunnel up. */
  watchTriggers(onTrigger: OnTrigger): { close(): void };
  /** What is known of the encrypted resolvers that our stubs ask. */
  encrypted(): readonly EncryptedResolverState[];
  /** Calls back when one of them has proven itself, or fails. */
  watchEncrypted(onEncrypted: OnEncrypted): { close(): void };
  /** Gives everything back. */
  close(): Promise<void>;
}

export interface ResolverOptions extends ResolvConfPlace {
  readonly stubAddress: IpAddress;
}

export function openResolver(socket: RouteSocket, options: ResolverOptions): Resolver {
  const resolved = openSystemdResolved();
  let stub: StubResolver | undefined;
  let carrier: ResolverDevice | undefined;
  let holdsPlace = false;
  const triggerWatches = new Set<OnTrigger>();
  const triggered: OnTrigger = (profile, rule) => {
    for (const onTrigger of triggerWatches) onTrigger(profile, rule);
  };
  const resolverWatches = new Set<OnEncrypted>();
  const events: StubEvents = {
    onTrigger: triggered,
    onEncrypted: (state) => {
      for (const onEncrypted of resolverWatches) onEncrypted(state);
    },
  };
  const userStubs = openUserStubs(options.stubAddress, events);
  /** Devices that systemd-resolved knows rules of, by what it was told. */
  const told = new Map<string, { readonly index: number; readonly text: string }>();

  const indexOf = (device: string): number | undefined => readLinks(socket).find(({ name }) => name === device)?.index;
  const startStub = async (dns: DnsPlan, done: string[]): Promise<void> => {
    if (!stub) {
      stub = await openStubResolver(options.stubAddress, undefined, events);
      done.push('stub resolver listens');
    }
    stub.configure(dns);
  };
  const stopStub = async (done: string[]): Promise<void> => {
    if (!stub) return;
    const old = stub;
    stub = undefined;
    await old.close();
    done.push('stub resolver stopped');
  };
  const releaseResolvConf = async (done: string[]): Promise<void> => {
    holdsPlace = false;
    const what = await releasePlace(options);
    if (what !== 'nothing') done.push(`${options.resolvConf} ${what}`);
  };
  /** What was last decided; an answer of the bus takes milliseconds that a connection would have to wait. */
  let decision: ResolverDecision | undefined;
  /** One at a time: it has one file. */
  let ahead: Promise<void> | undefined;
  const decide = async (): Promise<ResolverDecision> => {
    const { text, link } = readOriginal(options);
    const [resolvedRunning, rcManager] = await Promise.all([
      resolved.isRunning(),
      // The bus is not asked for what nothing points to.
      text.includes(networkManagerHeader) || link?.includes('NetworkManager') ? readRcManager() : undefined,
    ]);
    const resolvconf = findResolvconf();
    decision = decideResolver({
      resolvConf: text,
      ...(link === undefined ? {} : { resolvConfLink: link }),
      resolvedRunning,
      ...(rcManager === undefined ? {} : { rcManager }),
      ...(resolvconf === undefined ? {} : { resolvconf }),
    });
    return decision;
  };
  const releaseLinks = async (keep: ReadonlySet<string>, done: string[]): Promise<void> => {
    for (const [device, { index }] of told) {
      if (keep.has(device)) continue;
      told.delete(device);
      if (device === resolverDevice) continue;
      if (indexOf(device) === index) await resolved.revert(index);
      done.push(`systemd-resolved: ${device} reverted`);
    }
    if (carrier && !keep.has(resolverDevice)) {
      carrier.close();
      carrier = undefined;
      done.push(`device ${resolverDevice} removed`);
    }
  };
  const applyToResolved = async (dns: DnsPlan, done: string[]): Promise<void> => {
    const { links, throughStub, why } = arrangeResolvedLinks(dns, resolverDevice, options.stubAddress);
    if (throughStub) {
      await startStub(dns, done);
      if (!carrier) {
        carrier = openResolverDevice(socket);
        done.push(`device ${resolverDevice} made`);
      }
    }
    const state = await resolved.read();
    for (const link of links) {
      const index = indexOf(link.device);
      if (index === undefined)
        throw new HostError('AOV-HOST-301', `there is no device ${link.device}`, networkCure('AOV-HOST-301'));
      const text = JSON.stringify([link.servers.map(({ bytes }) => [...bytes]), link.domains, link.defaultRoute]);
      const known = told.get(link.device);
      // A restarted systemd-resolved has forgotten; its own word counts. (Loopback servers it reports under the loopback link.)
      const remembers =
        link.servers.every((server) => state.servers.some(({ address }) => sameAddress(address, server))) &&
        state.domains.filter((domain) => domain.index === index).length === link.domains.length;
      if (known?.index === index && known.text === text && remembers) continue;
      await resolved.set(index, link);
      told.set(link.device, { index, text });
      done.push(`systemd-resolved: ${link.device} leads ${link.domains.map(({ domain }) => domain).join(' ')} (${why})`);
    }
    await releaseLinks(new Set(links.map(({ device }) => device)), done);
    if (!throughStub) await stopStub(done);
  };

  /** @returns whether programs are sent to our stub by it */
  const applyToRecord = async (configuration: ResolvConf, done: string[]): Promise<boolean> => {
    try {
      if (await putRecord(configuration)) done.push('resolvconf has a record of ours: it sends programs to our stub resolver');
      // A file of ours from before hides what resolvconf makes.
      if (isTaken(options)) giveBack(options);
      if (holdsResolvConf(options)) return true;
      await removeRecord();
      done.push('resolvconf lists others before our stub resolver, or beside it');
    } catch (error) {
      done.push(error instanceof Error ? error.message : String(error));
    }
    return false;
  };

  const applyToStub = async (dns: DnsPlan, done: string[]): Promise<void> => {
    await startStub(dns, done);
    const { keeper } = decision ?? (await decide());
    const own = parseResolvConf(readWithoutUs(options).text);
    const search = [...new Set([...dns.search.map(({ domain }) => domain), ...dns.physicalSearch])];
    const configuration = { nameservers: [options.stubAddress], search, options: own.options };
    if (keeper === 'resolvconf' && (await applyToRecord(configuration, done))) holdsPlace = true;
    else {
      if (readOurRecord() !== undefined) await removeRecord();
      if (keeper === 'NetworkManager' && !standsAside()) {
        const why = await standAside();
        done.push(why === undefined ? 'NetworkManager leaves resolv.conf alone' : `NetworkManager cannot be asked: ${why}`);
      }
      const isNew = takeOver(options, configuration);
      holdsPlace = true;
      if (isNew) done.push(`${options.resolvConf} names our stub resolver`);
    }
    await releaseLinks(new Set(), done);
  };

  return {
    physical: async () => {
      const now = await decide();
      const { nameservers, search } = parseResolvConf(readWithoutUs(options).text);
      if (now.owner === 'stub')
        return {
          ...now,
          servers: nameservers.filter((address) => !sameAddress(address, options.stubAddress)),
          search,
          linkDomains: [],
        };
      const ours = new Set(
        readLinks(socket)
          .filter(({ name }) => name === resolverDevice || told.has(name))
          .map(({ index }) => index),
      );
      const state = await resolved.read();
      return {
        ...now,
        servers: state.servers
          .filter(({ index, address }) => !ours.has(index) && !sameAddress(address, options.stubAddress))
          .map(({ address }) => address),
        search,
        linkDomains: state.domains.filter(({ index }) => !ours.has(index)),
      };
    },
    expect: async () => {
      const { owner, keeper } = decision ?? (await decide());
      if (owner !== 'stub' || keeper === 'resolvconf') return;
      ahead ??= writeAhead(options).finally(() => (ahead = undefined));
      await ahead;
    },
    apply: async (dns) => {
      const done: string[] = [];
      await userStubs.apply(dns, done);
      if (dns.rules.length === 0 && dns.search.length === 0) {
        // Who waits for a tunnel that is not to come is answered as it would have been without us.
        stub?.configure(dns);
        await stub?.settled();
        await releaseResolvConf(done);
        await releaseLinks(new Set(), done);
        await stopStub(done);
      } else if (dns.resolver === 'systemd-resolved') {
        await applyToResolved(dns, done);
        if (holdsResolvConf(options) || standsAside()) await releaseResolvConf(done);
      } else await applyToStub(dns, done);
      return { owner: dns.resolver, rules: dns.rules.length, stub: stub !== undefined, done };
    },
    get holdsPlace() {
      return holdsPlace;
    },
    counts: () => stub?.counts(),
    encrypted: () => [...(stub?.encrypted() ?? []), ...userStubs.encrypted()],
    watchEncrypted: (onEncrypted) => {
      resolverWatches.add(onEncrypted);
      return { close: () => void resolverWatches.delete(onEncrypted) };
    },
    watchTriggers: (onTrigger) => {
      triggerWatches.add(onTrigger);
      return { close: () => void triggerWatches.delete(onTrigger) };
    },
    close: async () => {
      const done: string[] = [];
      await releaseResolvConf(done);
      await releaseLinks(new Set(), done);
      await stopStub(done);
      await userStubs.close();
    },
  };
}
