import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { CertificateError, parseCertificate } from '../trust/certificate.ts';
import { findPath } from '../trust/certification-path.ts';
import { oid } from '../trust/oid.ts';

/**
 * Whether a TLS server is who it should be: its certificate comes from one of the anchors, is in date, is for servers, and names it by alternative names
 * alone, as everywhere here (RFC 9525).
 * @param shown DER, as received, leaf first; the server has proven possession of its key
 * @param name host name or address
 * @returns why not, for people; undefined: it is
 */
export async function whyNotServer(
  shown: readonly Uint8Array[],
  anchors: AnchorStore,
  name: string,
): Promise<string | undefined> {
  const [leaf] = shown;
  if (!leaf) return 'it showed no certificate';
  try {
    const certificates = shown.map((der) => parseCertificate(der));
    const found = await findPath({ certificates, anchors, now: new Date(), purposes: [oid.serverAuth] });
    if (found.kind === 'refused') return `its certificate: ${found.detail}`;
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return `its certificate: ${error.message}`;
  }
  const certificate = new X509Certificate(leaf);
  const fits =
    isIP(name) === 0 ? certificate.checkHost(name, { subject: 'never', partialWildcards: false }) : certificate.checkIP(name);
  return fits === undefined ? `its certificate does not name ${name}` : undefined;
}
