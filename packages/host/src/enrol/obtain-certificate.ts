import { normaliseDomain, type CertificateNames, type EnrolmentFailure, type EnrolmentKey } from '@aovpn/policy';
import { decodeUtf8 } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { loadCredential, type Credential } from '../keys/credential.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import { parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { readPemBlocks } from '../keys/pem.ts';
import { enrolledFile, forgetPending, readEnrolled, readPending, writeEnrolled, writePending } from './enrolled-file.ts';
import { enrolByAcme, type AcmeRequest } from './acme/acme-client.ts';
import type { ProofPlace } from './acme/dns-proofs.ts';
import { enrolByEst } from './est-client.ts';
import { enrolByScep } from './scep-client.ts';
import { EnrolError, usable } from './enrol-error.ts';
import type { Issue, ServerTrust } from './issue.ts';

/** For all that one try asks of the server, milliseconds. */
const patience = 25_000;
/** Of that, how long an ACME authority is waited for; what it has not decided then is asked for in another try. */
const acmePatience = 20_000;

/** One try to have a certificate issued, or renewed. */
export interface CertificateWanted {
  /** The state directory for enrolled certificates, and the name of this one. */
  readonly directory: string;
  readonly name: string;
  readonly protocol: 'est' | 'scep' | 'acme';
  readonly url: string;
  /** PEM, of whoever the server's TLS certificate comes from. */
  readonly authorities?: string;
  /** ACME: PEM, of whoever the certificate comes from; undefined: of those in `authorities`. */
  readonly issuers?: string;
  /** SHA-256 of the authority's certificate. At least one of the two; with SCEP this one. */
  readonly fingerprint?: Uint8Array;
  readonly names: CertificateNames;
  readonly key?: EnrolmentKey;
  /** `renew`: with the enrolled certificate, which is there; its names stay. */
  readonly how: 'enrol' | 'renew';
  /** A request that the authority has not decided on is given up. */
  readonly anew: boolean;
  /** SCEP: DES, 3DES and SHA-1 will do in answers. */
  readonly weak: boolean;
  /** To enrol with: overwritten by the caller afterwards. ACME: the MAC key of the external account that `userName` identifies. */
  readonly secret?: { readonly userName: string; readonly octets: Uint8Array };
  /** ACME. */
  readonly acme?: {
    /** The external account that ours is bound to; empty: to none. */
    readonly keyId: string;
    readonly termsAgreed: boolean;
    /** Where the authority's questions are answered. */
    readonly proofs?: ProofPlace;
  };
  /** Another certificate to enrol with, by EST. */
  readonly credential?: { readonly certificate: string; readonly key?: string };
}

export type CertificateObtained =
  /** It is in its file. */
  | { readonly kind: 'issued' }
  | { readonly kind: 'pending'; readonly retryAfter?: number; readonly detail?: string }
  | { readonly kind: 'failed'; readonly failure: EnrolmentFailure; readonly detail: string; readonly retryAfter?: number };

/** Tries it once. Whatever fails, the certificate that was there stays as it was, with its key. */
export async function obtainCertificate(wanted: CertificateWanted): Promise<CertificateObtained> {
  const { directory, name } = wanted;
  try {
    const issue = await ask(wanted, AbortSignal.timeout(patience));
    if (issue.kind === 'pending') {
      await writePending(directory, name, issue.key);
      const { retryAfter, why } = issue;
      return { kind: 'pending', ...(retryAfter !== undefined && { retryAfter }), ...(why !== undefined && { detail: why }) };
    }
    await writeEnrolled(directory, name, issue);
    return { kind: 'issued' };
  } catch (error) {
    if (error instanceof EnrolError) {
      const { failure, message, retryAfter } = error;
      // Refused is decided: the next request is another one.
      if (failure === 'refused' || failure === 'secret-refused') await forgetPending(directory, name);
      return { kind: 'failed', failure, detail: message, ...(retryAfter !== undefined && { retryAfter }) };
    }
    if (error instanceof HostError) return { kind: 'failed', failure: 'host', detail: `${error.what} [${error.code}]` };
    if (error instanceof Error && 'syscall' in error) return { kind: 'failed', failure: 'host', detail: error.message };
    throw error;
  }
}

async function ask(wanted: CertificateWanted, signal: AbortSignal): Promise<Issue> {
  const { directory, name, how, secret } = wanted;
  const enrolled = how === 'renew' ? await readEnrolled(directory, name) : undefined;
  if (how === 'renew' && !enrolled) throw new EnrolError('host', 'there is no certificate to renew');
  const pending = wanted.anew ? undefined : await readPending(directory, name).catch(() => undefined);
  const shared = {
    url: new URL(wanted.url),
    names: wanted.names,
    keyKind: wanted.key,
    ...(pending && { key: pending }),
    signal,
  };
  const text = secret && how === 'enrol' ? decodeUtf8(secret.octets) : undefined;
  if (wanted.protocol === 'scep') {
    const { fingerprint } = wanted;
    if (!fingerprint) throw new EnrolError('untrusted', 'ca-fingerprint does not say whom to believe');
    return await enrolByScep({
      ...shared,
      fingerprint,
      anchors: trustOf(wanted).anchors ?? (shared.url.protocol === 'https:' ? AnchorStore.fromSystem() : new AnchorStore([])),
      ...(text !== undefined && { secret: text }),
      ...(enrolled && { current: enrolled }),
      weak: wanted.weak,
    });
  }
  const current = enrolled?.certificates[0];
  if (wanted.protocol === 'acme')
    return await enrolByAcme({
      ...shared,
      ...issuersOf(wanted),
      directory,
      name,
      keyId: wanted.acme?.keyId ?? '',
      termsAgreed: wanted.acme?.termsAgreed ?? false,
      ...(wanted.acme?.proofs && { proofs: wanted.acme.proofs }),
      ...(secret && { secret: { text: decodeUtf8(secret.octets) } }),
      anew: wanted.anew,
      // A renewal keeps the names (as with the other protocols).
      dns: asInDns(current ? dnsNamesOf(current) : wanted.names.dns),
      ...(current && { current }),
      deadline: Date.now() + acmePatience,
    });
  const credential = await credentialFor(wanted);
  await credential?.unlock();
  return await enrolByEst({
    ...shared,
    trust: trustOf(wanted),
    ...(credential && { credential }),
    ...(secret && text !== undefined && { secret: { userName: secret.userName, text } }),
    ...(current && { current }),
  });
}

async function credentialFor({ directory, name, how, credential }: CertificateWanted): Promise<Credential | undefined> {
  if (how === 'renew') return await loadCredential({ certificate: enrolledFile(directory, name) });
  return credential && (await loadCredential(credential));
}

/** ACME has no way to ask for the authority's certificates: files say whom to believe, for the connection and for what is issued. */
function issuersOf({ authorities, issuers }: CertificateWanted): Pick<AcmeRequest, 'anchors' | 'issuers'> {
  const forServer = certificatesOf(authorities, 'ca');
  const forIssued = issuers === undefined ? forServer : certificatesOf(issuers, 'issuing-ca');
  if (forServer.length === 0) throw new EnrolError('untrusted', 'ca does not say whom to believe');
  return { anchors: AnchorStore.fromDer(forServer), issuers: usable(() => forIssued.map(parseCertificate)) };
}

function certificatesOf(pem: string | undefined, setting: string): readonly Uint8Array[] {
  const blocks = pem === undefined ? [] : readPemBlocks(pem).filter(({ label }) => label === 'CERTIFICATE');
  if (pem !== undefined && blocks.length === 0)
    throw new EnrolError('host', `the file that ${setting} names holds no certificate`);
  return blocks.map(({ der }) => der);
}

/** Each once, as servers compare them. */
function asInDns(names: readonly string[]): readonly string[] {
  return [...new Set(names.map((name) => normaliseDomain(name) ?? name.toLowerCase()))];
}

function dnsNamesOf({ names }: ParsedCertificate): readonly string[] {
  return names.flatMap((one) => (one.kind === 'dns' ? [one.text] : []));
}

function trustOf({ authorities, fingerprint }: CertificateWanted): ServerTrust {
  const known = certificatesOf(authorities, 'ca');
  if (known.length === 0 && !fingerprint) throw new EnrolError('untrusted', 'neither ca nor ca-fingerprint says whom to believe');
  return {
    ...(known.length > 0 && { anchors: AnchorStore.fromDer(known) }),
    ...(fingerprint && { fingerprint }),
  };
}
