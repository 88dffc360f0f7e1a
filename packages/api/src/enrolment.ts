import type { Problem } from './status.ts';

/** A certificate that the daemon has from an enrolment server, and renews: one `[enrol."NAME"]` table of the settings. */
export interface EnrolmentStatus {
  readonly name: string;
  readonly protocol: 'est' | 'scep' | 'acme';
  readonly url: string;
  /** `none`: there is no certificate yet; `pending`: neither, and the authority has the request. */
  readonly state: 'none' | 'pending' | 'valid' | 'expired';
  readonly certificate?: {
    /** SHA-256, lower-case hexadecimal. */
    readonly id: string;
    readonly subject: string;
    readonly issuer: string;
    readonly notBefore: string;
    readonly notAfter: string;
  };
  /** What is done next by itself, and when; absent: nothing until something changes. */
  readonly next?: { readonly what: 'enrol' | 'renew'; readonly at: string };
  readonly why: string;
  /** Of the last try, or why there can be none; a certificate that is valid stays in use. */
  readonly problem?: Problem;
  /** Connections that use it. */
  readonly connections: readonly string[];
}
