import { HostError } from '../host-error.ts';
import { dataPlaneErrors, type DataPlaneErrorName } from './errors.ts';

/** An error of the table, with what happened this time. */
export function dataPlaneError(name: DataPlaneErrorName, what: string, cause?: unknown): HostError {
  const { code, cure } = dataPlaneErrors[name];
  return new HostError(code, what, cure, cause);
}
