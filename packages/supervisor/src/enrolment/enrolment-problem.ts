import { problem } from '../problem-catalogue.ts';
import type { Problem } from '../problem.ts';
import type { EnrolmentPlan, LastTry } from './decide-enrolment.ts';

const ofOutcome = {
  unreachable: 'enrolmentUnreachable',
  untrusted: 'enrolmentUntrusted',
  'secret-refused': 'enrolmentSecretRefused',
  refused: 'enrolmentRefused',
  unproven: 'enrolmentUnproven',
  unusable: 'enrolmentUnusable',
  host: 'enrolmentHost',
  pending: 'enrolmentPending',
} as const satisfies { readonly [O in LastTry['outcome']]: string };

/** What people see of it; undefined: nothing is wrong. `detail`: of the last try, without a secret. */
export function problemOfEnrolment(
  plan: EnrolmentPlan,
  last: (Pick<LastTry, 'outcome'> & { readonly detail: string }) | undefined,
): Problem | undefined {
  if (last && !(plan.kind === 'stuck' && plan.reason === 'expired')) return problem(ofOutcome[last.outcome], last.detail);
  if (plan.kind !== 'stuck') return undefined;
  if (plan.reason === 'expired') return problem('enrolmentExpired', last?.detail);
  return problem('enrolmentWithoutSecret');
}
