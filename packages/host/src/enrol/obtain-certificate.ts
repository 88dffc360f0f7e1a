import type { CertificateNames, EnrolmentFailure, EnrolmentKey } from '@aovpn/policy';
import { decodeUtf8 } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { loadCredential, type Credential } from '../keys/credential.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import { readPemBlocks } from '../keys/pem.ts';
import { enrolledFile, forgetPending, readEnrolled, readPending, writeEnrolled, writePending } from './enrolled-file.ts';
import { enrolByEst } from './est-client.ts';
import { enrolByScep } from './scep-client.ts';
import { EnrolError } from './enrol-error.ts';
import type { Issue, ServerTrust } from './issue.ts';

/** For all that one try takes, milliseconds. */
const patience = 25_000;

/** One try to have a certificate issued, or renewed. */
export interface CertificateWanted {
  /** The state directory for enrolled certificates, and the name of this one. */
  readonly directory: string;
  readonly name: string;
  readonly protocol: 'est' | 'scep';
  readonly url: string;
  /** PEM, of whoever the server's TLS certificate comes from. */
  readonly authorities?: string;
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
  /** To enrol with: overwritten by the caller afterwards. */
  readonly secret?: { readonly userName: string; readonly octets: Uint8Array };
  /** Another certificate to enrol with, by EST. */
  readonly credential?: { readonly certificate: string; readonly key?: string };
}

export type CertificateObtained =
  /** It is in its file. */
  | { readonly kind: 'issued' }
  | { readonly kind: 'pending'; readonly retryAfter?: number }
  | { readonly kind: 'failed'; readonly failure: EnrolmentFailure; readonly detail: string; readonly retryAfter?: number };

/** Tries it once. Whatever fails, the certificate that was there stays as it was, with its key. */
export async function obtainCertificate(wanted: CertificateWanted): Promise<CertificateObtained> {
  const { directory, name } = wanted;
  try {
    const issue = await ask(wanted, AbortSignal.timeout(patience));
    if (issue.kind === 'pending') {
      await writePending(directory, name, issue.key);
      return { kind: 'pending', ...(issue.retryAfter !== undefined && { retryAfter: issue.retryAfter }) };
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

function trustOf({ authorities, fingerprint }: CertificateWanted): ServerTrust {
  const blocks = authorities === undefined ? [] : readPemBlocks(authorities).filter(({ label }) => label === 'CERTIFICATE');
  if (authorities !== undefined && blocks.length === 0)
    throw new EnrolError('host', 'the file that ca names holds no certificate');
  if (blocks.length === 0 && !fingerprint)
    throw new EnrolError('untrusted', 'neither ca nor ca-fingerprint says whom to believe');
  return {
    ...(blocks.length > 0 && { anchors: AnchorStore.fromDer(blocks.map(({ der }) => der)) }),
    ...(fingerprint && { fingerprint }),
  };
}
