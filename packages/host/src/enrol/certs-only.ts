import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { CertificateError, decoding, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';

/** Certificates in one answer. */
const certificateCount = 32;

const signedData = '1.2.840.113549.1.7.2';

/**
 * Certificates of a CMS SignedData without signers (certs-only, RFC 5272 §4.1), in its order; nothing is believed of them yet.
 * @throws {CertificateError} when it is none, or holds none
 */
export function readCertsOnly(der: Uint8Array): readonly ParsedCertificate[] {
  return decoding('PKCS#7', () => {
    const outer = asn1js.fromBER(der);
    if (outer.offset !== der.length) throw new CertificateError('octets that are no PKCS#7');
    const content = new pkijs.ContentInfo({ schema: outer.result });
    if (content.contentType !== signedData) throw new CertificateError(`content of type ${content.contentType}`);
    const found = new pkijs.SignedData({ schema: content.content }).certificates ?? [];
    if (found.length === 0) throw new CertificateError('PKCS#7 without a certificate');
    if (found.length > certificateCount) throw new CertificateError(`${found.length} certificates`);
    return found.map((one) => {
      if (!(one instanceof pkijs.Certificate)) throw new CertificateError('a certificate of another kind than X.509');
      return parseCertificate(new Uint8Array(one.toSchema().toBER()));
    });
  });
}

/** Octets of base64 with line breaks anywhere, as EST sends everything (RFC 8951 §3.1). @throws {CertificateError} */
export function fromBase64(text: string): Uint8Array {
  const plain = text.replaceAll(/[\r\n\t ]/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(plain)) throw new CertificateError('an answer that is not base64');
  return new Uint8Array(Buffer.from(plain, 'base64'));
}
