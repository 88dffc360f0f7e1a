import { equal, formatAddress, parseAddress, sameAddress } from '@aovpn/bytes';
import { formatGeneralName, type ParsedCertificate } from './certificate.ts';

/**
 * Whether a certificate is for a server name: a DNS name or an IP address as text. Names of the SubjectAltName count; the
 * common name only if there is no dNSName in it (RFC 6125 §6.4.4). A wildcard is the whole left-most label and stands for one.
 */
export function isForServerName(certificate: ParsedCertificate, wanted: string): boolean {
  const address = parseAddress(wanted.replace(/^\[(.*)\]$/, '$1'));
  const dnsNames = certificate.names.flatMap((name) => (name.kind === 'dns' ? [name.text] : []));
  if (address) {
    if (certificate.names.some((name) => name.kind === 'ip' && sameAddress(name.address, address))) return true;
    // Windows administrators often write the address as a dNSName or as the common name; Windows accepts both.
    const text = formatAddress(address);
    return dnsNames.includes(text) || (dnsNames.length === 0 && certificate.commonName === text);
  }
  const patterns = dnsNames.length > 0 ? dnsNames : certificate.commonName === undefined ? [] : [certificate.commonName];
  return patterns.some((pattern) => matchesDnsName(pattern, wanted));
}

/** The names that {@link isForServerName} looks at, for people. */
export function serverNamesOf(certificate: ParsedCertificate): string {
  const names = certificate.names.filter((name) => name.kind === 'dns' || name.kind === 'ip').map(formatGeneralName);
  if (!certificate.names.some((name) => name.kind === 'dns') && certificate.commonName !== undefined)
    names.push(`CN:${certificate.commonName}`);
  return names.join(', ') || 'no name';
}

function matchesDnsName(pattern: string, name: string): boolean {
  const left = normalize(pattern);
  const right = normalize(name);
  if (left === undefined || right === undefined || right.startsWith('*')) return false;
  if (left === right) return true;
  if (!left.startsWith('*.')) return false;
  const parent = left.slice(2);
  const dot = right.indexOf('.');
  return parent.includes('.') && dot > 0 && right.slice(dot + 1) === parent;
}

export type IdentityMatch = 'bound' | 'unbound' | 'contradicts';

/**
 * How an IKE identity (RFC 7296 §3.5) relates to the certificate (RFC 4945 §3.1): `bound` if the certificate says it;
 * `unbound` if it is of a kind that gateways fill with whatever they like (their address, a KEY_ID); otherwise it contradicts.
 */
export function matchIdentity(
  certificate: ParsedCertificate,
  identity: { readonly type: number; readonly data: Uint8Array },
): IdentityMatch {
  const { type, data } = identity;
  const text = String.fromCharCode(...data.subarray(0, 512));
  switch (type) {
    case 1:
    case 5:
      return certificate.names.some((name) => name.kind === 'ip' && equal(name.address.bytes, data)) ? 'bound' : 'unbound';
    case 2:
      return isForServerName(certificate, text) ? 'bound' : 'contradicts';
    case 3:
      return certificate.names.some((name) => name.kind === 'email' && name.text.toLowerCase() === text.toLowerCase())
        ? 'bound'
        : 'contradicts';
    case 9:
      return equal(certificate.subjectDn, data) ? 'bound' : 'contradicts';
    case 11:
      return 'unbound';
    default:
      return 'contradicts';
  }
}

/** Lower case without a final dot; undefined for what is no host name in ASCII. */
function normalize(name: string): string | undefined {
  const text = name.toLowerCase().replace(/\.$/, '');
  return text.length <= 253 && /^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(text) ? text : undefined;
}
