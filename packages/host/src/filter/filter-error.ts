import { HostError } from '../host-error.ts';
import { filterErrors, type FilterErrorName } from './errors.ts';

/** An error of the table, with what happened this time. */
export function filterError(name: FilterErrorName, what: string, cause?: unknown): HostError {
  const { code, cure } = filterErrors[name];
  return new HostError(code, what, cure, cause);
}

/** What a thrown thing says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
