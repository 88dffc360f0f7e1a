import type { EnrolmentFailure } from '@aovpn/policy';
import { CertificateError } from '../trust/certificate.ts';

/** Why there is no certificate; the message is for people, without a secret in it. */
export class EnrolError extends Error {
  override readonly name = 'EnrolError';
  readonly failure: EnrolmentFailure;
  /** What the server asked for, milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(
    failure: EnrolmentFailure,
    detail: string,
    options: { readonly retryAfter?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.failure = failure;
    this.retryAfter = options.retryAfter;
  }
}

/** What cannot be read of an answer makes it one that cannot be used. @throws {EnrolError} */
export function usable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new EnrolError('unusable', error.message, { cause: error });
  }
}
