import type { ProblemRow } from '../problem.ts';

/** One row of the catalogue. `windows`: the number of the RasClient event 20227 or of IKEEXT; undefined where Windows has none. */
export function row(
  code: string,
  windows: number | undefined,
  side: ProblemRow['side'],
  retry: ProblemRow['retry'],
  title: string,
  cure: string,
): ProblemRow {
  return { code, ...(windows !== undefined && { windows }), side, title, cure, retry };
}
