import { createHash } from 'node:crypto';
import type { GatewayRefusal, GatewayVerdict, Identity } from '@aovpn/ike';
import { AnchorStore } from './anchor-store.ts';
import { CertificateError, parseCertificate, type ParsedCertificate } from './certificate.ts';
import { findPath } from './certification-path.ts';
import { collectCertificates, type CertificateFetchLimits, type CertificateReference } from './fetch-certificates.ts';
import type { RevocationFetch } from './fetch-revocation.ts';
import { isForServerName, matchIdentity, serverNamesOf } from './name-match.ts';
import { oid } from './oid.ts';
import { RevocationChecker, type RevocationPolicy } from './revocation.ts';

/** Certificates that a gateway may send. */
const certificateCount = 12;

export interface GatewayVerifierOptions {
  /** DER; empty: the roots of the system. */
  readonly anchors: readonly Uint8Array[];
  readonly revocation: RevocationPolicy;
  /** URLs below which certificates may be fetched that a gateway does not send along (RFC 7296 §3.6); none without it. */
  readonly certificateUrls?: readonly URL[];
  readonly fetchLimits?: CertificateFetchLimits;
  readonly now?: () => Date;
  readonly fetch?: RevocationFetch;
}

export interface GatewayQuestion {
  /** DER, as received: leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** Those that are elsewhere. */
  readonly references?: readonly CertificateReference[];
  /** IDr. */
  readonly identity: Identity;
  /** Host names or addresses, of which the certificate needs one. */
  readonly names: readonly string[];
  /** DER, as they came along (RFC 4806): believed only when an issuer of the path has signed them. */
  readonly ocspResponses?: readonly Uint8Array[];
}

export interface GatewayVerifier {
  verify(question: GatewayQuestion): Promise<GatewayVerdict>;
}

/**
 * Decides whether a gateway's certificate is believed: path to an anchor, purpose, name, identity, revocation, in this order.
 * That the gateway has the key is shown by its AUTH payload, elsewhere.
 * @throws {HostError} 140, 141 when the anchors cannot be used
 */
export function createGatewayVerifier(options: GatewayVerifierOptions): GatewayVerifier {
  const now = options.now ?? ((): Date => new Date());
  const anchors = options.anchors.length > 0 ? AnchorStore.fromDer(options.anchors) : AnchorStore.fromSystem();
  const revocation = new RevocationChecker(now, options.fetch);
  const known = new Map<string, ParsedCertificate>();
  const { certificateUrls = [], fetchLimits } = options;
  return {
    verify: (question) =>
      verify(question, { certificateUrls, fetchLimits, anchors, revocation, policy: options.revocation, now: now(), known }),
  };
}

interface Means {
  readonly anchors: AnchorStore;
  readonly revocation: RevocationChecker;
  readonly policy: RevocationPolicy;
  readonly certificateUrls: readonly URL[];
  readonly fetchLimits: CertificateFetchLimits | undefined;
  readonly now: Date;
  /** Certificates that were read before, by SHA-256 of their octets: a gateway sends the same ones at every handshake. Reading says nothing of trust. */
  readonly known: Map<string, ParsedCertificate>;
}

async function verify(question: GatewayQuestion, means: Means): Promise<GatewayVerdict> {
  const { references = [] } = question;
  const collected = await collectCertificates(question.certificates, references, means.certificateUrls, means.fetchLimits);
  const { certificates, firstMissing } = collected;
  if (firstMissing !== undefined) return refuse('no-certificate', firstMissing, collected.trace);
  if (certificates.length === 0) return refuse('no-certificate', 'the gateway sent no certificate', collected.trace);
  if (certificates.length > certificateCount) {
    return refuse('malformed', `the gateway sent ${certificates.length} certificates`, collected.trace);
  }
  const read = parseAll(certificates, means.known);
  const parsed = { ...read, trace: [...collected.trace, ...read.trace] };
  if (parsed.problem !== undefined) return refuse('malformed', parsed.problem, parsed.trace);
  const found = await findPath({
    certificates: parsed.certificates,
    anchors: means.anchors,
    now: means.now,
    purposes: [oid.serverAuth, oid.ikeIntermediate, oid.ipsecIke],
  });
  const trace = [...parsed.trace, ...found.trace];
  if (found.kind === 'refused') return refuse(found.reason, found.detail, trace);
  const leaf = found.path[0]!;
  const name = question.names.find((wanted) => isForServerName(leaf, wanted));
  if (name === undefined) {
    const wanted = question.names.join(', ') || 'no name at all';
    const detail = `the certificate is for ${serverNamesOf(leaf)}; the profile wants ${wanted}`;
    return refuse('wrong-name', detail, trace);
  }
  trace.push(`the certificate is for ${name}`);
  switch (matchIdentity(leaf, question.identity)) {
    case 'bound':
      trace.push('IDr is a name of the certificate');
      break;
    case 'unbound':
      // Many gateways send their address, which no certificate names. The name that counts has been checked above.
      trace.push('IDr is not a name of the certificate; an address or key identifier is let through');
      break;
    case 'contradicts': {
      const detail = 'IDr is not a name of the certificate (RFC 4945 §3.1)';
      return refuse('wrong-name', detail, trace);
    }
  }
  const checked = await means.revocation.check(found.path, means.policy, question.ocspResponses);
  trace.push(...checked.trace);
  if (checked.kind === 'refused') return refuse(checked.reason, checked.detail, trace);
  return { accepted: true, spki: leaf.spki, subject: leaf.subject, trace };
}

interface ParsedAll {
  readonly certificates: readonly ParsedCertificate[];
  readonly trace: string[];
  readonly problem: string | undefined;
}

/** The leaf must be readable; another certificate that is not may be one that is not needed. */
function parseAll(certificates: readonly Uint8Array[], known: Map<string, ParsedCertificate>): ParsedAll {
  const parsed: ParsedCertificate[] = [];
  const trace: string[] = [];
  for (const [i, der] of certificates.entries()) {
    try {
      parsed.push(parseOnce(der, known));
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      if (i === 0) return { certificates: [], trace: [error.message], problem: error.message };
      trace.push(`certificate ${i + 1} is left out: ${error.message}`);
    }
  }
  return { certificates: parsed, trace, problem: undefined };
}

function parseOnce(der: Uint8Array, known: Map<string, ParsedCertificate>): ParsedCertificate {
  const key = createHash('sha256').update(der).digest('base64');
  const parsed = known.get(key) ?? parseCertificate(der);
  // The newest stay: a gateway that always shows others gains nothing but the work of reading them.
  known.delete(key);
  known.set(key, parsed);
  for (const oldest of known.keys()) {
    if (known.size <= certificateCount) break;
    known.delete(oldest);
  }
  return parsed;
}

function refuse(reason: GatewayRefusal, detail: string, trace: readonly string[]): GatewayVerdict {
  return { accepted: false, reason, detail, trace: trace.at(-1) === detail ? trace : [...trace, detail] };
}
