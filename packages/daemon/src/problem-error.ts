import { problem, problemOfHost, type Problem } from '@aovpn/supervisor';

/** A problem on its way up: what people see is the problem itself. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  constructor(found: Problem) {
    super(`${found.code}: ${found.message}`);
    this.problem = found;
  }
}

/** Any error as a problem: host errors and our own keep their code. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof Error && 'code' in error && 'what' in error && 'cure' in error) {
    const { code, what, cure } = error as Error & { readonly code: unknown; readonly what: unknown; readonly cure: unknown };
    if (typeof code === 'string' && typeof what === 'string' && typeof cure === 'string')
      return problemOfHost({ code, what, cure });
  }
  return problem('internal', messageOf(error));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
