import type { EnrolmentFailure } from '@aovpn/policy';

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
