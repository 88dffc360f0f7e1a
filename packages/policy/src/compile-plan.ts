import { type IpPrefix } from '@aovpn/bytes';
import { compileDns } from './compile-dns.ts';
import { compileRoutes } from './compile-routes.ts';
import type { HostFacts, TunnelFacts } from './facts.ts';
import type { Intent } from './intent.ts';
import { landingRulePriority, markRulePriority, routingTable, tableRulePriority } from './linux-number.ts';
import { emptyPlan, type Plan, type RulePlan, type TunnelPlan } from './plan.ts';

/** A tunnel that is up (or about to be): what its profile wants, and what its gateway gave. */
export interface LiveTunnel {
  readonly intent: Intent;
  readonly facts: TunnelFacts;
}

export interface PlanInput {
  readonly tunnels: readonly LiveTunnel[];
  /** Profiles in force whose tunnel is down: their persistent name rules stay. */
  readonly idle?: readonly Intent[];
  readonly host: HostFacts;
}

/** Facts and intents to a plan. Pure and deterministic: the order of the input does not matter. */
export function compilePlan({ tunnels, idle = [], host }: PlanInput): Plan {
  const preferred = [...tunnels].sort(byPreference);
  const dns = compileDns(
    preferred,
    [...idle].sort((a, b) => compareIntents(a, b)),
    host,
  );
  return {
    ...emptyPlan,
    tunnels: preferred.map(compileTunnel),
    routes: compileRoutes(preferred, dns.rules, host),
    rules: preferred.length > 0 ? [...compileRules(4, host), ...compileRules(6, host)] : [],
    dns,
  };
}

function byPreference(a: LiveTunnel, b: LiveTunnel): number {
  return compareIntents(a.intent, b.intent);
}

/** Lower interface metric first, then the user tunnel, then the name. */
function compareIntents(a: Intent, b: Intent): number {
  const byMetric =
    a.interfaceMetric.v4.value - b.interfaceMetric.v4.value || a.interfaceMetric.v6.value - b.interfaceMetric.v6.value;
  if (byMetric !== 0) return byMetric;
  if (a.tunnel !== b.tunnel) return a.tunnel === 'user' ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function compileTunnel({ intent, facts }: LiveTunnel): TunnelPlan {
  const host = (prefix: IpPrefix): IpPrefix => ({ address: prefix.address, length: prefix.address.bytes.length * 8 });
  return {
    device: facts.device,
    profile: intent.name,
    kind: intent.tunnel,
    mtu: facts.mtu,
    addresses: facts.addresses.map(host),
    metric: { v4: intent.interfaceMetric.v4.value, v6: intent.interfaceMetric.v6.value },
    because: { ...intent.routing.because, why: `${intent.tunnel} tunnel, ${intent.routing.because.why}` },
  };
}

/**
 * One jump and one look-up per family. A jump over our table rather than a look-up in `main`: the machine's own policy routing
 * goes on for our outer packets as if we were not there.
 */
function compileRules(family: 4 | 6, host: HostFacts): RulePlan[] {
  const machine = (why: string) => ({ profile: '', why });
  const rules: RulePlan[] = [
    {
      family,
      priority: tableRulePriority,
      action: { kind: 'lookup', table: routingTable },
      because: machine('tunnel routes come before the machine’s own'),
    },
  ];
  if (host.mark !== 0) {
    rules.unshift({
      family,
      priority: markRulePriority,
      mark: host.mark,
      action: { kind: 'goto', priority: landingRulePriority },
      because: machine('our outer packets never enter a tunnel'),
    });
    rules.push({ family, priority: landingRulePriority, action: { kind: 'nop' }, because: machine('where the jump lands') });
  }
  return rules;
}
