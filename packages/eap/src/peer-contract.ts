/** What the EAP peer needs of cryptography, synchronously. MD4, DES and RC4 (RFC 2759) are the room's own. */
export interface EapCrypto {
  random(length: number): Uint8Array;
  sha1(...data: readonly Uint8Array[]): Uint8Array;
  /** For CHAP (RFC 1994) inside EAP-TTLS only. */
  md5(...data: readonly Uint8Array[]): Uint8Array;
  /** For the compound keys of PEAP ([MS-PEAP] §3.1.5.5). */
  hmacSha1(key: Uint8Array, ...data: readonly Uint8Array[]): Uint8Array;
}

/** Trust in the EAP (RADIUS) server's TLS certificate. Never the gateway's. */
export interface TlsServerTrust {
  /** false only when the profile says PerformServerValidation=false. */
  readonly validate: boolean;
  /** Names or anchored regular expressions; empty: any name below an accepted root. */
  readonly serverNames: readonly string[];
  /** SHA-1 of accepted roots, lower-case hexadecimal; empty: any root of the trust store. */
  readonly trustedRoots: readonly string[];
  /** The person may be asked about an unknown root or another name (DisableUserPromptForServerValidation is false). */
  readonly mayAsk?: boolean;
}

/** Methods that may run inside a TLS tunnel. EAP-GTC runs nowhere else: it would hand the secret to whoever asks. */
export type InnerMethodConfig =
  | { readonly kind: 'mschapv2'; readonly userName: string }
  | { readonly kind: 'tls'; readonly trust: TlsServerTrust }
  | { readonly kind: 'gtc'; readonly userName: string };

export interface InnerEapConfig {
  /** Sent as inner EAP-Response/Identity, inside the tunnel only. */
  readonly identity: string;
  readonly method: InnerMethodConfig;
}

export type EapMethodConfig =
  | { readonly kind: 'mschapv2'; readonly userName: string }
  | { readonly kind: 'tls'; readonly trust: TlsServerTrust }
  | {
      readonly kind: 'peap';
      readonly trust: TlsServerTrust;
      /** RequireCryptoBinding: a server that leaves the Cryptobinding TLV out is refused. */
      readonly requireCryptoBinding: boolean;
      /** FastReconnect: TLS session resumption may stand for the inner method. */
      readonly fastReconnect: boolean;
      readonly inner: InnerEapConfig;
    }
  | {
      readonly kind: 'ttls';
      readonly trust: TlsServerTrust;
      readonly inner:
        | { readonly kind: 'pap' | 'chap' | 'mschap' | 'mschapv2'; readonly userName: string }
        | ({ readonly kind: 'eap' } & InnerEapConfig);
    };

export interface EapPeerConfig {
  /** Sent in EAP-Response/Identity (RFC 3748 §5.1): the anonymous one when the profile wants identity privacy. */
  readonly identity: string;
  readonly method: EapMethodConfig;
}

/** TLS of the method itself, or of an EAP-TLS that runs inside of it. Each is a conversation of its own. */
export type TlsChannel = 'outer' | 'inner';

/** Which keys TLS exports once established (RFC 5216 §2.3, RFC 9190 §2.3, RFC 5281 §8 and §11.1, RFC 9427 §2). */
export type TlsKeying =
  | { readonly kind: 'eap-tls' | 'peap' }
  /** `challengeLength`: octets of implicit challenge material, 0 for none. */
  | { readonly kind: 'ttls'; readonly challengeLength: number };

/** What comes back to the machine. `request` pairs an answer with its question; a stale one is ignored. */
export type EapEvent =
  | { readonly kind: 'packet'; readonly packet: Uint8Array }
  /** The secret as UTF-8 octets (undefined: there is none); the peer overwrites them once used. */
  | { readonly kind: 'secret'; readonly request: number; readonly secret: Uint8Array | undefined }
  /** Everything the TLS engine had to say after `tls-start`, `tls-input` or `tls-write`: records to send, and where it stands. */
  | {
      readonly kind: 'tls-output';
      readonly request: number;
      readonly records: Uint8Array;
      readonly state:
        | { readonly kind: 'handshaking' }
        | {
            readonly kind: 'established';
            readonly version: '1.2' | '1.3';
            /** A session of before was resumed: no certificate was shown this time. */
            readonly resumed: boolean;
            /** 128 octets of exported keying material: MSK, then EMSK. PEAP's tunnel key is its beginning. */
            readonly keyMaterial: Uint8Array;
            readonly sessionId: Uint8Array;
            /** `ttls` with a `challengeLength` above 0 only. */
            readonly challenge?: Uint8Array;
          }
        | { readonly kind: 'failed'; readonly failure: TlsFailure };
      /** Decrypted application data: the EAP-TLS 1.3 commitment octet, inner EAP, AVPs. */
      readonly applicationData: Uint8Array;
    };

export interface TlsFailure {
  readonly reason:
    | 'untrusted'
    | 'expired'
    | 'not-yet-valid'
    | 'wrong-name'
    | 'wrong-eku' // not meant for a server
    | 'weak' // a key or signature that is too weak, or a certificate that cannot be read
    | 'invalid-root' // there is a path, but its root is out of its time or no authority
    | 'revoked'
    | 'revocation-unknown' // and the settings want to know it
    | 'no-client-certificate'
    | 'client-certificate-refused'
    | 'alert'
    | 'protocol';
  readonly detail: string;
  /** The alert that the server ended TLS with (RFC 8446 §6), when it sent one: 44 revoked, 45 expired, 48 unknown CA, … */
  readonly alert?: number;
}

export type EapAction =
  /** Send this EAP packet to the authenticator. */
  | { readonly kind: 'reply'; readonly packet: Uint8Array }
  /** Ask for a secret; answered by a `secret` event. */
  | {
      readonly kind: 'need-secret';
      readonly request: number;
      /** `token`: what EAP-GTC asks for, a one-time code as a rule. */
      readonly what: 'password' | 'new-password' | 'token';
      readonly userName: string;
      /** What the server says about it, printable. */
      readonly message?: string;
      /** The previous answer was wrong. */
      readonly retry: boolean;
    }
  | {
      readonly kind: 'tls-start';
      readonly request: number;
      readonly channel: TlsChannel;
      readonly trust: TlsServerTrust;
      readonly keying: TlsKeying;
      /** Whether the engine may show the client certificate (EAP-TLS); tunnels show none. */
      readonly clientCertificate: boolean;
      /** Whether a session of before may be resumed. */
      readonly resume: boolean;
    }
  | { readonly kind: 'tls-input'; readonly request: number; readonly channel: TlsChannel; readonly records: Uint8Array }
  /** Application data to encrypt; the peer overwrites it once the engine has it. */
  | { readonly kind: 'tls-write'; readonly request: number; readonly channel: TlsChannel; readonly data: Uint8Array }
  /** `remember`: the method ended well, so the session may be resumed next time; otherwise the engine forgets it. */
  | { readonly kind: 'tls-close'; readonly channel: TlsChannel; readonly remember: boolean }
  /**
   * The method is complete on our side and the server has proven itself. Comes once, before the authenticator's EAP-Success; go
   * on (to AUTH from the MSK) when the EAP-Success packet has then been stepped through without `failed`.
   */
  | { readonly kind: 'succeeded'; readonly msk: Uint8Array; readonly method: string }
  /** Final. A `reply` in the same step comes before it: an acknowledgement or TLS alert owed to the server. */
  | { readonly kind: 'failed'; readonly failure: EapFailure }
  | { readonly kind: 'notification'; readonly text: string }
  | { readonly kind: 'trace'; readonly what: string };

/** What speaks for the user. `secret`: a password or code, with the user name. */
export type Proof = 'secret' | 'certificate';

export interface EapFailure {
  readonly kind:
    | 'rejected' // EAP-Failure, or the method's own failure
    | 'wrong-password'
    | 'password-expired'
    | 'account-restricted'
    | 'no-secret'
    | 'method-mismatch' // server insists on a method the profile does not allow
    | 'server-not-proven' // mutual authentication failed
    | 'cryptobinding-missing' // RequireCryptoBinding and no TLV (Windows 824)
    | 'cryptobinding-invalid' // the compound MAC is wrong (Windows 823)
    | 'identity-mismatch' // the server takes the inner identity for another one than the outer (Windows 867)
    | 'out-of-order' // early Success, Success without key, ...
    | 'malformed'
    | 'tls';
  readonly detail: string;
  readonly tls?: TlsFailure;
  /** The method's own error number where it has one (MS-CHAPv2: 691, 648, …; RFC 2759 §6). */
  readonly number?: number;
  /** `rejected` without a word of why, right after this was shown: most likely that is what the server does not like. */
  readonly unexplained?: Proof;
}
