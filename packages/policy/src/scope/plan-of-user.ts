import { hasNumber } from '../filter/number-ranges.ts';
import type { Plan } from '../plan.ts';

/** What a plan is to one user: the rules and names that hold for everybody, and those that are the user's. */
export function planOfUser(plan: Plan, user: number): Plan {
  const names = plan.dns.users?.find((own) => own.user === user);
  return {
    ...plan,
    rules: plan.rules.flatMap(({ users, ...rule }) => (users === undefined || hasNumber([users], user) ? [rule] : [])),
    dns: { ...plan.dns, ...(names && { rules: names.rules }) },
  };
}
