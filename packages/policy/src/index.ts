export { formatBecause, type Because, type HostFacts, type Sourced, type TunnelFacts } from './facts.ts';
export type { Intent, IntentRoute, NameRule } from './intent.ts';
export { resolveProfile } from './resolve-profile.ts';
export { policyDivergences, type Divergence, type DivergenceNote, type PolicyDivergenceId } from './divergence.ts';
export { compilePlan, type LiveTunnel, type PlanInput } from './compile-plan.ts';
export {
  emptyPlan,
  routeKey,
  ruleKey,
  tableOf,
  type AccessEntry,
  type AppKey,
  type AppPlan,
  type DnsPlan,
  type DnsRule,
  type FilterOwner,
  type FilterPlan,
  type FilterRule,
  type ForcedPath,
  type Plan,
  type RouteKind,
  type RoutePlan,
  type RuleAction,
  type RulePlan,
  type TunnelPlan,
  type UnusableFilter,
} from './plan.ts';
export type { FilterProblem } from './filter/problem.ts';
export { printPlan, printRoute, printRule } from './print-plan.ts';
export { diffPlan, printChanges, sameRoute, sameRule, type PlanChange } from './diff-plan.ts';
export { lookUpRoute, type RouteVerdict } from './route-lookup.ts';
export {
  explain,
  type AddressExplanation,
  type NameExplanation,
  type PlanExplanation,
  type PlanExplanationStep,
} from './explain.ts';
export { compileNameMatcher, isWithin, normaliseDomain, normaliseRuleName } from './domain-name.ts';
export { devicePrefix, routeProtocol, routingTable, rulePriorities } from './linux-number.ts';
