import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';

type RegistrationCode =
  | 'AOV-HOST-330'
  | 'AOV-HOST-331'
  | 'AOV-HOST-332'
  | 'AOV-HOST-333'
  | 'AOV-HOST-334'
  | 'AOV-HOST-335'
  | 'AOV-HOST-336';

export function registrationError(code: RegistrationCode, what: string, cause?: unknown): HostError {
  return new HostError(code, what, networkCure(code), cause);
}
