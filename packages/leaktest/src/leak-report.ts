import type { LeakReport } from '@aovpn/api';
import type { LeakFindings, LeakPromise } from '@aovpn/policy';
import type { CanaryCounts } from './canary-sender.ts';

export interface LeakReportParts {
  readonly promise: LeakPromise;
  readonly findings: LeakFindings;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly links: readonly string[];
  readonly missed: number;
  readonly canaries: CanaryCounts;
  readonly controlsSent: number;
  /** By the place of the step, from 0. */
  readonly outcomes: ReadonlyMap<number, string>;
  readonly interrupted: boolean;
}

/** What was found, in the words of the contract, with the verdict. */
export function leakReport(parts: LeakReportParts): LeakReport {
  const { promise, findings, canaries, controlsSent } = parts;
  const problems = blindness(parts);
  return {
    result: findings.leaked > 0 ? 'leaked' : problems.length > 0 ? 'blind' : 'passed',
    problems,
    profile: promise.profile,
    promise: promise.kind,
    startedAt: iso(parts.startedAt),
    endedAt: iso(parts.endedAt),
    promisedMs: Math.round(findings.promisedMs),
    links: parts.links,
    watched: findings.watched,
    sorts: findings.sorts,
    missed: parts.missed,
    canaries,
    controls: { sent: controlsSent, seen: findings.controls },
    steps: findings.steps.map(({ name, from, watched, leaks }, i) => {
      const outcome = parts.outcomes.get(i);
      return { name, at: iso(from), watched, leaks, ...(outcome !== undefined && { outcome }) };
    }),
    leaks: findings.leaks.map(({ at, ...leak }) => ({ at: iso(at), ...leak })),
    leaked: findings.leaked,
  };
}

/** Why silence would prove nothing. */
function blindness({ promise, findings, missed, canaries, controlsSent, links, interrupted }: LeakReportParts): string[] {
  const problems: string[] = [];
  if (links.length === 0) problems.push('no link leads out of this machine: there is nothing to watch');
  if (controlsSent === 0) problems.push('no control could be sent, so nobody knows whether a leak would be seen');
  if (findings.controls < controlsSent)
    problems.push(`of ${controlsSent} packets that the test let out on purpose only ${findings.controls} were seen`);
  if (missed > 0) problems.push(`the kernel could not show ${missed} packets`);
  if (findings.promisedMs === 0) problems.push('the promise was never in force: the tunnel was not up');
  else if (canaries.underPromise === 0) problems.push('nothing was tried while the promise was in force');
  if (promise.kind === 'split' && promise.held.length === 0) problems.push('the profile has no routes of its own');
  if (interrupted) problems.push('the test was interrupted');
  return problems;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
