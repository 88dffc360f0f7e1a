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

/** What `GET /v1/secrets` tells root where `allow-key-export` says so: enough to read everything that the connection says. Octets are hexadecimal. */
export type ExportedSecret =
  | {
      readonly kind: 'datagram';
      /** Milliseconds since the epoch. */
      readonly at: number;
      readonly connection: string;
      readonly direction: 'in' | 'out';
      readonly local: ExportedPlace;
      readonly remote: ExportedPlace;
      /** The IKE message, without the non-ESP marker. */
      readonly message: string;
    }
  | {
      readonly kind: 'ike-keys';
      readonly connection: string;
      readonly spiI: string;
      readonly spiR: string;
      /** IKEv2 transform numbers; `integ` is 0 with an AEAD, whose keys end in their salt. */
      readonly encr: number;
      readonly keyBits: number;
      readonly integ: number;
      readonly skEi: string;
      readonly skEr: string;
      readonly skAi: string;
      readonly skAr: string;
    }
  | {
      readonly kind: 'esp-keys';
      readonly connection: string;
      readonly source: string;
      readonly destination: string;
      readonly family: 4 | 6;
      readonly spi: number;
      readonly encr: number;
      readonly keyBits: number;
      readonly integ: number;
      readonly encryptionKey: string;
      readonly integrityKey: string;
    };

export interface ExportedPlace {
  readonly family: 4 | 6;
  /** Hexadecimal. */
  readonly address: string;
  readonly port: number;
}
