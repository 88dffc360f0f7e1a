import type { IkeProtocolError } from '../registry/error.ts';

/** How the decoders stop; caught where a datagram becomes an outcome, and never seen outside of the codec. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
  readonly error: IkeProtocolError;

  constructor(error: IkeProtocolError) {
    super(error.kind);
    this.error = error;
  }
}

/** Stops decoding with INVALID_SYNTAX. */
export function malformed(detail: string): never {
  throw new MalformedError({ kind: 'INVALID_SYNTAX', detail });
}
