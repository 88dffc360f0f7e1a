import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import { isWithin, normaliseDomain } from '../domain-name.ts';
import type { Because, HostFacts } from '../facts.ts';
import type { Intent } from '../intent.ts';
import type { DnsPlan, DnsRule } from '../plan.ts';
import { formatEncryptedServer, gatewayServers, type GatewayServers } from './gateway-servers.ts';
import { decideOtherNames } from './other-names.ts';
import { answeredInside, idleRules, isNameTrigger, type TriggerReadiness } from './name-trigger.ts';
import { describePreference } from './preference.ts';

/**
 * Name rules of all tunnels, merged: for one name the first tunnel that has a rule wins; rules of tunnels that are down (persistent ones, and those
 * that bring their tunnel up) come behind those, and last what rests on a metric alone, so that it never takes names out of a force tunnel.
 * @param tunnels most preferred first
 * @param idle profiles whose tunnel is down, most preferred first
 * @param readiness of those, by name; absent: ready
 */
export function compileDns(
  tunnels: readonly LiveTunnel[],
  idle: readonly Intent[],
  host: HostFacts,
  readiness: ReadonlyMap<string, TriggerReadiness> = new Map(),
): DnsPlan {
  const resting = idle.map((intent) => ({ intent, ...idleRules(intent, readiness.get(intent.name) ?? { kind: 'ready' }) }));
  const merged = new Map<string, Candidate>();
  const candidates: readonly Candidate[] = [
    ...tunnels.flatMap((tunnel) => tunnelRules(tunnel, host).map((rule) => ({ rule, of: tunnel.intent }))),
    ...resting.flatMap(({ intent, rules }) =>
      rules.map((rule) => ({ rule: { ...rule, servers: distinct(rule.servers) }, of: intent })),
    ),
  ].sort((a, b) => Number(a.rule.otherwise !== undefined) - Number(b.rule.otherwise !== undefined));
  for (const { rule, of } of candidates) {
    const winner = merged.get(rule.name);
    if (!winner) {
      merged.set(rule.name, { rule, of });
      continue;
    }
    const instead = [...winner.rule.instead, { because: rule.because, reason: reasonFor(winner, { rule, of }) }];
    merged.set(rule.name, { rule: { ...winner.rule, instead }, of: winner.of });
  }
  const rules = [...merged.values()].map(({ rule }) => rule);
  const others = rules.some(({ name }) => name === '.') ? undefined : tunnels.map((tunnel) => decideOtherNames(tunnel, host))[0];
  const asleep = resting.flatMap((one) => one.asleep);
  const search = new Map<string, DnsPlan['search'][number]>();
  for (const { intent, facts } of tunnels) {
    const add = (domain: string, because: Because): void => {
      if (!search.has(domain)) search.set(domain, { domain, device: facts.device, because });
    };
    for (const { value, because } of intent.suffixes) add(value, because);
    if (intent.suffixes.length === 0)
      for (const domain of pushedDomains(facts.dnsDomains)) add(domain, pushed(intent, 'domain pushed by the gateway'));
  }
  return {
    resolver: host.resolver,
    rules: rules.sort(compareRules),
    ...(others && { unruled: others.because }),
    search: [...search.values()],
    physical: host.physicalDns,
    physicalSearch: host.physicalSearch ?? [],
    mark: host.mark,
    ...(asleep.length > 0 && { asleep }),
    registrations: [],
  };
}

interface Candidate {
  readonly rule: DnsRule;
  readonly of: Intent;
}

function reasonFor(winner: Candidate, loser: Candidate): string {
  if (winner.of === loser.of) return 'it stands first in the profile';
  if (winner.rule.otherwise !== loser.rule.otherwise) return 'the other one rests on an interface metric alone';
  if (winner.rule.device !== undefined && loser.rule.device === undefined) return 'its tunnel is up, the other one’s is not';
  return describePreference(winner.of, loser.of);
}

function tunnelRules(tunnel: LiveTunnel, host: HostFacts): DnsRule[] {
  const { intent, facts } = tunnel;
  const rules: DnsRule[] = [];
  const add = (name: string, whom: GatewayServers, because: Because): void => {
    rules.push({ name, ...whom, profile: intent.name, device: facts.device, because, instead: [] });
  };
  const given = gatewayServers(facts);
  const by = given.encrypted ? 'encrypted servers' : 'servers';
  for (const rule of intent.nameRules) {
    add(rule.name, { servers: distinct(rule.servers) }, rule.because);
    if (isNameTrigger(intent, rule)) rules.push({ ...rules.pop()!, trigger: answeredInside });
  }
  const hasNamedRules = intent.nameRules.some((rule) => rule.servers.length > 0);
  if (given.servers.length > 0) {
    const uncovered = (domain: string): boolean =>
      !rules.some(({ name }) => name === '.' || name === domain || (name.startsWith('.') && isWithin(domain, name.slice(1))));
    for (const { value, because } of intent.suffixes) {
      if (uncovered(value)) add(`.${value}`, given, { ...because, why: `DnsSuffix, ${by} pushed by the gateway` });
    }
    if (!hasNamedRules) {
      for (const domain of pushedDomains(facts.dnsDomains)) {
        if (uncovered(domain)) add(`.${domain}`, given, pushed(intent, `domain and ${by} pushed by the gateway`));
      }
    }
  }
  if (rules.some(({ name }) => name === '.')) return rules;
  if (intent.routing.value === 'ForceTunnel') {
    const whom = given.servers.length > 0 ? given : { servers: distinct(host.physicalDns) };
    const why =
      given.servers.length > 0
        ? 'force tunnel: all names'
        : 'force tunnel: the gateway pushed no DNS server, the machine’s own are asked through the tunnel';
    if (whom.servers.length > 0) add('.', whom, { ...intent.routing.because, why });
    return rules;
  }
  const others = decideOtherNames(tunnel, host);
  if (others?.askTunnel) {
    const { name: profile } = intent;
    const { because } = others;
    rules.push({ name: '.', ...given, otherwise: 'physical', profile, device: facts.device, because, instead: [] });
  }
  if (others === undefined && given.servers.length > 0 && rules.every(({ servers }) => servers.length === 0)) {
    add('.', given, pushed(intent, `${by} pushed by the gateway, and nothing says which names are inside`));
  }
  return rules;
}

function pushed(intent: Intent, why: string): Because {
  return { ...intent.routing.because, why };
}

/** Names that belong to no network (RFC 6761, RFC 6762, RFC 7686, RFC 9476): nobody's DNS server is asked for them because a gateway says so. */
const specialNames: readonly string[] = ['localhost', 'local', 'invalid', 'onion', 'alt', 'resolver.arpa', 'ipv4only.arpa'];

/** The gateway's words are input: only DNS names get through, and not too many (RFC 8598 §5). */
function pushedDomains(domains: readonly string[]): string[] {
  const names = domains
    .map(normaliseDomain)
    .filter((name): name is string => name !== undefined)
    .filter((name) => !specialNames.some((special) => isWithin(name, special)));
  return [...new Set(names)].slice(0, 64);
}

function distinct(addresses: readonly IpAddress[]): IpAddress[] {
  return addresses.filter((address, i) => addresses.findIndex((other) => sameAddress(other, address)) === i);
}

/** Most specific first: one name, then suffixes by number of labels, then all; stable and readable. */
function compareRules(a: DnsRule, b: DnsRule): number {
  const weight = ({ name }: DnsRule): number => (name === '.' ? 0 : name.split('.').length);
  return weight(b) - weight(a) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

/** Servers of a rule as text, or what an empty list stands for. */
export function describeServers(rule: DnsRule, dns: DnsPlan): string {
  const own = dns.physical.map(formatAddress).join(' ');
  if (rule.encrypted) {
    const clear = [...(rule.clear ?? []), ...(rule.otherwise ? dns.physical : [])].map(formatAddress);
    return `${rule.encrypted.map(formatEncryptedServer).join(' ')}${clear.length > 0 ? ` otherwise ${clear.join(' ')}` : ''}`;
  }
  if (rule.servers.length > 0)
    return `${rule.servers.map(formatAddress).join(' ')}${rule.otherwise && own !== '' ? ` otherwise ${own}` : ''}`;
  return `exempt${dns.physical.length > 0 ? ` (${dns.physical.map(formatAddress).join(' ')})` : ''}`;
}
