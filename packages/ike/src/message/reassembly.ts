/** Authenticated fragments of messages that are not complete yet (RFC 7383 §2.6). An immutable value. */
export interface Reassembly {
  readonly request?: PendingMessage;
  readonly response?: PendingMessage;
}

export interface PendingMessage {
  readonly messageId: number;
}

/** No fragments. */
export const emptyReassembly: Reassembly = {};
