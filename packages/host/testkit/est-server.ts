import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { lines, OpensslAuthority, type AuthorityFiles } from './openssl-authority.ts';

/** What the server does; looked at anew for each request. */
export interface EstConduct {
  /** Until a new certificate ends. */
  readonly lifetimeSeconds: number;
  /** Secrets that enrol once, with their users. */
  readonly secrets: readonly { readonly user: string; readonly secret: string }[];
  /** DER that `/csrattrs` answers with. */
  readonly attributes?: string;
  /** Requests are to be bound to their connection. */
  readonly binding?: boolean;
  /** Nobody has approved yet. */
  readonly pendingSeconds?: number;
  /** Refused, with these words. */
  readonly refuse?: { readonly status: number; readonly words: string };
  /** In the place of any answer to a request for a certificate, base64. */
  readonly answer?: string;
}

export interface EstServerOptions {
  readonly authority: AuthorityFiles;
  readonly server: { readonly certificatePem: string; readonly keyPem: string };
  /** For files; they stay when the process is killed. */
  readonly directory?: string;
  readonly host: string;
  readonly port: number;
  readonly conduct: () => EstConduct;
  readonly log: (line: string) => void;
  readonly maxVersion?: 'TLSv1.2';
  /** Base64 in lines, which strongSwan does not read. */
  readonly lineBreaks?: boolean;
}

const base = '/.well-known/est';

/**
 * An EST server (RFC 7030) for tests: Debian 12 has none. TLS is Node's and certificates are made by openssl, so that little of it is ours; `pki --est` of strongSwan is what tells
 * that it is one. It is strict where a server may be: a secret counts once, a renewal keeps its names, a bound request is compared with its connection.
 */
export class EstServer {
  readonly #options: EstServerOptions;
  readonly #authority: OpensslAuthority;
  readonly #server: Server;
  readonly #used = new Set<string>();

  private constructor(options: EstServerOptions) {
    this.#options = options;
    this.#authority = new OpensslAuthority(options.authority, options.directory);
    const { certificatePem: cert, keyPem: key } = options.server;
    this.#server = createServer(
      {
        cert,
        key,
        ca: options.authority.certificatePem + (options.authority.chainPem ?? ''),
        requestCert: true,
        rejectUnauthorized: false,
        ...(options.maxVersion && { maxVersion: options.maxVersion }),
      },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          options.log(`bug: ${String(error)}`);
          response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error).slice(0, 500));
        });
      },
    );
  }

  static async start(options: EstServerOptions): Promise<EstServer> {
    const est = new EstServer(options);
    est.#server.listen(options.port, options.host);
    await once(est.#server, 'listening');
    return est;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#authority[Symbol.dispose]();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { conduct, log } = this.#options;
    const socket = request.socket as TLSSocket;
    const url = request.url ?? '';
    const peer = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    const body = await bodyOf(request);
    log(
      `${request.method} ${url} ${socket.getProtocol()} ${peer ? `certificate ${peer.subject.replaceAll('\n', ',')}` : 'no certificate'}`,
    );
    const now = conduct();
    const pkcs7 = (der: Uint8Array): void => {
      const text = this.#options.lineBreaks ? `${lines(der)}\n` : Buffer.from(der).toString('base64');
      const type = 'application/pkcs7-mime; smime-type=certs-only';
      // Without the length strongSwan's client takes it for empty.
      const headers = { 'content-type': type, 'content-transfer-encoding': 'base64', 'content-length': text.length };
      response.writeHead(200, headers).end(text);
    };
    switch (url) {
      case `${base}/cacerts`:
        return pkcs7(await this.#authority.authorities());
      case `${base}/csrattrs`:
        if (now.binding)
          return void response
            .writeHead(200, { 'content-type': 'application/csrattrs' })
            .end(Buffer.from('300b06092a864886f70d010907', 'hex').toString('base64'));
        if (now.attributes === undefined) return void response.writeHead(204).end();
        return void response.writeHead(200, { 'content-type': 'application/csrattrs' }).end(now.attributes);
      case `${base}/moved/cacerts`:
        return void response.writeHead(307, { location: `${base}/cacerts` }).end();
      case `${base}/away/cacerts`:
        return void response.writeHead(302, { location: 'https://elsewhere.example/.well-known/est/cacerts' }).end();
      case `${base}/simpleenroll`:
      case `${base}/simplereenroll`:
        break;
      default:
        return void response.writeHead(404).end();
    }
    const refuse = (status: number, words: string): void =>
      void response
        .writeHead(status, { 'content-type': 'text/plain', ...(status === 401 && { 'www-authenticate': 'Basic realm="est"' }) })
        .end(words);
    const csr = Buffer.from(body.toString('latin1'), 'base64');
    const parsed = new pkijs.CertificationRequest({ schema: asn1js.fromBER(csr).result });
    if (url.endsWith('simplereenroll') && !peer) return refuse(401, 'a renewal needs the certificate');
    if (url.endsWith('simpleenroll') && !peer) {
      const given = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString('utf8');
      const known = now.secrets.some(({ user, secret }) => given === `${user}:${secret}`) && !this.#used.has(given);
      if (!known) return refuse(401, `not a secret that counts: ${given}`);
    }
    if (now.binding) {
      const challenge = parsed.attributes?.find(({ type }) => type === '1.2.840.113549.1.9.7')?.values[0] as
        | asn1js.PrintableString
        | undefined;
      if (challenge?.valueBlock.value !== socket.getPeerFinished()?.toString('base64'))
        return refuse(400, 'not bound to this connection');
    }
    if (now.refuse) return refuse(now.refuse.status, now.refuse.words);
    if (now.pendingSeconds !== undefined)
      return void response.writeHead(202, { 'retry-after': String(now.pendingSeconds) }).end();
    if (now.answer !== undefined) return pkcs7(Buffer.from(now.answer, 'base64'));
    const pem = await this.#authority.issue(csr, now.lifetimeSeconds);
    const made = new X509Certificate(pem);
    if (url.endsWith('simplereenroll') && (made.subject !== peer!.subject || made.subjectAltName !== peer!.subjectAltName))
      return refuse(400, 'a renewal keeps its names');
    this.#used.add(Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString('utf8'));
    pkcs7(await this.#authority.certsOnly(pem));
    log(`issued ${made.serialNumber} until ${made.validTo}`);
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}
