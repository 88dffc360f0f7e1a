import { dateText, nameOf, type CertificateCandidate } from '@aovpn/policy';
import { problem, type ProblemName } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';

/** A certificate that we authenticate with, and where it lies. */
export type SentCertificate = Pick<
  CertificateCandidate,
  'subject' | 'commonName' | 'userPrincipalNames' | 'source' | 'notBefore' | 'notAfter'
>;

/** What we show: in IKE itself, and in TLS inside EAP. */
export interface SentCertificates {
  readonly ike?: SentCertificate;
  readonly eap?: SentCertificate;
}

/**
 * A gateway or RADIUS server that refuses our certificate seldom says why. Where the certificate is out of its time that is the reason, and the problem
 * becomes that; when to try again stays, because it may be the clock. `now`: milliseconds since 1970.
 */
export function explainRefusal(found: Problem, { ike, eap }: SentCertificates, now: number): Problem {
  const isOfIke = ikeRefusals.has(found.code);
  const sent = isOfIke ? ike : eapRefusals.has(found.code) ? eap : undefined;
  if (!sent) return found;
  const { retry } = found;
  // Windows has one number for everything that is wrong with a machine certificate.
  const changes = isOfIke ? { retry, windows: 13806 } : { retry };
  const refusal = `${found.message} [${found.code}]`;
  // RFC 5280 §4.1.2.5: notAfter is inclusive.
  if (now > sent.notAfter)
    return problem('certificateExpired', `${nameOf(sent)} expired on ${dateText(sent.notAfter)} UTC. ${refusal}`, changes);
  if (now < sent.notBefore)
    return problem('certificateNotYetValid', `${nameOf(sent)} begins on ${dateText(sent.notBefore)} UTC. ${refusal}`, changes);
  return found;
}

const ikeRefusals = codesOf(['refusedCertificate']);
const eapRefusals = codesOf(['eapTlsClientCertificateRefused', 'eapTlsClientExpired', 'eapTlsClientOther', 'eapTlsAlert']);

function codesOf(names: readonly ProblemName[]): ReadonlySet<string> {
  return new Set(names.map((name) => problem(name).code));
}
