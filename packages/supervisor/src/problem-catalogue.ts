import { connectionProblems } from './problem/connection-problem.ts';
import { credentialProblems } from './problem/credential-problem.ts';
import { eapProblems } from './problem/eap-problem.ts';
import { eapTlsProblems } from './problem/eap-tls-problem.ts';
import { enrolmentProblems } from './problem/enrolment-problem.ts';
import { ikeProblems } from './problem/ike-problem.ts';
import type { Problem, ProblemRow } from './problem.ts';

/**
 * Every problem that a connection can have, except those of this machine (`AOV-HOST-…`, kept beside the code that meets them).
 * docs/errors.md is compared with this table both ways. The Windows numbers are those of the RasClient event 20227 and of IKEEXT.
 */
const rows = {
  ...ikeProblems,
  ...eapProblems,
  ...eapTlsProblems,
  ...connectionProblems,
  ...credentialProblems,
  ...enrolmentProblems,
} as const;

export type ProblemName = keyof typeof rows;

/** The whole table in the order of the numbers, for docs/errors.md and its test. */
export const problemCatalogue: readonly ProblemRow[] = Object.values(rows)
  .map((row) => ({ row, number: Number(row.code.slice(-3)) }))
  .sort((a, b) => a.number - b.number)
  .map(({ row }) => row);

/** One occurrence of a problem of the catalogue; `detail` follows the title after a colon. */
export function problem(
  name: ProblemName,
  detail?: string,
  changes?: Partial<Pick<Problem, 'windows' | 'side' | 'cure' | 'retry'>>,
): Problem {
  const { title, code, windows, side, cure, retry } = rows[name];
  return {
    code,
    ...(windows !== undefined && { windows }),
    side,
    message: detail ? `${title}: ${detail}` : title,
    cure,
    retry,
    ...changes,
  };
}
