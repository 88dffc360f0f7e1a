import { HostError } from '../host-error.ts';
import { keysErrors } from './errors.ts';

export type KeysErrorCode = (typeof keysErrors)[number]['code'];

/** A host error of this part, with the cure of its table. */
export function keysError(
  code: KeysErrorCode,
  what: string,
  options: { readonly cure?: string; readonly cause?: unknown } = {},
): HostError {
  return new HostError(code, what, options.cure ?? keysErrors.find((entry) => entry.code === code)!.cure, options.cause);
}
