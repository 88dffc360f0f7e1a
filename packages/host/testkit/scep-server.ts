import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { decryptWith, encryptFor, signMessage, verifyMessage } from '../src/enrol/cms.ts';
import { parseCertificate, type ParsedCertificate } from '../src/trust/certificate.ts';
import { OpensslAuthority, type AuthorityFiles } from './openssl-authority.ts';

export interface ScepConduct {
  /** Undefined: it knows no GetCACaps. */
  readonly capabilities: string | undefined;
  /** `pending`, or a failInfo; else it issues. */
  readonly answer?: 'pending' | '0' | '2' | '4';
  /** What is done to the octets of an answer on their way. */
  readonly tamper?: (answer: Buffer) => Buffer;
  /** The answer before this one comes again. */
  readonly replay?: boolean;
}

export interface ScepAgent {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface ScepServerOptions {
  readonly authority: AuthorityFiles;
  /** A registration authority, which decrypts and signs in the place of the authority. */
  readonly agent?: ScepAgent;
  /** PEM of all that GetCACert answers with. */
  readonly certificates: string;
  readonly conduct: () => ScepConduct;
}

const types: Readonly<Record<string, string>> = { '17': 'RenewalReq', '19': 'PKCSReq', '20': 'CertPoll' };

/** What `scepserver` of Debian cannot do: registration authorities, approval by hand, and whatever a hostile network does to answers. */
export class ScepServer {
  /** Kinds of messages, in the order in which they came. */
  readonly seen: string[] = [];
  readonly #options: ScepServerOptions;
  readonly #authority: OpensslAuthority;
  readonly #server: Server;
  readonly #waiting = new Map<string, Uint8Array>();
  #last: Buffer | undefined;

  private constructor(options: ScepServerOptions) {
    this.#options = options;
    this.#authority = new OpensslAuthority(options.authority);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) =>
        response.writeHead(500, { 'content-type': 'text/plain' }).end(error instanceof Error ? error.stack : String(error)),
      );
    });
  }

  static async start(options: ScepServerOptions): Promise<ScepServer> {
    const server = new ScepServer(options);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/scep`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#authority[Symbol.dispose]();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const query = new URL(request.url ?? '', 'http://x').searchParams;
    const operation = query.get('operation');
    const conduct = this.#options.conduct();
    if (operation === 'GetCACaps' && conduct.capabilities === undefined)
      return void response.writeHead(404).end('no such operation');
    if (operation === 'GetCACaps') return void response.end(conduct.capabilities);
    if (operation === 'GetCACert') {
      const all = this.#options.certificates.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? [];
      if (all.length === 1)
        return void response
          .writeHead(200, { 'content-type': 'application/x-x509-ca-cert' })
          .end(new X509Certificate(all[0]).raw);
      const der = await this.#authority.certsOnly(all.join(''));
      return void response.writeHead(200, { 'content-type': 'application/x-x509-ca-ra-cert' }).end(Buffer.from(der));
    }
    const body = request.method === 'POST' ? Buffer.concat(parts) : Buffer.from(query.get('message') ?? '', 'base64');
    this.seen.push(request.method ?? '');
    const now = conduct.replay && this.#last ? this.#last : Buffer.from(await this.#reply(new Uint8Array(body), conduct));
    this.#last = now;
    response.writeHead(200, { 'content-type': 'application/x-pki-message' }).end(conduct.tamper ? conduct.tamper(now) : now);
  }

  async #reply(body: Uint8Array, { answer }: ScepConduct): Promise<Uint8Array> {
    const { authority, agent = authority } = this.#options;
    const certificate = parseCertificate(new Uint8Array(new X509Certificate(agent.certificatePem).raw));
    const key = createPrivateKey(agent.keyPem);
    const client = signerOf(body);
    const { content, attributes } = verifyMessage(body, [client], false);
    const word = (id: string): string =>
      (attributes.get(`2.16.840.1.113733.1.9.${id}`) as asn1js.PrintableString).valueBlock.value;
    const type = word('2');
    const transaction = word('7');
    this.seen.push(types[type] ?? type);
    const plain = decryptWith(key, content!, false);
    const request = type === '20' ? this.#waiting.get(transaction) : plain;
    const text = (id: string, value: string): { type: string; value: asn1js.BaseBlock } => ({
      type: `2.16.840.1.113733.1.9.${id}`,
      value: new asn1js.PrintableString({ value }),
    });
    const reply = (status: string, more: readonly { type: string; value: asn1js.BaseBlock }[], inner?: Uint8Array): Uint8Array =>
      signMessage({ certificate, key }, inner, [
        text('2', '3'),
        text('3', status),
        text('7', transaction),
        { type: '2.16.840.1.113733.1.9.6', value: attributes.get('2.16.840.1.113733.1.9.5')! },
        { type: '2.16.840.1.113733.1.9.5', value: new asn1js.OctetString({ valueHex: new Uint8Array(16).buffer }) },
        ...more,
      ]);
    if (answer === 'pending') {
      if (request) this.#waiting.set(transaction, request);
      return reply('3', []);
    }
    if (answer !== undefined || !request) return reply('2', [text('4', answer ?? '4')]);
    const issued = await this.#authority.issue(request, 3600);
    return reply('0', [], encryptFor(client, await this.#authority.certsOnly(issued)));
  }
}

function signerOf(der: Uint8Array): ParsedCertificate {
  const info = new pkijs.ContentInfo({ schema: asn1js.fromBER(der).result });
  const [first] = new pkijs.SignedData({ schema: info.content }).certificates ?? [];
  return parseCertificate(new Uint8Array((first as pkijs.Certificate).toSchema().toBER()));
}
