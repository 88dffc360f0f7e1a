import { prefixContains, type IpAddress } from '@aovpn/bytes';
import { rulePriorities, routingTable } from './linux-number.ts';
import type { Plan, RoutePlan, RulePlan } from './plan.ts';

/** What Linux does with a packet as far as our rules and our table go; `machine`: the machine's own rules decide. */
export interface RouteVerdict {
  readonly path: 'tunnel' | 'machine' | 'unreachable';
  /** The rule that decided; absent when none of ours matched. */
  readonly rule?: RulePlan;
  /** The route of our table that decided; absent when the table has none for the address. */
  readonly route?: RoutePlan;
}

/**
 * Walks rules and routes of a plan as the kernel would (`fib_rules_lookup`, `fib_table_lookup`): rules by priority, the longest prefix
 * in the table, then the lowest metric; a `throw` route, or none, goes on with the next rule. The `local` table and sockets bound to
 * a device are outside this model.
 */
export function lookUpRoute(plan: Plan, destination: IpAddress, mark = 0): RouteVerdict {
  const rules = plan.rules.filter(({ family }) => family === destination.family).sort((a, b) => a.priority - b.priority);
  let from: number = rulePriorities.first;
  let thrown: RouteVerdict | undefined;
  for (const rule of rules) {
    if (rule.priority < from || (rule.mark !== undefined && rule.mark !== mark)) continue;
    switch (rule.action.kind) {
      case 'nop':
        break;
      case 'goto':
        from = rule.action.priority;
        thrown ??= { path: 'machine', rule };
        break;
      case 'lookup': {
        const route = rule.action.table === routingTable ? decidingRoute(plan.routes, destination) : undefined;
        if (route?.kind === 'tunnel') return { path: 'tunnel', rule, route };
        if (route?.kind === 'unreachable') return { path: 'unreachable', rule, route };
        if (route) thrown ??= { path: 'machine', rule, route };
      }
    }
  }
  return thrown ?? { path: 'machine' };
}

function decidingRoute(routes: readonly RoutePlan[], destination: IpAddress): RoutePlan | undefined {
  let best: RoutePlan | undefined;
  for (const route of routes) {
    if (!prefixContains(route.prefix, destination)) continue;
    const longer = route.prefix.length - (best?.prefix.length ?? -1);
    if (longer > 0 || (longer === 0 && route.metric < best!.metric)) best = route;
  }
  return best;
}
