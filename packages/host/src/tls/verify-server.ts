import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { TlsFailure, TlsServerTrust } from '@aovpn/eap';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { CertificateError, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { findPath } from '../trust/certification-path.ts';
import { serverNamesOf } from '../trust/name-match.ts';
import { oid } from '../trust/oid.ts';
import { matchesServerNames } from './server-name-pattern.ts';

const certificateCount = 12;

/**
 * Decides whether the EAP server behind a TLS connection is believed: path to one of the roots, serverAuth, name. Undefined: it
 * is. There is no revocation check: before the tunnel is up there may be no way to the lists (RFC 5216 §5.4).
 */
export async function verifyServer(
  socket: TLSSocket,
  trust: TlsServerTrust,
  roots: AnchorStore,
  now: Date,
): Promise<TlsFailure | undefined> {
  if (!trust.validate) return undefined;
  let certificates: ParsedCertificate[];
  try {
    certificates = receivedCertificates(socket).map(parseCertificate);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return { reason: 'untrusted', detail: error.message };
  }
  const anchors = trust.trustedRoots.length > 0 ? roots.withThumbprints(trust.trustedRoots) : roots;
  if (anchors.size === 0) {
    const detail = `none of the roots that the profile names (SHA-1 ${trust.trustedRoots.join(', ')}) is in the trust store`;
    return { reason: 'untrusted', detail };
  }
  const found = await findPath({ certificates, anchors, now, purposes: [oid.serverAuth] });
  if (found.kind === 'refused') {
    const hasExpired = found.reason === 'expired' || found.reason === 'not-yet-valid';
    return { reason: hasExpired ? 'expired' : 'untrusted', detail: `the RADIUS server's certificate: ${found.detail}` };
  }
  const leaf = found.path[0]!;
  if (trust.serverNames.length > 0 && !matchesServerNames(leaf, trust.serverNames)) {
    const detail = `the RADIUS server's certificate is for ${serverNamesOf(leaf)}; the profile wants ${trust.serverNames.join(', ')}`;
    return { reason: 'wrong-name', detail };
  }
  return undefined;
}

/**
 * What the server sent, DER, leaf first; empty before it has. Not `getPeerX509Certificate`: on a client that takes the
 * certificate away from the connection, so that a second call answers with the next one.
 */
export function receivedCertificates(socket: TLSSocket): Uint8Array[] {
  const found: Uint8Array[] = [];
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  // Node strings them together by issuer, and closes a self-signed one in a circle.
  while (next?.raw && found.length < certificateCount) {
    const der = new Uint8Array(next.raw);
    if (found.some((other) => Buffer.compare(other, der) === 0)) break;
    found.push(der);
    next = next.issuerCertificate;
  }
  return found;
}
