import type { SubjectPart } from './parse-subject.ts';

/** Why no certificate was had, as far as anything depends on it. */
export type EnrolmentFailure =
  /** No name, no connection, no answer in time, or the server has trouble of its own. */
  | 'unreachable'
  /** It has not proven that it is the authority's server. */
  | 'untrusted'
  | 'secret-refused'
  /** It refused the request, or the certificate that we showed it. */
  | 'refused'
  /** It wanted the name proven, and was not shown that, or did not believe it. */
  | 'unproven'
  /** Its answer, or the certificate in it, cannot be used. */
  | 'unusable'
  /** Something on this machine. */
  | 'host';

/** Kinds of keys that are made for certificates. */
export const enrolmentKeys = ['p256', 'p384', 'rsa2048', 'rsa3072', 'rsa4096'] as const;
export type EnrolmentKey = (typeof enrolmentKeys)[number];

/** What the certificate is asked to say. */
export interface CertificateNames {
  /** In the order of the certificate: most general part first, or as the administrator wrote it. Empty: no subject. */
  readonly subject: readonly SubjectPart[];
  readonly dns: readonly string[];
  readonly email: readonly string[];
  /** User principal names. */
  readonly upn: readonly string[];
}
