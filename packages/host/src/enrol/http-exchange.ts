import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import type { Credential } from '../keys/credential.ts';
import { whyNotServer } from '../tls/prove-name.ts';
import { receivedCertificates } from '../tls/verify-server.ts';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { EnrolError } from './enrol-error.ts';
import { serverWords } from './server-words.ts';

/** Largest answer: certificates of a few authorities, or CMS with them, octets. */
const answerLimit = 1 << 18;
const maxHeaderOctets = 16 * 1024;
const redirectLimit = 3;

export interface Exchange {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly contentType?: string;
  readonly accept?: string;
  /** Made once the server is known: it may depend on the connection. `tlsUnique` is there with TLS 1.2 (RFC 5929 §3). */
  readonly body?: (tlsUnique: Uint8Array | undefined) => Uint8Array;
  /** Whom an https server must come from; `anybody`: what it says is checked otherwise, and nothing secret is said to it. */
  readonly anchors: AnchorStore | 'anybody';
  /** It is shown to a server that asks for it. */
  readonly credential?: Credential;
  readonly authorization?: string;
  /** With it a request can be bound to the connection (RFC 7030 §3.5). */
  readonly tls12Only?: boolean;
  /** What is sent is for this URL alone: a redirect is an answer like any other. */
  readonly staysHere?: boolean;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

/**
 * One request, on a connection of its own, which is an ordinary one of this machine: it goes where routes lead, into a tunnel or beside it, and LockDown lets it out nowhere
 * else. Nothing is sent before an https server has proven who it is. Redirects are followed to the same server only (RFC 7030 §3.2.1).
 * @throws {EnrolError}
 */
export async function exchange(request: Exchange): Promise<Answer> {
  let { url } = request;
  for (let redirects = 0; ; redirects++) {
    const { answer, location } = await once({ ...request, url });
    if (location === undefined || request.staysHere === true) return answer;
    const next = URL.parse(location, url.href);
    if (next?.origin !== url.origin) throw new EnrolError('refused', 'the server sends us to another server');
    if (redirects === redirectLimit) throw new EnrolError('unusable', `more than ${redirectLimit} redirects`);
    url = next;
  }
}

async function once(request: Exchange): Promise<{ readonly answer: Answer; readonly location: string | undefined }> {
  const { signal } = request;
  const opened = await open(request);
  try {
    const response = await send(opened, request);
    const body = await readBody(response);
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    const answer = {
      status,
      contentType: response.headers['content-type'] ?? '',
      retryAfter: readRetryAfter(response.headers['retry-after']),
      headers: response.headers,
      body,
    };
    return { answer, location: status >= 301 && status <= 308 && status !== 304 ? location : undefined };
  } catch (error) {
    if (error instanceof EnrolError) throw error;
    if (signal.aborted) throw new EnrolError('unreachable', 'the server did not answer in time', { cause: error });
    // In TLS 1.3 a server judges our certificate after the handshake.
    throw whyEnded(error, request.credential);
  } finally {
    opened.destroy();
  }
}

async function open(request: Exchange): Promise<Socket> {
  const { url, signal } = request;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const isSecure = url.protocol === 'https:';
  const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port);
  const socket = isSecure ? secure(host, port, request) : connectPlain({ host, port });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(new EnrolError('unreachable', `${url.host} did not answer in time`));
  signal.addEventListener('abort', abort);
  socket.on('error', (error) => reject(whyEnded(error, request.credential)));
  socket.on('close', () => reject(new EnrolError('unreachable', `${url.host} ended the connection`)));
  socket.once(isSecure ? 'secureConnect' : 'connect', () => resolve());
  try {
    if (signal.aborted) abort();
    await promise;
    if (isSecure && request.anchors !== 'anybody') {
      const why = await whyNotServer(receivedCertificates(socket as TLSSocket), request.anchors, host);
      if (why !== undefined) throw new EnrolError('untrusted', `${url.host}: ${why}`);
    }
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function secure(host: string, port: number, { credential, tls12Only }: Exchange): TLSSocket {
  const options: SecureContextOptions = { minVersion: 'TLSv1.2', ...(tls12Only === true && { maxVersion: 'TLSv1.2' }), ca: [] };
  return connectTls({
    host,
    port,
    secureContext: credential ? credential.secureContext(options) : createSecureContext(options),
    // A literal address has no server name (RFC 6066 §3).
    servername: isIP(host) === 0 ? host : '',
    ALPNProtocols: ['http/1.1'],
    // It is judged here, by the rules for everybody.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
}

async function send(
  socket: Socket,
  { url, method, contentType, accept, body, authorization, signal }: Exchange,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const tlsUnique =
    'getFinished' in socket && (socket as TLSSocket).getProtocol() === 'TLSv1.2'
      ? (socket as TLSSocket).getFinished()
      : undefined;
  const payload = body?.(tlsUnique && new Uint8Array(tlsUnique));
  const sent = httpRequest({
    method,
    path: url.pathname + url.search,
    headers: {
      host: url.host,
      accept: accept ?? '*/*',
      'accept-language': 'en',
      'user-agent': 'aovpn',
      connection: 'close',
      ...(authorization !== undefined && { authorization }),
      ...(payload && { 'content-type': contentType ?? 'application/octet-stream', 'content-length': payload.length }),
    },
    createConnection: () => socket,
    maxHeaderSize: maxHeaderOctets,
    signal,
  });
  sent.on('error', reject);
  sent.on('response', resolve);
  sent.end(payload);
  return await promise;
}

async function readBody(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let octets = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    octets += part.length;
    if (octets > answerLimit) throw new EnrolError('unusable', `an answer of more than ${answerLimit} octets`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function readRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

function whyEnded(error: unknown, credential: Credential | undefined): EnrolError {
  if (error instanceof EnrolError) return error;
  const ours = credential?.takeFailure();
  if (ours) return new EnrolError('host', ours.message, { cause: error });
  const { code, message } = error as NodeJS.ErrnoException;
  if (
    /ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|UNSUPPORTED_CERTIFICATE)|ALERT_HANDSHAKE_FAILURE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)/.test(
      code ?? '',
    )
  )
    return new EnrolError(
      'refused',
      `the server does not take our certificate (${code!
        .replace(/^ERR_SSL_/, '')
        .toLowerCase()
        .replaceAll('_', ' ')})`,
      { cause: error },
    );
  return new EnrolError('unreachable', message, { cause: error });
}

/** What a page of the server says, for people. */
export function pageWords({ contentType, body }: Answer, secrets: readonly string[] = []): string {
  return /^text\/(plain|html)/i.test(contentType) ? serverWords(body, secrets) : '';
}
