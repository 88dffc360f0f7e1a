import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { equal } from '@aovpn/bytes';
import type { ParsedCertificate } from './certificate.ts';
import { oid } from './oid.ts';
import { clockSkew, unknown, type RevocationStatus } from './revocation-status.ts';
import { isSignedBy } from './signature-algorithm.ts';

/** A revocation list that has been checked as a whole: issuer, signature, time, scope. */
export interface CheckedCrl {
  readonly until: Date;
  statusOf(certificate: ParsedCertificate): RevocationStatus;
}

type Checked = { readonly kind: 'crl'; readonly crl: CheckedCrl } | Extract<RevocationStatus, { kind: 'unknown' }>;

/** Reads and checks a CRL (RFC 5280 §5 and §6.3.3): complete, direct, by the issuer's own key, in its time. */
export function checkCrl(der: Uint8Array, issuer: ParsedCertificate, now: Date): Checked {
  let list: pkijs.CertificateRevocationList;
  try {
    const { offset, result } = asn1js.fromBER(der);
    // DER has one way to write a value (X.690 §10): lengths and tags outside of what is signed included.
    if (offset !== der.length || !equal(new Uint8Array(result.toBER()), der)) return unknown('not a DER revocation list');
    list = new pkijs.CertificateRevocationList({ schema: result });
  } catch (error) {
    return unknown(`a revocation list that cannot be decoded (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!list.issuer.isEqual(issuer.pki.subject)) return unknown('a revocation list of another issuer');
  if (issuer.keyUsage && !issuer.keyUsage.crlSign) return unknown('the issuer may not sign revocation lists');
  const sameAlgorithm = list.signature.algorithmId === list.signatureAlgorithm.algorithmId;
  const signature = list.signatureValue.valueBlock.valueHexView;
  if (!sameAlgorithm || !isSignedBy(issuer.key, list.signatureAlgorithm, list.tbsView, signature)) {
    return unknown('a revocation list whose signature is wrong or weak');
  }
  const { nextUpdate } = list;
  if (list.thisUpdate.value.getTime() > now.getTime() + clockSkew) return unknown('a revocation list from the future');
  if (!nextUpdate) return unknown('a revocation list without a next update');
  if (!(nextUpdate.value >= now)) return unknown(`a revocation list that was valid until ${nextUpdate.value.toISOString()}`);
  const scope = readScope(list);
  if (scope.kind === 'unknown') return scope;
  const until = nextUpdate.value;
  const revoked = list.revokedCertificates ?? [];
  return { kind: 'crl', crl: { until, statusOf: (certificate) => lookUp(revoked, scope, certificate, until) } };
}

interface Scope {
  readonly kind: 'scope';
  readonly users: boolean;
  readonly authorities: boolean;
}

function readScope(list: pkijs.CertificateRevocationList): Scope | Extract<RevocationStatus, { kind: 'unknown' }> {
  let scope: Scope = { kind: 'scope', users: true, authorities: true };
  for (const extension of list.crlExtensions?.extensions ?? []) {
    if (extension.extnID === oid.deltaCrlIndicator) return unknown('a delta revocation list');
    if (extension.extnID === oid.issuingDistributionPoint) {
      const point: unknown = extension.parsedValue;
      if (!(point instanceof pkijs.IssuingDistributionPoint)) return unknown('a revocation list whose scope cannot be decoded');
      if (point.indirectCRL || point.onlyContainsAttributeCerts || point.onlySomeReasons !== undefined) {
        return unknown('a revocation list that is indirect or partial');
      }
      scope = { kind: 'scope', users: !point.onlyContainsCACerts, authorities: !point.onlyContainsUserCerts };
    } else if (extension.critical) {
      return unknown(`a revocation list with the critical extension ${extension.extnID}`);
    }
  }
  return scope;
}

function lookUp(
  revoked: readonly pkijs.RevokedCertificate[],
  scope: Scope,
  certificate: ParsedCertificate,
  until: Date,
): RevocationStatus {
  if (certificate.basicConstraints?.ca === true ? !scope.authorities : !scope.users) {
    return unknown('the revocation list is for another kind of certificate');
  }
  const serial = certificate.pki.serialNumber.valueBlock.valueHexView;
  const entry = revoked.find((candidate) => equal(candidate.userCertificate.valueBlock.valueHexView, serial));
  // An entry counts whatever its reason: also a hold (RFC 5280 §5.3.1) is no good certificate today.
  return entry ? { kind: 'revoked', since: entry.revocationDate.value, until } : { kind: 'good', until };
}
