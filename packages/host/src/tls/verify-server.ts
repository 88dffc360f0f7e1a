import { createHash } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { equal } from '@aovpn/bytes';
import { matchServerNames, type TlsChannel, type TlsFailure, type TlsServerTrust } from '@aovpn/eap';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { CertificateError, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { findPath, type PathResult } from '../trust/certification-path.ts';
import { serverNamesOf } from '../trust/name-match.ts';
import { checkOcspResponse } from '../trust/ocsp.ts';
import { oid } from '../trust/oid.ts';
import type { RevocationStatus } from '../trust/revocation-status.ts';
import type { RevocationChecker, RevocationPolicy } from '../trust/revocation.ts';
import { serverMemory } from './server-memory.ts';

const certificateCount = 12;
/** For all revocation questions of one server together, milliseconds: behind us an authenticator waits. */
const revocationTime = 3000;

/** What a person is asked when the RADIUS server's root or name is not the profile's. */
export interface TrustQuestion {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  /** Of the server's certificate, lower-case hexadecimal. */
  readonly sha256: string;
  readonly sha1: string;
  /** `untrusted` (an unknown root) or `wrong-name`; nothing else is ever asked about. */
  readonly failure: TlsFailure;
}

/** The EAP (RADIUS) server that TLS has ended at; never the gateway. */
export interface VerifiedServer {
  readonly channel: TlsChannel;
  readonly subject: string;
  readonly names: readonly string[];
  /** The anchor that its path ends at; undefined when there is no path, by the profile's or a person's word. */
  readonly rootSubject?: string;
  /** SHA-1, lower-case hexadecimal, as the profile names roots. */
  readonly rootSha1?: string;
  /** false: the profile says PerformServerValidation=false, so nothing of this is proven. */
  readonly validated: boolean;
  /** A person has said yes to it. */
  readonly asked: boolean;
  readonly resumed: boolean;
}

export interface ServerQuestion {
  /** DER, leaf first, as received. */
  readonly certificates: readonly Uint8Array[];
  /** The OCSP response that the server stapled, if any. */
  readonly stapled: Uint8Array | undefined;
  readonly trust: TlsServerTrust;
}

export interface ServerJudge {
  readonly roots: AnchorStore;
  readonly now: () => Date;
  readonly askTrust?: (question: TrustQuestion) => Promise<boolean>;
  readonly revocation?: { readonly policy: RevocationPolicy; readonly checker: RevocationChecker };
}

export type ServerVerdict =
  | { readonly kind: 'believed'; readonly server: Omit<VerifiedServer, 'channel' | 'resumed'> }
  | { readonly kind: 'refused'; readonly failure: TlsFailure };

/**
 * Decides whether the EAP server with this chain is believed: path to one of the roots, serverAuth, name, and revocation as far
 * as somebody answers (RFC 5216 §5.4: before the tunnel is up there may be no way to the lists).
 */
export async function verifyServer(question: ServerQuestion, judge: ServerJudge): Promise<ServerVerdict> {
  const { trust } = question;
  let certificates: ParsedCertificate[];
  try {
    certificates = question.certificates.map((der) => serverMemory.read(der));
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return refused('weak', error.message);
  }
  const [leaf] = certificates;
  if (!leaf) return refused('untrusted', 'the RADIUS server showed no certificate');
  const facts = { subject: leaf.subject, names: dnsNamesOf(leaf), validated: trust.validate, asked: false };
  if (!trust.validate) return { kind: 'believed', server: facts };

  const found = await findAnchoredPath(certificates, trust, judge);
  if ('failure' in found) return ask(leaf, found, question, judge);
  const { path } = found;
  const revocation = await revocationProblem(path, question.stapled, judge);
  if (revocation) return { kind: 'refused', failure: revocation };
  const anchor = path.at(-1)!;
  const server = { ...facts, rootSubject: anchor.subject, rootSha1: thumbprint(anchor, 'sha1') };
  const wrongName = nameProblem(leaf, trust);
  if (!wrongName) {
    serverMemory.keep(certificates);
    return { kind: 'believed', server };
  }
  const answer = await ask(leaf, { failure: wrongName, askable: true }, question, judge);
  return answer.kind === 'believed' ? { kind: 'believed', server: { ...server, asked: true } } : answer;
}

/**
 * What the server sent, DER, leaf first, all of it or the leaf alone; empty before it has. Not `getPeerX509Certificate`: on a client that takes the
 * certificate away from the connection, so that a second call answers with the next one.
 */
export function receivedCertificates(socket: TLSSocket, which: 'first' | 'all' = 'all'): Uint8Array[] {
  const found: Uint8Array[] = [];
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(which === 'all');
  // Node strings them together by issuer, and closes a self-signed one in a circle.
  while (next?.raw && found.length < certificateCount) {
    const der = new Uint8Array(next.raw);
    if (found.some((other) => equal(other, der))) break;
    found.push(der);
    next = next.issuerCertificate;
  }
  return found;
}

interface Problem {
  readonly failure: TlsFailure;
  /** Whether it is only that nobody has said yes to this root or name yet. */
  readonly askable: boolean;
}

async function findAnchoredPath(
  certificates: readonly ParsedCertificate[],
  trust: TlsServerTrust,
  judge: ServerJudge,
): Promise<Problem | { readonly path: readonly ParsedCertificate[] }> {
  const anchors = trust.trustedRoots.length > 0 ? serverMemory.narrowed(judge.roots, trust.trustedRoots) : judge.roots;
  if (anchors.size === 0) {
    const detail = `none of the roots that the profile names (SHA-1 ${trust.trustedRoots.join(', ')}) is in the trust store`;
    return { failure: { reason: 'untrusted', detail }, askable: true };
  }
  const found = await findPath({ certificates, anchors, now: judge.now(), purposes: [oid.serverAuth] });
  return found.kind === 'path' ? found : { failure: failureOf(found), askable: found.reason === 'untrusted' };
}

/**
 * Asks, if the profile lets a person decide, about this very certificate. Whatever else speaks against it still does: with the
 * last certificate of its own chain as the root, everything must be in order.
 */
async function ask(
  leaf: ParsedCertificate,
  problem: Problem,
  question: ServerQuestion,
  judge: ServerJudge,
): Promise<ServerVerdict> {
  const { failure } = problem;
  if (!problem.askable || question.trust.mayAsk !== true || !judge.askTrust) return { kind: 'refused', failure };
  const certificates = question.certificates.map(parseCertificate);
  const anchors = judge.roots.withAlso(certificates.slice(-1).map(({ x509 }) => x509));
  const found = await findPath({ certificates, anchors, now: judge.now(), purposes: [oid.serverAuth] });
  if (found.kind === 'refused') return { kind: 'refused', failure: failureOf(found) };
  // Only what needs no network: an address in a certificate that nobody vouches for is not visited (CVE-2022-40617).
  const stapled = stapledStatus(found.path, question.stapled, judge.now());
  if (stapled?.kind === 'revoked') return { kind: 'refused', failure: revoked(`"${leaf.subject}" is revoked`) };
  const names = dnsNamesOf(leaf);
  const sha256 = thumbprint(leaf, 'sha256');
  const asked = { subject: leaf.subject, issuer: leaf.issuer, names, sha256, sha1: thumbprint(leaf, 'sha1'), failure };
  const isAccepted = await judge.askTrust(asked).catch(() => false);
  if (!isAccepted) return { kind: 'refused', failure };
  return { kind: 'believed', server: { subject: leaf.subject, names, validated: true, asked: true } };
}

function failureOf({ reason, ofAnchor, detail: found }: Extract<PathResult, { kind: 'refused' }>): TlsFailure {
  const detail = `the RADIUS server's certificate: ${found}`;
  if (ofAnchor === true) return { reason: 'invalid-root', detail };
  switch (reason) {
    case 'expired':
    case 'not-yet-valid':
    case 'wrong-eku':
    case 'weak':
      return { reason, detail };
    case 'malformed':
      return { reason: 'weak', detail };
    case 'no-certificate':
    case 'revoked':
    case 'revocation-unknown':
    case 'untrusted':
    case 'wrong-name':
      return { reason: 'untrusted', detail };
  }
}

function nameProblem(leaf: ParsedCertificate, trust: TlsServerTrust): TlsFailure | undefined {
  if (trust.serverNames.length === 0) return undefined;
  const { commonName } = leaf;
  const names = { dns: dnsNamesOf(leaf), ...(commonName !== undefined && { commonName }) };
  const verdict = matchServerNames(trust.serverNames, names);
  if (verdict.matched) return undefined;
  const detail = `the RADIUS server's certificate is for ${serverNamesOf(leaf)}; the profile wants ${trust.serverNames.join(', ')}`;
  return { reason: 'wrong-name', detail };
}

/** What the server stapled comes first; it needs no network. Others are asked only for a path that is anchored (CVE-2022-40617). */
async function revocationProblem(
  path: readonly ParsedCertificate[],
  stapled: Uint8Array | undefined,
  judge: ServerJudge,
): Promise<TlsFailure | undefined> {
  const own = stapledStatus(path, stapled, judge.now());
  if (own?.kind === 'revoked') return revoked(`"${path[0]!.subject}" is revoked, says the OCSP response that came with it`);
  const { revocation } = judge;
  if (!revocation || revocation.policy === 'off' || (own?.kind === 'good' && revocation.policy === 'soft')) return undefined;
  const late = new AbortController();
  const verdict = await Promise.race([
    revocation.checker.check(path, revocation.policy),
    delay(revocationTime, undefined, { signal: late.signal, ref: false }).catch(() => undefined),
  ]);
  late.abort();
  if (verdict) return verdict.kind === 'refused' ? revoked(verdict.detail, verdict.reason) : undefined;
  return revocation.policy === 'hard'
    ? revoked(`nobody says within ${revocationTime / 1000} s whether it is revoked`, 'revocation-unknown')
    : undefined;
}

function stapledStatus(
  [leaf, issuer]: readonly ParsedCertificate[],
  stapled: Uint8Array | undefined,
  now: Date,
): RevocationStatus | undefined {
  return stapled && leaf && issuer ? checkOcspResponse(stapled, leaf, issuer, now) : undefined;
}

function revoked(detail: string, reason: 'revoked' | 'revocation-unknown' = 'revoked'): TlsFailure {
  return { reason, detail: `the RADIUS server's certificate: ${detail}` };
}

function dnsNamesOf(certificate: ParsedCertificate): string[] {
  return certificate.names.flatMap((name) => (name.kind === 'dns' ? [name.text] : []));
}

function thumbprint(certificate: ParsedCertificate, hash: 'sha1' | 'sha256'): string {
  return createHash(hash).update(certificate.der).digest('hex');
}

function refused(reason: TlsFailure['reason'], detail: string): ServerVerdict {
  return { kind: 'refused', failure: { reason, detail } };
}
