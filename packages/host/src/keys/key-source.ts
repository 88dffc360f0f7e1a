import type { HostError } from '../host-error.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';
import type { PrivateKey } from './private-key.ts';

/** Where certificates with their keys may be. */
export type KeySource =
  /** As `CredentialFiles`: PEM, or one DER certificate; the key in the same file or in another. */
  | { readonly kind: 'pem'; readonly certificate: string; readonly key?: string }
  | { readonly kind: 'pkcs12'; readonly file: string; readonly passwordFile?: string }
  | {
      readonly kind: 'pkcs11';
      /** Full path of the module. */
      readonly module: string;
      /** Label of the token; undefined: every token of the module. */
      readonly token?: string;
      /** Label of the certificate; undefined: every certificate. */
      readonly object?: string;
      readonly pinFile?: string;
    }
  /** Files in a directory: certificates, keys, and PKCS#12 files with FILE.secret beside them. Other names are left alone. */
  | { readonly kind: 'directory'; readonly path: string };

/** A source, or part of one, that could not be used. */
export interface KeySourceProblem {
  /** As in `CertificateCandidate.source`. */
  readonly source: string;
  readonly error: HostError;
}

/** A certificate as a source has it. */
export interface FoundCertificate {
  readonly certificate: ParsedCertificate;
  readonly source: string;
  readonly onToken: boolean;
  readonly hasKey: boolean;
  /** @throws {HostError} */
  openKey(): Promise<PrivateKey>;
}

export interface Findings {
  readonly found: readonly FoundCertificate[];
  /** Other certificates, among which issuers may be. */
  readonly others: readonly ParsedCertificate[];
  readonly problems: readonly KeySourceProblem[];
}
