import { parseAddress, parsePrefix, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import type { DomainNameInformation, Located, Profile, Route } from '@aovpn/profile';
import { resolveProfile, type HostFacts, type LiveTunnel, type TunnelFacts } from '../src/index.ts';

/** Values with line numbers, as the profile room would hand them over. */
export function at<T>(value: T, line = 1): Located<T> {
  return { value, at: { line, column: 1 } };
}

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function prefix(text: string): IpPrefix {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

export function route(text: string, line: number, more: { metric?: number; exclude?: boolean } = {}): Route {
  const [network, length] = text.split('/');
  return {
    at: { line, column: 3 },
    address: at(network!, line + 1),
    prefixSize: at(Number(length), line + 2),
    ...(more.metric === undefined ? {} : { metric: at(more.metric, line + 3) }),
    ...(more.exclude === undefined ? {} : { exclusionRoute: at(more.exclude, line + 3) }),
  };
}

export function nameRule(
  name: string,
  line: number,
  servers?: readonly string[],
  more: { persistent?: boolean; autoTrigger?: boolean } = {},
): DomainNameInformation {
  return {
    at: { line, column: 3 },
    domainName: at(name, line + 1),
    ...(servers ? { dnsServers: at(servers, line + 2) } : {}),
    ...(more.persistent === undefined ? {} : { persistent: at(more.persistent, line + 3) }),
    ...(more.autoTrigger === undefined ? {} : { autoTrigger: at(more.autoTrigger, line + 3) }),
  };
}

export function profile(more: Partial<Profile> = {}): Profile {
  return { appTriggers: [], domainNameInformation: [], trafficFilters: [], routes: [], unknown: [], ...more };
}

export function facts(more: Partial<TunnelFacts> = {}): TunnelFacts {
  return {
    profile: 'Corp',
    device: 'aov0',
    mtu: 1400,
    addresses: [prefix('10.9.0.2/24')],
    dns: [],
    dnsDomains: [],
    subnets: [],
    remoteSelectors: [],
    gateway: address('203.0.113.7'),
    ...more,
  };
}

export function host(more: Partial<HostFacts> = {}): HostFacts {
  return {
    resolver: 'stub',
    physicalDns: [address('192.168.1.1')],
    mark: 0x616f,
    localSubnets: [prefix('192.168.1.0/24')],
    ...more,
  };
}

export function live(name: string, written: Profile, tunnel: Partial<TunnelFacts> = {}): LiveTunnel {
  return { intent: resolveProfile(name, written).intent, facts: facts({ profile: name, ...tunnel }) };
}
