import { equal } from '@aovpn/bytes';
import { CertificateChainValidationEngine } from 'pkijs';
import type { GatewayRefusal } from '@aovpn/ike';
import type { AnchorStore } from './anchor-store.ts';
import { isSelfIssued, type ParsedCertificate } from './certificate.ts';
import { nameConstraintProblem } from './name-constraint.ts';
import { oid } from './oid.ts';
import { strongAlgorithm, weaknessOf } from './signature-algorithm.ts';

/** Certificates in a path, with leaf and anchor. */
const depthLimit = 8;
/** Signatures that may be checked while looking for a path: a bound on what a hostile set of certificates can cost. */
const signatureLimit = 64;
/** Paths from one leaf that are remembered. */
const agreedLimit = 4;

type Purposes = readonly string[] | 'any';

/**
 * Issuers by the certificates that they have been seen to have signed. Both stay read where they come again (a gateway shows the same ones at every
 * handshake), and a signature that was good stays good; time, revocation, names and the like are judged anew each time.
 */
const signedBy = new WeakMap<ParsedCertificate, WeakSet<ParsedCertificate>>();

/** Paths that pkijs has found in order, by their leaf; it looks at nothing but their certificates and the time, and the time is looked at here as well. */
const agreed = new WeakMap<ParsedCertificate, (readonly ParsedCertificate[])[]>();

export interface PathRequest {
  /** As received, leaf first; the others in any order, needed or not. */
  readonly certificates: readonly ParsedCertificate[];
  readonly anchors: AnchorStore;
  readonly now: Date;
  /** EKUs of which the leaf needs one; the CAs, if they have any EKU, too. `any`: what it is for is asked elsewhere. */
  readonly purposes: Purposes;
}

export type PathResult =
  | {
      readonly kind: 'path';
      /** Leaf first, anchor last. */ readonly path: readonly ParsedCertificate[];
      readonly trace: readonly string[];
    }
  | {
      readonly kind: 'refused';
      readonly reason: GatewayRefusal;
      /** It is the path's anchor that this speaks against. */
      readonly ofAnchor?: true;
      readonly detail: string;
      readonly trace: readonly string[];
    };

interface Problem {
  readonly reason: GatewayRefusal;
  readonly ofAnchor?: true;
  readonly detail: string;
}

/**
 * Finds a path from the leaf to an anchor and validates it (RFC 5280 §6.1): signatures, validity, CA flags, key usage, path
 * length, name constraints, extended key usage, strength of keys and signatures, critical extensions. pkijs validates the same
 * path once more, with certificate policies; both must agree.
 */
export async function findPath(request: PathRequest): Promise<PathResult> {
  const leaf = request.certificates[0];
  if (!leaf) return { kind: 'refused', reason: 'no-certificate', detail: 'no certificate', trace: [] };
  const trace = [`leaf: ${leaf.subject || 'no subject'}, issued by ${leaf.issuer}`];
  let first: Problem | undefined;
  for (const path of candidatePaths(request)) {
    const names = path.map((certificate) => certificate.subject || 'no subject').join(' ← ');
    const problem = problemOf(path, request) ?? (await secondOpinion(path, request.now));
    if (!problem) return { kind: 'path', path, trace: [...trace, `path: ${names}`] };
    trace.push(`path refused: ${names}: ${problem.detail}`);
    first ??= problem;
  }
  const problem = first ?? {
    reason: 'untrusted' as const,
    detail: `no path from "${leaf.subject}" to a trusted root; its issuer is "${leaf.issuer}"`,
  };
  return { kind: 'refused', ...problem, trace: [...trace, problem.detail] };
}

/** Every path whose names and signatures chain, shortest detours first. */
function* candidatePaths(request: PathRequest): Generator<ParsedCertificate[]> {
  const [leaf, ...others] = request.certificates;
  let signatures = 0;
  const hasSigned = (issuer: ParsedCertificate, certificate: ParsedCertificate): boolean => {
    if (++signatures > signatureLimit) return false;
    if (signedBy.get(certificate)?.has(issuer) === true) return true;
    if (!certificate.x509.checkIssued(issuer.x509)) return false;
    // A weak key is refused before it is used: a crafted one may be costly.
    if (weaknessOf(issuer.key) !== undefined) return true;
    if (!certificate.x509.verify(issuer.key)) return false;
    const issuers = signedBy.get(certificate) ?? new WeakSet();
    signedBy.set(certificate, issuers.add(issuer));
    return true;
  };
  function* extend(path: ParsedCertificate[]): Generator<ParsedCertificate[]> {
    const last = path.at(-1)!;
    if (request.anchors.has(last)) yield path;
    if (path.length >= depthLimit) return;
    for (const anchor of request.anchors.issuersOf(last)) {
      if (!path.some((certificate) => equal(certificate.x509.raw, anchor.x509.raw)) && hasSigned(anchor, last))
        yield [...path, anchor];
    }
    for (const issuer of others) {
      const used = path.some((certificate) => equal(certificate.x509.raw, issuer.x509.raw)) || request.anchors.has(issuer);
      if (!used && issuer.x509.subject === last.x509.issuer && hasSigned(issuer, last)) yield* extend([...path, issuer]);
    }
  }
  if (leaf) yield* extend([leaf]);
}

function problemOf(path: readonly ParsedCertificate[], request: PathRequest): Problem | undefined {
  for (const [i, certificate] of path.entries()) {
    const problem =
      validityProblem(certificate, request.now) ??
      strengthProblem(certificate, i === path.length - 1) ??
      criticalProblem(certificate) ??
      (i === 0 ? leafProblem(certificate, request.purposes) : authorityProblem(path, i, request.purposes)) ??
      constraintProblem(path, i);
    if (problem) return i > 0 && i === path.length - 1 ? { ...problem, ofAnchor: true } : problem;
  }
  return undefined;
}

function validityProblem(certificate: ParsedCertificate, now: Date): Problem | undefined {
  if (!(now >= certificate.notBefore)) {
    return {
      reason: 'not-yet-valid',
      detail: `"${certificate.subject}" is valid only from ${certificate.notBefore.toISOString()}`,
    };
  }
  if (!(now <= certificate.notAfter)) {
    return { reason: 'expired', detail: `"${certificate.subject}" expired at ${certificate.notAfter.toISOString()}` };
  }
  return undefined;
}

function strengthProblem(certificate: ParsedCertificate, isAnchor: boolean): Problem | undefined {
  const weakness = weaknessOf(certificate.key);
  if (weakness !== undefined) return { reason: 'weak', detail: `"${certificate.subject}" has ${weakness}` };
  if (!isAnchor && !strongAlgorithm(certificate.pki.signatureAlgorithm)) {
    return {
      reason: 'weak',
      detail: `"${certificate.subject}" is signed with ${certificate.pki.signatureAlgorithm.algorithmId}, which is weak or unknown`,
    };
  }
  return undefined;
}

const understood = new Set<string>([
  oid.keyUsage,
  oid.subjectAltName,
  oid.basicConstraints,
  oid.nameConstraints,
  oid.crlDistributionPoints,
  oid.certificatePolicies,
  oid.policyMappings,
  oid.policyConstraints,
  oid.extendedKeyUsage,
  oid.inhibitAnyPolicy,
]);

function criticalProblem(certificate: ParsedCertificate): Problem | undefined {
  const unknown = certificate.criticalExtensions.find((extension) => !understood.has(extension));
  if (unknown === undefined) return undefined;
  return {
    reason: 'untrusted',
    detail: `"${certificate.subject}" has the critical extension ${unknown}, which is not understood`,
  };
}

function leafProblem(leaf: ParsedCertificate, purposes: Purposes): Problem | undefined {
  const { extendedKeyUsage, keyUsage } = leaf;
  if (!extendedKeyUsage && purposes !== 'any')
    return { reason: 'wrong-eku', detail: `"${leaf.subject}" names no extended key usage; serverAuth is needed` };
  if (extendedKeyUsage && !allows(extendedKeyUsage, purposes)) {
    return {
      reason: 'wrong-eku',
      detail: `"${leaf.subject}" is not for servers: its extended key usage is ${extendedKeyUsage.join(', ')}`,
    };
  }
  // RFC 4945 §5.1.3.2.
  if (keyUsage && !keyUsage.digitalSignature && !keyUsage.contentCommitment) {
    return { reason: 'wrong-eku', detail: `the key usage of "${leaf.subject}" does not allow signatures` };
  }
  return undefined;
}

function authorityProblem(path: readonly ParsedCertificate[], index: number, purposes: Purposes): Problem | undefined {
  const authority = path[index]!;
  const isAnchor = index === path.length - 1;
  const bad = (detail: string): Problem => ({ reason: 'untrusted', detail: `"${authority.subject}" ${detail}` });
  if (authority.basicConstraints?.ca !== true) return bad('is not a certificate authority');
  if (authority.keyUsage && !authority.keyUsage.certSign) return bad('may not sign certificates');
  const limit = authority.basicConstraints.pathLength;
  const below = path.slice(1, index).filter((certificate) => !isSelfIssued(certificate)).length;
  if (limit !== undefined && below > limit) return bad(`may have ${limit} authorities below it, and has ${below}`);
  if (!isAnchor && authority.extendedKeyUsage && !allows(authority.extendedKeyUsage, purposes)) {
    return { reason: 'wrong-eku', detail: `"${authority.subject}" may not issue certificates for servers` };
  }
  return undefined;
}

function constraintProblem(path: readonly ParsedCertificate[], index: number): Problem | undefined {
  const certificate = path[index]!;
  if (index > 0 && isSelfIssued(certificate)) return undefined;
  for (const authority of path.slice(index + 1)) {
    const problem = authority.nameConstraints && nameConstraintProblem(authority.nameConstraints, certificate);
    if (problem !== undefined)
      return { reason: 'untrusted', detail: `"${certificate.subject}": ${problem} ("${authority.subject}")` };
  }
  return undefined;
}

function allows(extendedKeyUsage: readonly string[], purposes: Purposes): boolean {
  return purposes === 'any' || extendedKeyUsage.some((usage) => usage === oid.anyExtendedKeyUsage || purposes.includes(usage));
}

/** pkijs' validation of exactly this path. It gets the issuers from us, so it can neither search nor loop. */
async function secondOpinion(path: readonly ParsedCertificate[], now: Date): Promise<Problem | undefined> {
  const [leaf] = path;
  if (!leaf || path.length < 2) return undefined;
  const known = agreed.get(leaf) ?? [];
  if (known.some((other) => other.length === path.length && other.every((certificate, i) => certificate === path[i])))
    return undefined;
  const certificates = path.map((certificate) => certificate.pki);
  const engine = new CertificateChainValidationEngine({
    trustedCerts: certificates.slice(-1),
    // The engine takes the last one for the leaf.
    certs: certificates.slice(0, -1).toReversed(),
    checkDate: now,
    findIssuer: (certificate) => {
      const issuer = certificates[certificates.indexOf(certificate) + 1];
      return Promise.resolve(issuer ? [issuer] : []);
    },
  });
  const verdict = await engine.verify();
  if (!verdict.result) return { reason: 'untrusted', detail: `certification path: ${verdict.resultMessage}` };
  agreed.set(leaf, [path, ...known].slice(0, agreedLimit));
  return undefined;
}
