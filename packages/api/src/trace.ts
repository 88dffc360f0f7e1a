/** One part of an IKE message as people read it. */
export interface TracePart {
  readonly name: string;
  readonly detail?: string;
  readonly parts?: readonly TracePart[];
}

/**
 * One IKE message of a connection: what it was, and what was made of it. Never a key, a password, or octets of the message; of nonces, certificates,
 * EAP and everything unknown only the length.
 */
export interface TraceMessage {
  readonly kind: 'message';
  readonly at: string;
  readonly connection: string;
  readonly direction: 'in' | 'out';
  /** `192.0.2.1:4500`; of a message that came in it is the sender's place that is believed, which a forger can copy. */
  readonly local?: string;
  readonly remote?: string;
  readonly outcome: 'sent' | 'again' | 'believed' | 'unproven' | 'fragment' | 'refused' | 'repeated' | 'dropped';
  readonly why?: string;
  readonly spiI?: string;
  readonly spiR?: string;
  readonly exchange?: string;
  readonly messageId?: number;
  readonly response?: boolean;
  readonly fromInitiator?: boolean;
  readonly octets: readonly number[];
  readonly attempt?: number;
  readonly tookMs?: number;
  /** So many alike, one after the other, counted as one. */
  readonly times?: number;
  readonly payloads: readonly TracePart[];
}
