import * as asn1js from 'asn1js';
import type { ParsedCertificate } from '../trust/certificate.ts';

/** IssuerAndSerialNumber (RFC 5652 §10.2.4) of a certificate. */
export function issuerAndSerial({ pki }: ParsedCertificate): asn1js.Sequence {
  const issuer = asn1js.fromBER(pki.issuer.valueBeforeDecode).result;
  return new asn1js.Sequence({ value: [issuer, pki.serialNumber] });
}
