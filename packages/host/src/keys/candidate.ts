import { createHash } from 'node:crypto';
import { equal } from '@aovpn/bytes';
import type { RelativeDistinguishedNames } from 'pkijs';
import * as asn1js from 'asn1js';
import type { CertificateCandidate } from '@aovpn/policy';
import type { AnchorStore } from '../trust/anchor-store.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';

/** Certificates above one that are looked for. */
const depthLimit = 8;

/** `known`: certificates among which issuers may be; `anchors`: others. */
export function describeCandidate(
  certificate: ParsedCertificate,
  place: Pick<CertificateCandidate, 'source' | 'onToken' | 'hasKey'>,
  known: readonly ParsedCertificate[],
  anchors: AnchorStore,
): CertificateCandidate {
  const issuers = issuersOf(certificate, known, anchors);
  const text = (kind: 'dns' | 'email' | 'upn'): string[] =>
    certificate.names.flatMap((name) => (name.kind === kind ? [name.text] : []));
  const { commonName } = certificate;
  return {
    ...place,
    id: createHash('sha256').update(certificate.der).digest('hex'),
    subject: formatName(certificate.pki.subject),
    issuer: formatName(certificate.pki.issuer),
    ...(commonName !== undefined && { commonName }),
    userPrincipalNames: text('upn'),
    emailAddresses: text('email'),
    dnsNames: text('dns'),
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
    extendedKeyUsage: certificate.extendedKeyUsage,
    digitalSignature: certificate.keyUsage?.digitalSignature,
    issuerHashes: issuers.map(({ issuer }) => createHash('sha1').update(issuer.der).digest('hex')),
    issuerSubjects: issuers.map(({ issuer }) => formatName(issuer.pki.subject)),
    issuerValidity: issuers.map(({ issuer, notAfter }) => ({ notAfter, isRoot: issuer.x509.checkIssued(issuer.x509) })),
  };
}

interface Above {
  readonly issuer: ParsedCertificate;
  /** Of the one that is valid for longest, where several have signed as the same. */
  readonly notAfter: number;
}

/** The way up, nearest first, as far as it is known here. Trust is no question of it; that names and signatures fit is. */
function issuersOf(leaf: ParsedCertificate, known: readonly ParsedCertificate[], anchors: AnchorStore): readonly Above[] {
  const path = [leaf];
  const above: Above[] = [];
  while (path.length <= depthLimit) {
    const last = path.at(-1)!;
    const isNew = (other: ParsedCertificate): boolean => !path.some(({ x509 }) => equal(x509.raw, other.x509.raw));
    const candidates = [...known.filter(({ x509 }) => x509.subject === last.x509.issuer), ...anchors.issuersOf(last)];
    const fitting = candidates.filter(
      (other) => isNew(other) && last.x509.checkIssued(other.x509) && last.x509.verify(other.key),
    );
    const [issuer] = fitting;
    if (!issuer) break;
    path.push(issuer);
    above.push({ issuer, notAfter: Math.max(...fitting.map((other) => other.notAfter.getTime())) });
  }
  return above;
}

/** RFC 4514 §3, and what everybody writes for e-mail addresses. */
const attributeNames: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

/** RFC 4514: most specific part first. */
function formatName(name: RelativeDistinguishedNames): string {
  const parts = name.typesAndValues.map(({ type, value }) => {
    const known = attributeNames[type];
    const text: unknown = value.valueBlock.value;
    if (known === undefined || typeof text !== 'string' || value instanceof asn1js.OctetString) {
      return `${known ?? type}=#${Buffer.from(value.toBER()).toString('hex')}`;
    }
    return `${known}=${escapeValue(text)}`;
  });
  return parts.toReversed().join(',');
}

/** RFC 4514 §2.4. */
function escapeValue(text: string): string {
  return text
    .replaceAll(/[\\"+,;<>]/g, String.raw`\$&`)
    .replaceAll('\0', String.raw`\00`)
    .replace(/^[ #]/, String.raw`\$&`)
    .replace(/ $/, String.raw`\ `);
}
