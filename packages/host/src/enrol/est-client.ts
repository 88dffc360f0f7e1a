import type { KeyObject } from 'node:crypto';
import type { CertificateNames, EnrolmentKey } from '@aovpn/policy';
import type { Credential } from '../keys/credential.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';
import { acceptCertificate, authoritiesOf, type Authorities } from './accept-certificate.ts';
import { createCertificateRequest } from './certificate-request.ts';
import { fromBase64, readCertsOnly } from './certs-only.ts';
import { noAttributes, readCsrAttributes, type CsrAttributes } from './csr-attributes.ts';
import { EnrolError, usable } from './enrol-error.ts';
import { exchange, pageWords, type Answer, type Exchange } from './http-exchange.ts';
import { newKey } from './new-key.ts';
import { namesOf } from './names-of.ts';
import type { Issue, ServerTrust } from './issue.ts';
import { pinnedAuthority } from './pinned-authority.ts';

export interface EstRequest {
  /** With the path to which operations are appended: `…/.well-known/est`, perhaps with a label (RFC 7030 §3.2.2). */
  readonly url: URL;
  readonly trust: ServerTrust;
  /** Who asks: by a certificate (mutual TLS), by a secret (HTTP Basic), or both. */
  readonly credential?: Credential;
  readonly secret?: { readonly userName: string; readonly text: string };
  readonly names: CertificateNames;
  /** Undefined: what the server wants, else P-256. */
  readonly keyKind: EnrolmentKey | undefined;
  /** Of a request that the authority has not decided on. */
  readonly key?: KeyObject;
  /** Renews this one, whose key the credential has; its names stay. */
  readonly current?: ParsedCertificate;
  readonly signal: AbortSignal;
}

const path = { authorities: 'cacerts', attributes: 'csrattrs', enrol: 'simpleenroll', renew: 'simplereenroll' } as const;

/**
 * Has a certificate issued by EST (RFC 7030): the authority's certificates first, then what it wants to find in a request, then the request.
 * @throws {EnrolError}
 */
export async function enrolByEst(request: EstRequest): Promise<Issue> {
  const { secret, current } = request;
  const authorities = await readAuthorities(request);
  const { trust } = request;
  const anchors = trust.anchors ?? AnchorStore.fromDer(authorities.anchors.map(({ der }) => der));
  const known: Known = {
    anchors,
    ...(request.credential && { credential: request.credential }),
    ...(secret && { authorization: basic(secret) }),
  };
  const attributes = await readAttributes(request, known);
  const key = request.key ?? (await newKey(request.keyKind ?? attributes.key ?? 'p256'));
  const answer = await exchange({
    ...known,
    url: operation(request.url, current ? path.renew : path.enrol),
    method: 'POST',
    contentType: 'application/pkcs10',
    accept: 'application/pkcs7-mime',
    tls12Only: attributes.binding,
    body: (tlsUnique) => {
      if (attributes.binding && !tlsUnique)
        throw new EnrolError('unusable', 'the server wants requests bound to TLS 1.2, and did not speak it');
      const csr = createCertificateRequest({
        ...request.names,
        ...(current && namesOf(current)),
        key,
        extensions: attributes.extensions,
        ...(attributes.hash && { hash: attributes.hash }),
        ...(attributes.binding && { challenge: Buffer.from(tlsUnique!).toString('base64') }),
      });
      return Buffer.from(Buffer.from(csr).toString('base64'), 'latin1');
    },
    signal: request.signal,
  });
  if (answer.status === 202)
    return { kind: 'pending', key, ...(answer.retryAfter !== undefined && { retryAfter: answer.retryAfter }) };
  if (answer.status !== 200) throw refusal(answer, request);
  const certificates = certificatesOf(answer);
  const chain = await acceptCertificate({ certificates, authorities, key, ...(current && { current }) });
  return { kind: 'issued', key, certificates: chain };
}

type Known = Pick<Exchange, 'anchors' | 'credential' | 'authorization'>;

/**
 * `/cacerts` (§4.1). Without anchors for the server itself, what it says is believed by the fingerprint alone that the administrator has given (§4.1.1), and the server
 * has to prove that it comes from that authority in every later connection.
 */
async function readAuthorities({ url, trust, signal }: EstRequest): Promise<Authorities> {
  const answer = await exchange({
    url: operation(url, path.authorities),
    method: 'GET',
    accept: 'application/pkcs7-mime',
    anchors: trust.anchors ?? 'anybody',
    signal,
  });
  if (answer.status !== 200) throw unexpected(answer, "the authority's certificates were asked for");
  const all = certificatesOf(answer);
  const { fingerprint } = trust;
  if (fingerprint === undefined) return authoritiesOf(all);
  const pinned = pinnedAuthority(all, fingerprint);
  return { anchors: [pinned], others: all.filter((one) => one !== pinned) };
}

/** `/csrattrs` (§4.5): optional at the server. */
async function readAttributes({ url, signal }: EstRequest, known: Known): Promise<CsrAttributes> {
  const answer = await exchange({
    ...known,
    url: operation(url, path.attributes),
    method: 'GET',
    accept: 'application/csrattrs',
    signal,
  });
  if (answer.status >= 500) throw unexpected(answer, 'its attributes were asked for');
  if (answer.status !== 200 || answer.body.length === 0) return noAttributes;
  return usable(() => readCsrAttributes(fromBase64(Buffer.from(answer.body).toString('latin1'))));
}

function certificatesOf({ body, contentType }: Answer): readonly ParsedCertificate[] {
  if (!/^application\/pkcs7-mime\b/i.test(contentType))
    throw new EnrolError('unusable', `an answer of type "${contentType.slice(0, 80)}"`);
  return usable(() => readCertsOnly(fromBase64(Buffer.from(body).toString('latin1'))));
}

function refusal(answer: Answer, { secret, current }: EstRequest): EnrolError {
  const { status } = answer;
  const words = pageWords(answer, secret ? [secret.text, basic(secret).slice(6)] : []);
  if (status === 401 && secret && !current) return new EnrolError('secret-refused', `HTTP ${status}${words}`);
  if (status === 429 || status >= 500) return unexpected(answer, 'it was asked for a certificate', words);
  return new EnrolError('refused', `HTTP ${status}${words}`, { retryAfter: answer.retryAfter });
}

function unexpected({ status, retryAfter }: Answer, what: string, words = ''): EnrolError {
  const failure = status === 429 || status >= 500 ? 'unreachable' : 'refused';
  return new EnrolError(failure, `HTTP ${status} when ${what}${words}`, { retryAfter });
}

function operation(base: URL, name: string): URL {
  const url = new URL(base);
  // §3.2.2, where nothing else is named.
  const path = base.pathname === '/' ? '/.well-known/est' : base.pathname;
  url.pathname = `${path.replace(/\/$/, '')}/${name}`;
  return url;
}

/** RFC 7617 */
function basic({ userName, text }: NonNullable<EstRequest['secret']>): string {
  return `Basic ${Buffer.from(`${userName}:${text}`, 'utf8').toString('base64')}`;
}
