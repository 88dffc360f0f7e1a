import { createHash } from 'node:crypto';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { equal } from '@aovpn/bytes';
import { CertificateError, parseCertificate, type ParsedCertificate } from './certificate.ts';
import { oid } from './oid.ts';
import { clockSkew, unknown, type RevocationStatus } from './revocation-status.ts';
import { isSignedBy, strongAlgorithm, weaknessOf } from './signature-algorithm.ts';

const sha1 = '1.3.14.3.2.26';
const hashes: Readonly<Record<string, string>> = { [sha1]: 'sha1', '2.16.840.1.101.3.4.2.1': 'sha256' };
/** How long an answer without nextUpdate ("newer information is always available") is used, milliseconds. */
const unlimitedUse = 60 * 60_000;

/** An OCSP request for one certificate (RFC 6960 §4.1), with SHA-1 in its CertID as RFC 5019 wants; no secret hangs on that. */
export function writeOcspRequest(certificate: ParsedCertificate, issuer: ParsedCertificate): Uint8Array {
  const id = new pkijs.CertID({
    hashAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: sha1, algorithmParams: new asn1js.Null() }),
    issuerNameHash: new asn1js.OctetString({ valueHex: toBuffer(nameHash(issuer, 'sha1')) }),
    issuerKeyHash: new asn1js.OctetString({ valueHex: toBuffer(keyHash(issuer, 'sha1')) }),
    serialNumber: certificate.pki.serialNumber,
  });
  const sequence = (...value: asn1js.BaseBlock[]): asn1js.Sequence => new asn1js.Sequence({ value });
  return new Uint8Array(sequence(sequence(sequence(sequence(id.toSchema())))).toBER());
}

/** Reads and checks a response (RFC 6960 §3.2): signer, certificate, time. */
export function checkOcspResponse(
  der: Uint8Array,
  certificate: ParsedCertificate,
  issuer: ParsedCertificate,
  now: Date,
): RevocationStatus {
  try {
    const { offset, result } = asn1js.fromBER(der);
    if (offset !== der.length) return unknown('not a DER OCSP response');
    const response = new pkijs.OCSPResponse({ schema: result });
    const status = response.responseStatus.valueBlock.valueDec;
    if (status !== 0 || !response.responseBytes) return unknown(`the OCSP responder answers with status ${status}`);
    if (response.responseBytes.responseType !== oid.ocspBasic) return unknown('an OCSP response that is not basic');
    const basic = pkijs.BasicOCSPResponse.fromBER(response.responseBytes.response.valueBlock.valueHexView);
    return checkBasic(basic, certificate, issuer, now);
  } catch (error) {
    return unknown(`an OCSP response that cannot be decoded (${error instanceof Error ? error.message : String(error)})`);
  }
}

function checkBasic(
  basic: pkijs.BasicOCSPResponse,
  certificate: ParsedCertificate,
  issuer: ParsedCertificate,
  now: Date,
): RevocationStatus {
  const { tbsResponseData: data } = basic;
  const signature = basic.signature.valueBlock.valueHexView;
  const signers = [issuer, ...responders(basic, issuer, now)];
  if (!signers.some((signer) => isSignedBy(signer.key, basic.signatureAlgorithm, data.tbsView, signature))) {
    return unknown('an OCSP response that neither the issuer nor a responder of its choice has signed');
  }
  if ((data.responseExtensions ?? []).some((extension) => extension.critical))
    return unknown('an OCSP response with a critical extension');
  const single = data.responses.find((candidate) => isFor(candidate.certID, certificate, issuer));
  if (!single) return unknown('an OCSP response about another certificate');
  if ((single.singleExtensions ?? []).some((extension) => extension.critical))
    return unknown('an OCSP response with a critical extension');
  const { thisUpdate, nextUpdate } = single;
  if (thisUpdate.getTime() > now.getTime() + clockSkew) return unknown('an OCSP response from the future');
  const until = nextUpdate ?? new Date(thisUpdate.getTime() + unlimitedUse);
  if (!(until >= now)) return unknown(`an OCSP response that was valid until ${until.toISOString()}`);
  const verdict: unknown = single.certStatus;
  if (!(verdict instanceof asn1js.BaseBlock) || verdict.idBlock.tagClass !== 3)
    return unknown('an OCSP response without a status');
  switch (verdict.idBlock.tagNumber) {
    case 0:
      return { kind: 'good', until };
    case 1:
      return { kind: 'revoked', since: undefined, until };
    default:
      return unknown('the OCSP responder does not know the certificate');
  }
}

/** Certificates in the response that the issuer itself has made for signing OCSP responses (RFC 6960 §4.2.2.2). */
function responders(basic: pkijs.BasicOCSPResponse, issuer: ParsedCertificate, now: Date): ParsedCertificate[] {
  const found: ParsedCertificate[] = [];
  for (const candidate of (basic.certs ?? []).slice(0, 4)) {
    let responder: ParsedCertificate;
    try {
      responder = parseCertificate(new Uint8Array(candidate.toSchema().toBER()));
    } catch (error) {
      if (error instanceof CertificateError) continue;
      throw error;
    }
    const isGood =
      responder.extendedKeyUsage?.includes(oid.ocspSigning) === true &&
      (!responder.keyUsage || responder.keyUsage.digitalSignature || responder.keyUsage.contentCommitment) &&
      responder.notBefore <= now &&
      responder.notAfter >= now &&
      weaknessOf(responder.key) === undefined &&
      strongAlgorithm(responder.pki.signatureAlgorithm) !== undefined &&
      responder.x509.checkIssued(issuer.x509) &&
      responder.x509.verify(issuer.key);
    if (isGood) found.push(responder);
  }
  return found;
}

function isFor(id: pkijs.CertID, certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  const hash = hashes[id.hashAlgorithm.algorithmId];
  return (
    hash !== undefined &&
    equal(id.serialNumber.valueBlock.valueHexView, certificate.pki.serialNumber.valueBlock.valueHexView) &&
    equal(id.issuerNameHash.valueBlock.valueHexView, nameHash(issuer, hash)) &&
    equal(id.issuerKeyHash.valueBlock.valueHexView, keyHash(issuer, hash))
  );
}

function nameHash(issuer: ParsedCertificate, hash: string): Uint8Array {
  return createHash(hash).update(issuer.subjectDn).digest();
}

/** Of the public key's octets without the SubjectPublicKeyInfo around them. */
function keyHash(issuer: ParsedCertificate, hash: string): Uint8Array {
  return createHash(hash).update(issuer.pki.subjectPublicKeyInfo.subjectPublicKey.valueBlock.valueHexView).digest();
}

function toBuffer(octets: Uint8Array): ArrayBuffer {
  const buffer = new ArrayBuffer(octets.length);
  new Uint8Array(buffer).set(octets);
  return buffer;
}
