import { HostError } from '../host-error.ts';
import { passwordErrors, type PasswordErrorCode } from './errors.ts';

/** @returns an error of the table; `what` never holds a secret */
export function passwordError(code: PasswordErrorCode, what: string, cause?: unknown): HostError {
  const { title, cure } = passwordErrors.find((entry) => entry.code === code)!;
  return new HostError(code, `${title}: ${what}`, cure, cause);
}
