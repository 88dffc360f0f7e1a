import type { ParsedCertificate } from '../trust/certificate.ts';
import { oid } from '../trust/oid.ts';
import type { CertificateRequest } from './certificate-request.ts';

/** The names of a certificate as they stand in it: a renewal asks for the same ones, octet by octet (RFC 7030 §4.2.2). */
export function namesOf({ pki, subjectDn }: ParsedCertificate): Pick<CertificateRequest, 'subjectDn' | 'alternativeNames'> {
  const alternative = (pki.extensions ?? []).find(({ extnID }) => extnID === oid.subjectAltName);
  return {
    subjectDn,
    ...(alternative && { alternativeNames: alternative.extnValue.valueBlock.valueHexView.slice() }),
  };
}
