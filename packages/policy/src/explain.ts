import { formatAddress, formatPrefix, parseAddress, type IpAddress } from '@aovpn/bytes';
import { describeProof, formatEncryptedServer } from './dns/gateway-servers.ts';
import { compileNameMatcher, normaliseDomain, ruleCovers } from './domain-name.ts';
import type { Because } from './facts.ts';
import { heldBack } from './lockdown/held-back.ts';
import type { DnsRule, NameTrigger, Plan } from './plan.ts';
import { proxyOf } from './proxy/compile-proxy.ts';
import { formatProxyServer } from './proxy/proxy-server.ts';
import { lookUpRoute } from './route-lookup.ts';

/** The shape that the daemon's contract calls Explanation; each step is one fact, the last one the outcome. */
export interface PlanExplanation {
  readonly target: string;
  readonly addresses: readonly AddressExplanation[];
  readonly dns?: NameExplanation;
  readonly summary: string;
}

export interface AddressExplanation {
  readonly address: string;
  readonly path: 'tunnel' | 'physical' | 'unreachable';
  /** Profile name. */
  readonly connection?: string;
  readonly device?: string;
  readonly steps: readonly PlanExplanationStep[];
}

export interface NameExplanation {
  readonly servers: readonly string[];
  readonly via: 'tunnel' | 'physical';
  readonly connection?: string;
  /** The question itself brings the tunnel up and waits for it (AutoTrigger). */
  readonly waits?: true;
  /** Programs are told at once that there is no answer (SERVFAIL), and why; `servers` is empty. */
  readonly refused?: string;
  readonly steps: readonly PlanExplanationStep[];
}

export interface PlanExplanationStep {
  readonly text: string;
  readonly profile?: string;
  readonly line?: number;
}

/**
 * Which tunnel, route and DNS server a target gets, and which line of which profile decided it.
 * @param target an address, or a name (text that is an address counts as one)
 * @param resolved what the resolver said for a name; its routes are explained too
 */
export function explain(plan: Plan, target: IpAddress | string, resolved: readonly IpAddress[] = []): PlanExplanation {
  const explainedAlone = (address: IpAddress): PlanExplanation => {
    const explained = explainAddress(plan, address);
    return { target: explained.address, addresses: [explained], summary: summariseAddress(explained) };
  };
  if (typeof target !== 'string') return explainedAlone(target);
  const literal = parseAddress(target);
  if (literal) return explainedAlone(literal);
  const name = normaliseDomain(target);
  if (name === undefined) return { target, addresses: [], summary: `${target} is neither an address nor a DNS name` };
  const named = explainName(plan, name);
  const dns = plan.proxy ? { ...named, steps: [...named.steps, { text: describePages(plan, name) }] } : named;
  const addresses = resolved.map((one) => explainAddress(plan, one));
  const asked =
    dns.refused === undefined
      ? `${name}: asked ${dns.servers.length > 0 ? dns.servers.join(' ') : 'the machine’s own resolver'} ${where(dns.via, dns.connection)}${dns.waits ? ', which the question brings up' : ''}`
      : `${name}: not answered (SERVFAIL), ${dns.refused}`;
  const reached = addresses.map(summariseAddress).join('; ');
  return { target: name, addresses, dns, summary: reached ? `${asked}; ${reached}` : asked };
}

function explainAddress(plan: Plan, address: IpAddress): AddressExplanation {
  const explained = explainRoute(plan, address);
  const refused = explained.path === 'physical' ? heldBack(plan, address) : undefined;
  return refused ? { ...explained, path: 'unreachable', steps: [...explained.steps, step(refused.why, refused)] } : explained;
}

function explainRoute(plan: Plan, address: IpAddress): AddressExplanation {
  const verdict = lookUpRoute(plan, address);
  const steps: PlanExplanationStep[] = [];
  const text = formatAddress(address);
  if (plan.tunnels.length === 0) {
    steps.push({ text: 'no tunnel is up: the machine’s own routing decides' });
    return { address: text, path: 'physical', steps };
  }
  if (verdict.rule) steps.push({ text: `rule ${verdict.rule.priority}: our table is asked before the machine’s own` });
  const { route } = verdict;
  if (!route) {
    steps.push({ text: `no tunnel route for ${text}: the machine’s own routing decides` });
    return { address: text, path: 'physical', steps };
  }
  const prefix = formatPrefix(route.prefix);
  switch (route.kind) {
    case 'throw':
      steps.push(step(`${prefix} stays outside the tunnels: ${route.because.why}`, route.because));
      steps.push({ text: 'the machine’s own routing decides' });
      return { address: text, path: 'physical', steps };
    case 'unreachable':
      steps.push(step(`${prefix} is unreachable: ${route.because.why}`, route.because));
      return { address: text, path: 'unreachable', steps };
    case 'tunnel': {
      steps.push(step(`${prefix} metric ${route.metric} is the longest match: ${route.because.why}`, route.because));
      const source = route.source ? ` from ${formatAddress(route.source)}` : '';
      const filter = plan.filters.find(({ device }) => device === route.device);
      if (filter) {
        const example = `tcp ${address.family === 6 ? `[${text}]` : text}:443`;
        const why = `${route.device} has filters, ${filter.rules.length} of them can fit: ask with protocol and port, such as ${example}`;
        steps.push(step(why, filter.because));
      }
      steps.push({ text: `sent into ${route.device}${source}` });
      return { address: text, path: 'tunnel', connection: route.because.profile, device: route.device!, steps };
    }
  }
}

function explainName(plan: Plan, name: string): NameExplanation {
  const explained = explainNameRule(plan, name);
  const lock = plan.lockdown?.because[0];
  if (!lock || explained.via === 'tunnel') return explained;
  return {
    ...explained,
    steps: [...explained.steps, step('LockDown: what programs ask does not get there outside of the tunnel', lock)],
  };
}

function explainNameRule(plan: Plan, name: string): NameExplanation {
  const { dns } = plan;
  const steps: PlanExplanationStep[] = [];
  const match = compileNameMatcher(dns.rules);
  const asked = candidatesFor(plan, name);
  if (asked.length > 1) {
    const [first, ...others] = asked;
    steps.push(step(`short name: the search list makes it ${first!.name} first`, first!.because));
    const served = others.map((other) => `${other.name} (${match(other.name)?.name ?? 'no rule'})`).join(', ');
    steps.push({ text: `if there is no such name, it is asked for as ${served}` });
  }
  const target = asked[0]!.name;
  const rule = match(target);
  const physical = dns.physical.map(formatAddress);
  for (const sleeping of dns.asleep ?? [])
    if (ruleCovers(sleeping.name, target))
      steps.push(step(`AutoTrigger of ${sleeping.name} is out of force: ${sleeping.why}`, sleeping.because));
  if (!rule) {
    steps.push(
      dns.unruled
        ? step(`no name rule matches: ${dns.unruled.why}`, dns.unruled)
        : {
            text:
              dns.rules.length === 0
                ? 'no name rule is in force: the machine’s own resolver answers'
                : 'no name rule matches: the machine’s own servers answer',
          },
    );
    return { servers: physical, via: 'physical', steps };
  }
  steps.push(step(`rule ${rule.name} matches: ${rule.because.why}`, rule.because));
  for (const { because, reason } of rule.instead)
    steps.push(step(`preferred over ${rule.name} of ${because.profile}: ${reason}`, because));
  for (const wider of widerRules(dns.rules, rule, target))
    steps.push(step(`more specific than ${wider.name} of ${wider.profile}, which is not asked`, wider.because));
  if (rule.trigger && rule.trigger.kind !== 'up') return explainTrigger(rule, rule.trigger, steps);
  if (rule.servers.length === 0) {
    steps.push({ text: 'exempted: the machine’s own servers answer' });
    return { servers: physical, via: 'physical', steps };
  }
  const servers = rule.servers.map(formatAddress);
  const whom = rule.encrypted ? rule.encrypted.map(formatEncryptedServer) : servers;
  const tunnelled = wayToServers(plan, rule);
  const device = tunnelled ? plan.tunnels.find(({ profile }) => profile === tunnelled)?.device : undefined;
  steps.push({ text: `asked ${whom.join(' ')}${device === undefined ? ' outside the tunnels' : ` through ${device}`}` });
  for (const server of rule.encrypted ?? [])
    steps.push({ text: `${server.name} is asked by TLS alone, and only when proven by ${describeProof(server)}` });
  if (rule.clear)
    steps.push({ text: `when they give no answer, in the clear (encrypted-dns): ${rule.clear.map(formatAddress).join(' ')}` });
  if (rule.otherwise && physical.length > 0)
    steps.push({ text: `when they give no answer: ${physical.join(' ')} outside the tunnels` });
  return {
    servers,
    via: tunnelled === undefined ? 'physical' : 'tunnel',
    ...(tunnelled === undefined ? {} : { connection: tunnelled }),
    steps,
  };
}

/** The tunnel of the rule is down. */
function explainTrigger(rule: DnsRule, { kind, why }: NameTrigger, steps: PlanExplanationStep[]): NameExplanation {
  const { profile: connection } = rule;
  steps.push(step(kind === 'refuse' ? `not answered (SERVFAIL), and nobody outside is asked: ${why}` : why, rule.because));
  if (kind === 'refuse') return { servers: [], via: 'tunnel', connection, refused: why, steps };
  const servers = rule.servers.map(formatAddress);
  steps.push({ text: `then ${servers.join(' ')} is asked through it; without a tunnel in time there is no answer (SERVFAIL)` });
  return { servers, via: 'tunnel', connection, waits: true, steps };
}

function describePages(plan: Plan, name: string): string {
  const proxy = proxyOf(plan, name);
  if (proxy === 'script') return `web pages of it: as the script ${plan.proxy!.autoConfigUrl} says`;
  return `web pages of it: ${proxy === 'direct' ? 'without a proxy' : `through proxy ${formatProxyServer(proxy)}`}`;
}

/** What the C library asks for, in order (resolv.conf(5), `search`, with `ndots` 1): a name without a dot with each domain of the list first. */
function candidatesFor({ dns }: Plan, name: string): readonly { readonly name: string; readonly because: Because }[] {
  const asIs = { name, because: { profile: '', why: '' } };
  if (name.includes('.')) return [asIs];
  const ours = dns.search.map(({ domain, because }) => ({ name: `${name}.${domain}`, because }));
  // Without rules and search domains of ours the list is the machine's own affair.
  if (dns.rules.length + ours.length === 0) return [asIs];
  const own = dns.physicalSearch.map((domain) => ({ name: `${name}.${domain}`, because: asIs.because }));
  const all = [...ours, ...own, asIs];
  return all.filter((candidate, i) => all.findIndex((other) => other.name === candidate.name) === i);
}

/** Rules that would match too, if the winner were not there; the next one first. */
function widerRules(rules: readonly DnsRule[], winner: DnsRule, name: string): readonly DnsRule[] {
  return rules.filter(
    (rule) => rule !== winner && rule.profile !== winner.profile && rule.name.startsWith('.') && ruleCovers(rule.name, name),
  );
}

/** The profile whose tunnel carries queries to the first server of a rule; undefined: they travel outside. */
function wayToServers(plan: Plan, rule: DnsRule): string | undefined {
  const { route } = lookUpRoute(plan, rule.servers[0]!);
  return route?.kind === 'tunnel' ? route.because.profile : undefined;
}

function step(text: string, because: Because): PlanExplanationStep {
  return {
    text,
    ...(because.profile === '' ? {} : { profile: because.profile }),
    ...(because.at ? { line: because.at.line } : {}),
  };
}

function summariseAddress({ address, path, connection, device }: AddressExplanation): string {
  if (path === 'unreachable') return `${address} is unreachable`;
  return `${address} goes ${path === 'tunnel' ? `through ${device} (${connection})` : 'outside the tunnels'}`;
}

function where(via: 'tunnel' | 'physical', connection: string | undefined): string {
  return via === 'tunnel' ? `through the tunnel (${connection})` : 'outside the tunnels';
}
