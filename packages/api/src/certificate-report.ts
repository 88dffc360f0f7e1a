/** Answer to `explain certificate`: every certificate that is there for a connection, and why it is or is not the one that speaks for it. */
export interface CertificateReport {
  readonly connection: string;
  readonly outcome:
    | 'chosen'
    /** Several fit, and the profile wants a person to say which. */
    | 'ambiguous'
    | 'none'
    /** This profile uses no client certificate. */
    | 'not-needed';
  /** All of it for people, criteria and profile lines included. */
  readonly text: string;
  /** Suitable ones first, best first. */
  readonly certificates: readonly {
    /** SHA-256 of the certificate, lower-case hexadecimal. */
    readonly id: string;
    readonly source: string;
    readonly onToken: boolean;
    readonly subject: string;
    readonly issuer: string;
    readonly notBefore: string;
    readonly notAfter: string;
    readonly chosen: boolean;
    readonly suitable: boolean;
    readonly criteria: readonly {
      readonly criterion: string;
      readonly met: 'yes' | 'no' | 'warning';
      readonly reason: string;
      /** Of the profile. */
      readonly line?: number;
    }[];
  }[];
  /** Sources that could not be looked into. */
  readonly problems: readonly {
    readonly source: string;
    readonly code: string;
    readonly message: string;
    readonly cure: string;
  }[];
}
