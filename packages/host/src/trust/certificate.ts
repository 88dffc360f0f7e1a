import { X509Certificate, type KeyObject } from 'node:crypto';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { addressFromBytes, formatAddress, type IpAddress } from '@aovpn/bytes';
import { oid } from './oid.ts';

/** Largest certificate that is read, octets. Real ones stay below 4 KiB. */
const certificateLimit = 0x10000;

export type GeneralName =
  | { readonly kind: 'dns' | 'email' | 'uri' | 'upn'; readonly text: string }
  | { readonly kind: 'ip'; readonly address: IpAddress }
  | { readonly kind: 'dn'; readonly der: Uint8Array; readonly name: pkijs.RelativeDistinguishedNames }
  | { readonly kind: 'other' };

/** A name or range of names in a name constraint (RFC 5280 §4.2.1.10). `ip` holds address and mask. */
export type NameSubtree =
  | { readonly kind: 'dns' | 'email' | 'uri' | 'upn'; readonly text: string }
  | { readonly kind: 'ip'; readonly addressAndMask: Uint8Array }
  | { readonly kind: 'dn'; readonly name: pkijs.RelativeDistinguishedNames }
  | { readonly kind: 'other' };

/** An X.509 certificate as far as path validation and people need it. */
export interface ParsedCertificate {
  readonly der: Uint8Array;
  readonly x509: X509Certificate;
  readonly pki: pkijs.Certificate;
  readonly key: KeyObject;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** One line, most specific part last, such as `C=DE, O=Example, CN=gw`. */
  readonly subject: string;
  readonly subjectDn: Uint8Array;
  readonly issuer: string;
  readonly commonName: string | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly names: readonly GeneralName[];
  /** Undefined: no such extension. */
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  readonly keyUsage: KeyUsage | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly nameConstraints: { readonly permitted: readonly NameSubtree[]; readonly excluded: readonly NameSubtree[] } | undefined;
  readonly crlUrls: readonly string[];
  readonly ocspUrls: readonly string[];
  readonly criticalExtensions: readonly string[];
}

export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly contentCommitment: boolean;
  readonly keyEncipherment: boolean;
  readonly certSign: boolean;
  readonly crlSign: boolean;
}

/** A certificate that cannot be read, or that contradicts itself. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/**
 * Somebody else's octets: what the libraries throw over them, wherever they do, is a fault of those. `what` cannot be decoded then.
 * @throws {CertificateError}
 */
export function decoding<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CertificateError) throw error;
    throw new CertificateError(`${what} that cannot be decoded`, { cause: error });
  }
}

/**
 * Reads one DER certificate; both OpenSSL and pkijs must accept it, and nothing may follow it.
 * @throws {CertificateError}
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  if (der.length > certificateLimit) throw new CertificateError(`a certificate of ${der.length} octets`);
  try {
    const outer = asn1js.fromBER(der);
    if (outer.offset !== der.length) throw new CertificateError('octets that are no DER certificate');
    const x509 = new X509Certificate(der);
    const pki = new pkijs.Certificate({ schema: outer.result });
    return describe(der.slice(), x509, pki);
  } catch (error) {
    if (error instanceof CertificateError) throw error;
    throw new CertificateError(
      `a certificate that cannot be decoded: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

export function isSelfIssued(certificate: ParsedCertificate): boolean {
  return certificate.pki.subject.isEqual(certificate.pki.issuer);
}

export function formatGeneralName(name: GeneralName): string {
  switch (name.kind) {
    case 'ip':
      return `IP:${formatAddress(name.address)}`;
    case 'dn':
      return 'a directory name';
    case 'other':
      return 'another name';
    case 'dns':
    case 'email':
    case 'uri':
    case 'upn':
      return `${name.kind.toUpperCase()}:${name.text}`;
  }
}

function describe(der: Uint8Array, x509: X509Certificate, pki: pkijs.Certificate): ParsedCertificate {
  const extensions = new Map<string, pkijs.Extension>();
  for (const extension of pki.extensions ?? []) {
    // RFC 5280 §4.2: at most one of each.
    if (extensions.has(extension.extnID)) throw new CertificateError(`extension ${extension.extnID} twice`);
    extensions.set(extension.extnID, extension);
  }
  const find = <T>(id: string, type: new (...parameters: never[]) => T): T | undefined => {
    const extension = extensions.get(id);
    if (!extension) return undefined;
    if (!(extension.parsedValue instanceof type)) throw new CertificateError(`extension ${id} cannot be decoded`);
    return extension.parsedValue;
  };

  const basic = find(oid.basicConstraints, pkijs.BasicConstraints);
  const usage = find(oid.keyUsage, asn1js.BitString);
  const constraints = find(oid.nameConstraints, pkijs.NameConstraints);
  const points = find(oid.crlDistributionPoints, pkijs.CRLDistributionPoints);
  const access = find(oid.authorityInfoAccess, pkijs.InfoAccess);
  const alternative = find(oid.subjectAltName, pkijs.AltName);
  return {
    der,
    x509,
    pki,
    key: x509.publicKey,
    spki: new Uint8Array(x509.publicKey.export({ type: 'spki', format: 'der' })),
    subject: oneLine(x509.subject),
    subjectDn: new Uint8Array(pki.subject.valueBeforeDecode),
    issuer: oneLine(x509.issuer),
    commonName: commonNameOf(pki.subject),
    notBefore: x509.validFromDate,
    notAfter: x509.validToDate,
    names: (alternative?.altNames ?? []).map(readName),
    basicConstraints: basic && { ca: basic.cA, pathLength: pathLength(basic) },
    keyUsage: usage && readKeyUsage(usage),
    extendedKeyUsage: find(oid.extendedKeyUsage, pkijs.ExtKeyUsage)?.keyPurposes,
    nameConstraints: constraints && {
      permitted: (constraints.permittedSubtrees ?? []).map(readSubtree),
      excluded: (constraints.excludedSubtrees ?? []).map(readSubtree),
    },
    crlUrls: (points?.distributionPoints ?? []).flatMap(distributionUrls),
    ocspUrls: (access?.accessDescriptions ?? [])
      .filter((description) => description.accessMethod === oid.ocspAccess && description.accessLocation.type === 6)
      .map((description) => String(description.accessLocation.value)),
    criticalExtensions: [...extensions.values()].filter((extension) => extension.critical).map((extension) => extension.extnID),
  };
}

function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}

function commonNameOf(name: pkijs.RelativeDistinguishedNames): string | undefined {
  const value: unknown = name.typesAndValues.findLast((part) => part.type === oid.commonName)?.value.valueBlock.value;
  return typeof value === 'string' ? value : undefined;
}

function pathLength(basic: pkijs.BasicConstraints): number | undefined {
  const value = basic.pathLenConstraint;
  if (value === undefined) return undefined;
  // An integer too large for a number limits nothing that could be built.
  const number =
    typeof value === 'number' ? value : value.valueBlock.isHexOnly ? Number.MAX_SAFE_INTEGER : value.valueBlock.valueDec;
  if (number < 0) throw new CertificateError('a negative path length');
  return number;
}

function readKeyUsage(bits: asn1js.BitString): KeyUsage {
  const first = bits.valueBlock.valueHexView[0] ?? 0;
  return {
    digitalSignature: (first & 0x80) !== 0,
    contentCommitment: (first & 0x40) !== 0,
    keyEncipherment: (first & 0x20) !== 0,
    certSign: (first & 0x04) !== 0,
    crlSign: (first & 0x02) !== 0,
  };
}

function readName(name: pkijs.GeneralName): GeneralName {
  const value: unknown = name.value;
  switch (name.type) {
    case 0:
      return readOtherName(value);
    case 1:
      return { kind: 'email', text: nameText(value) };
    case 2:
      return { kind: 'dns', text: nameText(value) };
    case 4:
      return { kind: 'dn', der: dnOf(value), name: value as pkijs.RelativeDistinguishedNames };
    case 6:
      return { kind: 'uri', text: nameText(value) };
    case 7: {
      const octets = octetsOf(value);
      if (octets.length !== 4 && octets.length !== 16) throw new CertificateError(`an iPAddress of ${octets.length} octets`);
      return { kind: 'ip', address: addressFromBytes(octets) };
    }
    default:
      return { kind: 'other' };
  }
}

function readSubtree(subtree: pkijs.GeneralSubtree): NameSubtree {
  const { base } = subtree;
  if (base.type === 7) {
    const octets = octetsOf(base.value);
    if (octets.length !== 8 && octets.length !== 32) throw new CertificateError(`an IP range of ${octets.length} octets`);
    return { kind: 'ip', addressAndMask: octets };
  }
  const name = readName(base);
  if (name.kind === 'dn') return { kind: 'dn', name: name.name };
  return name.kind === 'ip' ? { kind: 'other' } : name;
}

/** SEQUENCE { type-id, [0] EXPLICIT value }, with the sequence's own tag replaced (RFC 5280 §4.2.1.6). */
function readOtherName(value: unknown): GeneralName {
  if (!(value instanceof asn1js.Constructed)) return { kind: 'other' };
  const [type, wrapped] = value.valueBlock.value;
  if (!(type instanceof asn1js.ObjectIdentifier) || type.getValue() !== oid.upn) return { kind: 'other' };
  const inner = wrapped instanceof asn1js.Constructed ? wrapped.valueBlock.value[0] : undefined;
  return inner instanceof asn1js.Utf8String ? { kind: 'upn', text: nameText(inner.getValue()) } : { kind: 'other' };
}

/** Names are compared as text, so what is no text (a NUL, a control character) is no name. */
function nameText(value: unknown): string {
  if (typeof value !== 'string' || /\p{Cc}/u.test(value)) throw new CertificateError('a name with control characters');
  return value;
}

function octetsOf(value: unknown): Uint8Array {
  if (!(value instanceof asn1js.OctetString)) throw new CertificateError('an iPAddress that is no octet string');
  return value.valueBlock.valueHexView.slice();
}

function dnOf(value: unknown): Uint8Array {
  if (!(value instanceof pkijs.RelativeDistinguishedNames)) throw new CertificateError('a directoryName that is none');
  return new Uint8Array(value.valueBeforeDecode);
}

function distributionUrls(point: pkijs.DistributionPoint): string[] {
  // A list for part of the reasons, or by another issuer, says too little (RFC 5280 §6.3.3).
  if (point.reasons !== undefined || point.cRLIssuer !== undefined || !Array.isArray(point.distributionPoint)) return [];
  return point.distributionPoint.filter((name) => name.type === 6).map((name) => String(name.value));
}
