import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { CertificateError, parseCertificate } from '../trust/certificate.ts';
import { findPath } from '../trust/certification-path.ts';
import { oid } from '../trust/oid.ts';

/** Why a server is not who it should be; `detail` is for people. */
export interface ServerDoubt {
  readonly reason: 'no-certificate' | 'out-of-date' | 'untrusted' | 'wrong-name';
  readonly detail: string;
}

/**
 * Whether a TLS server is who it should be: its certificate comes from one of the anchors, is in date, is for servers, and names it by alternative names
 * alone, as everywhere here (RFC 9525).
 * @param shown DER, as received, leaf first; the server has proven possession of its key
 * @param name host name or address
 * @returns undefined: it is
 */
export async function doubtOfServer(
  shown: readonly Uint8Array[],
  anchors: AnchorStore,
  name: string,
): Promise<ServerDoubt | undefined> {
  const [leaf] = shown;
  if (!leaf) return { reason: 'no-certificate', detail: 'it showed no certificate' };
  try {
    const certificates = shown.map((der) => parseCertificate(der));
    const found = await findPath({ certificates, anchors, now: new Date(), purposes: [oid.serverAuth] });
    if (found.kind === 'refused') {
      const outOfDate = found.reason === 'expired' || found.reason === 'not-yet-valid';
      return { reason: outOfDate ? 'out-of-date' : 'untrusted', detail: `its certificate: ${found.detail}` };
    }
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return { reason: 'untrusted', detail: `its certificate: ${error.message}` };
  }
  const certificate = new X509Certificate(leaf);
  const fits =
    isIP(name) === 0 ? certificate.checkHost(name, { subject: 'never', partialWildcards: false }) : certificate.checkIP(name);
  return fits === undefined ? { reason: 'wrong-name', detail: `its certificate does not name ${name}` } : undefined;
}

/** The same in words. */
export async function whyNotServer(...question: Parameters<typeof doubtOfServer>): Promise<string | undefined> {
  return (await doubtOfServer(...question))?.detail;
}
