import { prefixContains, type IpAddress } from '@aovpn/bytes';
import { hasNumber } from './filter/number-ranges.ts';
import { rulePriorities } from './linux-number.ts';
import { tableOf, type Plan, type RoutePlan, type RulePlan } from './plan.ts';

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
 * @param uid owner of the socket; absent: no socket, as for what the kernel itself sends
 */
export function lookUpRoute(plan: Plan, destination: IpAddress, mark = 0, uid?: number): RouteVerdict {
  const rules = plan.rules.filter(({ family }) => family === destination.family).sort((a, b) => a.priority - b.priority);
  let from: number = rulePriorities.first;
  let thrown: RouteVerdict | undefined;
  for (const rule of rules) {
    if (rule.priority < from || !selects(rule, mark, uid)) continue;
    switch (rule.action.kind) {
      case 'nop':
        break;
      case 'goto':
        from = rule.action.priority;
        thrown ??= { path: 'machine', rule };
        break;
      case 'lookup': {
        const route = decidingRoute(plan.routes, rule.action.table, destination);
        if (route?.kind === 'tunnel') return { path: 'tunnel', rule, route };
        if (route?.kind === 'unreachable') return { path: 'unreachable', rule, route };
        if (route) thrown ??= { path: 'machine', rule, route };
      }
    }
  }
  return thrown ?? { path: 'machine' };
}

function selects({ mark: wanted, mask = 0xffff_ffff, users }: RulePlan, mark: number, uid: number | undefined): boolean {
  if (wanted !== undefined && (mark & mask) >>> 0 !== wanted) return false;
  // The kernel takes uid 0 for packets of its own (sock_net_uid).
  return users === undefined || hasNumber([users], uid ?? 0);
}

function decidingRoute(routes: readonly RoutePlan[], table: number, destination: IpAddress): RoutePlan | undefined {
  let best: RoutePlan | undefined;
  for (const route of routes) {
    if (tableOf(route) !== table || !prefixContains(route.prefix, destination)) continue;
    const longer = route.prefix.length - (best?.prefix.length ?? -1);
    if (longer > 0 || (longer === 0 && route.metric < best!.metric)) best = route;
  }
  return best;
}
