/** Answer to `explain certificate`: every certificate that is there for a connection, and why it is or is not the one that speaks for it. */
export interface CertificateReport {
  readonly connection: string;
  /** What the profile asks for, each fact a line. */
  readonly wanted: readonly string[];
  readonly certificates: readonly {
    /** SHA-256 of the certificate, lower-case hexadecimal. */
    readonly id: string;
    readonly source: string;
    readonly subject: string;
    readonly issuer: string;
    readonly notAfter: string;
    readonly verdict: 'taken' | 'possible' | 'refused';
    /** Each reason a line. */
    readonly reasons: readonly string[];
  }[];
  readonly summary: string;
  /** What to do, when none is taken. */
  readonly cure?: string;
}
