/** What the EAP peer needs of cryptography, synchronously. MD4 and DES (RFC 2759) are the room's own. */
export interface EapCrypto {
  random(length: number): Uint8Array;
  sha1(...data: readonly Uint8Array[]): Uint8Array;
}

/** Trust in the EAP (RADIUS) server's TLS certificate. Never the gateway's. */
export interface TlsServerTrust {
  /** false only when the profile says PerformServerValidation=false. */
  readonly validate: boolean;
  /** Names or anchored regular expressions; empty: any name below an accepted root. */
  readonly serverNames: readonly string[];
  /** SHA-1 of accepted roots, lower-case hexadecimal; empty: any root of the trust store. */
  readonly trustedRoots: readonly string[];
}

export type EapMethodConfig =
  | { readonly kind: 'mschapv2'; readonly userName: string }
  | { readonly kind: 'tls'; readonly trust: TlsServerTrust };

export interface EapPeerConfig {
  /** Sent in EAP-Response/Identity (RFC 3748 §5.1). */
  readonly identity: string;
  readonly method: EapMethodConfig;
}

/** What comes back to the machine. `request` pairs an answer with its question; a stale one is ignored. */
export type EapEvent =
  | { readonly kind: 'packet'; readonly packet: Uint8Array }
  /** The secret as UTF-8 octets (undefined: there is none); the peer overwrites them once used. */
  | { readonly kind: 'secret'; readonly request: number; readonly secret: Uint8Array | undefined }
  /** Everything the TLS engine had to say after `tls-start` or `tls-input`: records to send, and where it stands. */
  | {
      readonly kind: 'tls-output';
      readonly request: number;
      readonly records: Uint8Array;
      readonly state:
        | { readonly kind: 'handshaking' }
        | {
            readonly kind: 'established';
            readonly version: '1.2' | '1.3';
            readonly msk: Uint8Array;
            readonly sessionId: Uint8Array;
          }
        | { readonly kind: 'failed'; readonly failure: TlsFailure };
      /** Decrypted application data (the EAP-TLS 1.3 commitment octet; inner methods later). */
      readonly applicationData: Uint8Array;
    };

export interface TlsFailure {
  readonly reason:
    | 'untrusted'
    | 'expired'
    | 'wrong-name'
    | 'revoked'
    | 'no-client-certificate'
    | 'client-certificate-refused'
    | 'alert'
    | 'protocol';
  readonly detail: string;
}

export type EapAction =
  /** Send this EAP packet to the authenticator. */
  | { readonly kind: 'reply'; readonly packet: Uint8Array }
  /** Ask for the password; answered by a `secret` event. */
  | {
      readonly kind: 'need-secret';
      readonly request: number;
      readonly what: 'password';
      readonly userName: string;
      readonly retry: boolean;
    }
  | { readonly kind: 'tls-start'; readonly request: number; readonly trust: TlsServerTrust }
  | { readonly kind: 'tls-input'; readonly request: number; readonly records: Uint8Array }
  | { readonly kind: 'tls-close' }
  /**
   * The method is complete on our side and the server has proven itself. Comes once, before the authenticator's EAP-Success; go
   * on (to AUTH from the MSK) when the EAP-Success packet has then been stepped through without `failed`.
   */
  | { readonly kind: 'succeeded'; readonly msk: Uint8Array; readonly method: string }
  /** Final. A `reply` in the same step comes before it: an acknowledgement or TLS alert owed to the server. */
  | { readonly kind: 'failed'; readonly failure: EapFailure }
  | { readonly kind: 'notification'; readonly text: string }
  | { readonly kind: 'trace'; readonly what: string };

export interface EapFailure {
  readonly kind:
    | 'rejected' // EAP-Failure, or the method's own failure
    | 'wrong-password'
    | 'password-expired'
    | 'account-restricted'
    | 'no-secret'
    | 'method-mismatch' // server insists on a method the profile does not allow
    | 'server-not-proven' // mutual authentication failed
    | 'out-of-order' // early Success, Success without key, ...
    | 'malformed'
    | 'tls';
  readonly detail: string;
  readonly tls?: TlsFailure;
  /** The method's own error number where it has one (MS-CHAPv2: 691, 648, …; RFC 2759 §6). */
  readonly number?: number;
}
