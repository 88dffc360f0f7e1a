import type { KeyObject } from 'node:crypto';
import { AnchorStore } from '../trust/anchor-store.ts';
import { isSelfIssued, type ParsedCertificate } from '../trust/certificate.ts';
import { findPath } from '../trust/certification-path.ts';
import { EnrolError } from './enrol-error.ts';

/** What the clocks of an authority and of this machine may differ by, milliseconds. */
const clockTolerance = 300_000;

/** An authority's certificates. */
export interface Authorities {
  /** Those that are believed. */
  readonly anchors: readonly ParsedCertificate[];
  /** Others that may stand between them and what it issues. */
  readonly others: readonly ParsedCertificate[];
}

/** Of all that an authority names over a connection that is believed: the roots are, or all where there is none (RFC 7030 §4.1.3). */
export function authoritiesOf(all: readonly ParsedCertificate[]): Authorities {
  const roots = all.filter(isSelfIssued);
  return roots.length > 0 ? { anchors: roots, others: all.filter((one) => !roots.includes(one)) } : { anchors: all, others: [] };
}

export interface Offer {
  /** As received, in any order. */
  readonly certificates: readonly ParsedCertificate[];
  readonly authorities: Authorities;
  readonly key: KeyObject;
  /** What it is to replace; a certificate that ends earlier is of no use. */
  readonly current?: ParsedCertificate;
}

/**
 * The certificate that was issued for our key, and its chain without the root, when it can take the place of the one in use: it must not be worse than that.
 * @throws {EnrolError} unusable
 */
export async function acceptCertificate({
  certificates,
  authorities,
  key,
  current,
}: Offer): Promise<readonly ParsedCertificate[]> {
  const leaf = certificates.find(({ x509 }) => x509.checkPrivateKey(key));
  if (!leaf) throw new EnrolError('unusable', 'no certificate in the answer is for our key');
  if (leaf.basicConstraints?.ca === true) throw new EnrolError('unusable', "the certificate is an authority's");
  const now = Date.now();
  if (leaf.notAfter.getTime() <= now) throw new EnrolError('unusable', 'the certificate has expired already');
  if (leaf.notBefore.getTime() > now + clockTolerance)
    throw new EnrolError('unusable', `the certificate is not valid before ${leaf.notBefore.toISOString()}`);
  if (current && leaf.notAfter <= current.notAfter)
    throw new EnrolError('unusable', `the new certificate ends at ${leaf.notAfter.toISOString()}, no later than the one in use`);
  const anchors = AnchorStore.fromDer(authorities.anchors.map(({ der }) => der));
  const above = [...certificates, ...authorities.others].filter((other) => other !== leaf);
  // A certificate that begins in a moment by our clock is looked at then.
  const at = new Date(Math.max(now, leaf.notBefore.getTime()));
  const found = await findPath({ certificates: [leaf, ...above], anchors, now: at, purposes: 'any' });
  if (found.kind === 'refused') throw new EnrolError('unusable', found.detail);
  return found.path.filter((one) => one === leaf || !isSelfIssued(one));
}
