import { sameAddress, type IpAddress } from '@aovpn/bytes';
import type { DnsPlan, DnsRule } from '@aovpn/policy';

/** What systemd-resolved is told about one link. */
export interface ResolvedLink {
  readonly device: string;
  readonly servers: readonly IpAddress[];
  /** `routingOnly`: names below go there, but it is no search domain (written `~domain`). */
  readonly domains: readonly { readonly domain: string; readonly routingOnly: boolean }[];
  /** Whether names that no domain of any link covers may go there. */
  readonly defaultRoute: boolean;
}

export interface ResolvedArrangement {
  readonly links: readonly ResolvedLink[];
  /** Whether the links point at our stub resolver, because systemd-resolved has no words for the rules. */
  readonly throughStub: boolean;
  readonly why: string;
}

/**
 * Name rules in the words of systemd-resolved, which knows one list of servers a link and domains that lead there.
 * Rules for one exact name (its domains cover what is below as well), exemptions, several lists of servers in one tunnel, servers for when
 * others give no answer, rules of a tunnel that is down, and those that bring one up go beyond that: then one link of ours leads all names that have rules to our stub resolver.
 */
export function arrangeResolvedLinks(dns: DnsPlan, stubDevice: string, stubAddress: IpAddress): ResolvedArrangement {
  if (dns.rules.length === 0 && dns.search.length === 0) return { links: [], throughStub: false, why: 'no name rules' };
  const reason = beyondResolved(dns);
  if (reason !== undefined || dns.rules.length === 0) {
    return { links: [link(stubDevice, [stubAddress], dns.rules, dns)], throughStub: true, why: reason ?? 'search domains only' };
  }
  const devices = [...new Set(dns.rules.map(({ device }) => device!))];
  return {
    links: devices.map((device) => {
      const rules = dns.rules.filter((rule) => rule.device === device);
      return link(device, rules[0]!.servers, rules, dns);
    }),
    throughStub: false,
    why: 'each tunnel has one list of servers',
  };
}

function beyondResolved(dns: DnsPlan): string | undefined {
  const lists = new Map<string, readonly IpAddress[]>();
  for (const rule of dns.rules) {
    // Also while it is up: questions that wait must not lose their stub when the tunnel comes.
    if (rule.trigger) return `names of ${rule.name} bring their tunnel up`;
    if (rule.otherwise) return `${rule.name} has servers for when its own give no answer`;
    if (rule.servers.length === 0) return `${rule.name} is exempted`;
    if (rule.encrypted) return `${rule.name} has encrypted servers, which our stub resolver proves and watches`;
    if (!rule.name.startsWith('.')) return `${rule.name} is one name, without those below it`;
    if (rule.device === undefined) return `${rule.name} stays in force while its tunnel is down`;
    const known = lists.get(rule.device);
    if (known && !sameList(known, rule.servers)) return `${rule.device} has several lists of servers`;
    lists.set(rule.device, rule.servers);
  }
  if (dns.search.some(({ device }) => device === undefined || !lists.has(device)))
    return 'a search domain belongs to a tunnel without rules';
  return undefined;
}

function link(device: string, servers: readonly IpAddress[], rules: readonly DnsRule[], dns: DnsPlan): ResolvedLink {
  const search = dns.search.filter(
    (entry) => servers.length > 0 && (rules.length === dns.rules.length || entry.device === device),
  );
  const domains = search.map(({ domain }) => ({ domain, routingOnly: false }));
  for (const { name } of rules) {
    const domain = name === '.' ? '.' : name.replace(/^\./, '');
    if (!domains.some((known) => known.domain === domain)) domains.push({ domain, routingOnly: true });
  }
  return { device, servers, domains, defaultRoute: rules.some(({ name }) => name === '.') };
}

function sameList(a: readonly IpAddress[], b: readonly IpAddress[]): boolean {
  return a.length === b.length && a.every((address, i) => sameAddress(address, b[i]!));
}
