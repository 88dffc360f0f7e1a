import { parseAddress } from '@aovpn/bytes';
import { formatGeneralName, type GeneralName, type NameSubtree, type ParsedCertificate } from './certificate.ts';
import { oid } from './oid.ts';

/**
 * Checks every name of a certificate against the name constraints of one CA above it (RFC 5280 §4.2.1.10): each name of a
 * kind that has permitted subtrees lies in one of them, and no name lies in an excluded one. Undefined when all is well.
 */
export function nameConstraintProblem(
  constraints: NonNullable<ParsedCertificate['nameConstraints']>,
  certificate: ParsedCertificate,
): string | undefined {
  for (const name of constrainedNames(certificate)) {
    const permitted = constraints.permitted.filter((subtree) => constrains(subtree, name));
    if (permitted.length > 0 && !permitted.some((subtree) => liesIn(name, subtree) === true)) {
      return `${formatGeneralName(name)} is outside of what the CA may certify`;
    }
    if (
      constraints.excluded.some(
        (subtree) => constrains(subtree, name) && (liesIn(name, subtree) !== false || standsFor(name, subtree)),
      )
    ) {
      return `${formatGeneralName(name)} is excluded from what the CA may certify`;
    }
  }
  return undefined;
}

/** Names of the SubjectAltName, the subject, and those in the subject that somebody could take for one of them. */
function constrainedNames(certificate: ParsedCertificate): GeneralName[] {
  const names = [...certificate.names];
  const { subject } = certificate.pki;
  if (subject.typesAndValues.length > 0) names.push({ kind: 'dn', der: certificate.subjectDn, name: subject });
  if (!names.some((name) => name.kind === 'email')) {
    for (const part of subject.typesAndValues) {
      const text: unknown = part.value.valueBlock.value;
      if (part.type === oid.emailAddress && typeof text === 'string') names.push({ kind: 'email', text });
    }
  }
  if (
    !names.some((name) => name.kind === 'dns') &&
    certificate.commonName !== undefined &&
    certificate.basicConstraints?.ca !== true
  ) {
    names.push({ kind: 'dns', text: certificate.commonName });
  }
  // An address written as a dNSName is accepted for that address (see name-match.ts), so it is bound like one.
  for (const name of names.slice()) {
    const address = name.kind === 'dns' ? parseAddress(name.text) : undefined;
    if (address) names.push({ kind: 'ip', address });
  }
  return names;
}

function constrains(subtree: NameSubtree, name: GeneralName): boolean {
  return subtree.kind === name.kind;
}

/** Undefined: cannot be decided; the callers take that for the worse answer. */
function liesIn(name: GeneralName, subtree: NameSubtree): boolean | undefined {
  if (name.kind === 'dns' && subtree.kind === 'dns') return dnsLiesIn(name.text, subtree.text);
  if (name.kind === 'email' && subtree.kind === 'email') return emailLiesIn(name.text, subtree.text);
  if (name.kind === 'uri' && subtree.kind === 'uri') return uriLiesIn(name.text, subtree.text);
  if (name.kind === 'dn' && subtree.kind === 'dn') return dnLiesIn(name.name, subtree.name);
  if (name.kind === 'ip' && subtree.kind === 'ip') {
    const { bytes } = name.address;
    const { addressAndMask } = subtree;
    if (addressAndMask.length !== bytes.length * 2) return false;
    return bytes.every((octet, i) => ((octet ^ addressAndMask[i]!) & addressAndMask[bytes.length + i]!) === 0);
  }
  return undefined;
}

function dnsLiesIn(name: string, subtree: string): boolean {
  const left = name.toLowerCase().replace(/\.$/, '').replace(/^\*\./, '');
  const right = subtree.toLowerCase().replace(/\.$/, '').replace(/^\./, '');
  return right === '' || left === right || left.endsWith(`.${right}`);
}

function emailLiesIn(name: string, subtree: string): boolean {
  const left = name.toLowerCase();
  const right = subtree.toLowerCase();
  if (right.includes('@')) return left === right;
  const host = left.slice(left.lastIndexOf('@') + 1);
  return right.startsWith('.') ? host.endsWith(right) : host === right;
}

function uriLiesIn(name: string, subtree: string): boolean | undefined {
  let host: string;
  try {
    host = new URL(name).hostname.toLowerCase();
  } catch {
    return undefined;
  }
  const right = subtree.toLowerCase();
  return right.startsWith('.') ? host.endsWith(right) : host === right;
}

/** Whether a wildcard stands for a name that is itself the top of a subtree: `*.example.com` for `secret.example.com`. */
function standsFor(name: GeneralName, subtree: NameSubtree): boolean {
  if (name.kind !== 'dns' || subtree.kind !== 'dns' || !name.text.startsWith('*.')) return false;
  const top = subtree.text.toLowerCase().replace(/^\./, '');
  return top.slice(top.indexOf('.') + 1) === name.text.slice(2).toLowerCase();
}

type DirectoryName = Extract<NameSubtree, { readonly kind: 'dn' }>['name'];

/** A directory name lies below another if it begins with all its parts (RFC 5280 §7.1). */
function dnLiesIn(name: DirectoryName, subtree: DirectoryName): boolean {
  return subtree.typesAndValues.every((part, i) => name.typesAndValues[i]?.isEqual(part) === true);
}
