import { createPublicKey, randomBytes, verify, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { OpensslAuthority } from '../../testkit/openssl-authority.ts';
import type { TestCertificate } from '../trust/test-pki.ts';

export interface Reply {
  readonly status: number;
  /** An object becomes JSON. */
  readonly body: string | object;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: a fresh one. */
  readonly nonce?: string;
  /** The connection ends instead. */
  readonly cut?: boolean;
}

/** What a request is about. */
export type Topic =
  | 'directory'
  | 'nonce'
  | 'account'
  | 'new-order'
  | 'order'
  | 'authorization'
  | 'challenge'
  | 'finalize'
  | 'certificate';

export interface Heard {
  readonly topic: Topic;
  readonly headers: IncomingHttpHeaders;
  /** Protected header and payload; undefined: the request was not signed. */
  readonly protected?: {
    readonly alg: string;
    readonly url: string;
    readonly nonce: string;
    readonly kid?: string;
    readonly jwk?: JsonWebKey;
  };
  /** Undefined: no octets. */
  readonly payload?: Record<string, unknown>;
}

/** Changes what would be said. */
export type Change = (ordinary: Reply, heard: Heard) => Reply;

/**
 * An ACME server that does what pebble does not: orders are ready at once, and whatever a test wants is said in the place of an answer. Signatures, URLs and nonces
 * are checked; what is wrong with them is in `faults`.
 */
export class ScriptedAcme {
  readonly heard: Heard[] = [];
  readonly faults: string[] = [];
  changes: Partial<Record<Topic, Change>> = {};
  readonly #server: Server;
  readonly #authority: OpensslAuthority;
  readonly #nonces = new Set<string>();
  readonly #keys = new Map<string, JsonWebKey>();
  readonly #issued = new Map<string, string>();
  #orders = 0;

  private constructor(server: Server, authority: OpensslAuthority) {
    this.#server = server;
    this.#authority = authority;
  }

  static async start(tls: TestCertificate, issuer: TestCertificate): Promise<ScriptedAcme> {
    const authority = new OpensslAuthority({ certificatePem: issuer.pem, keyPem: issuer.key });
    const server = createServer({ cert: tls.pem, key: tls.key });
    const scripted = new ScriptedAcme(server, authority);
    server.on('request', (request, response) => {
      void (async () => {
        const body = await buffer(request);
        const reply = await scripted.#reply(request.url ?? '', request.headers, body);
        if (reply.cut === true) {
          request.socket.destroy();
          return;
        }
        const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body);
        const nonce = reply.nonce ?? scripted.#nonce();
        response.writeHead(reply.status, { 'content-type': 'application/json', 'replay-nonce': nonce, ...reply.headers });
        response.end(text);
      })();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return scripted;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#authority[Symbol.dispose]();
  }

  get origin(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `${this.origin}/directory`;
  }

  topics(): readonly Topic[] {
    return this.heard.map(({ topic }) => topic);
  }

  /** An order of this server as it stands. */
  order(number: number, status: string): Record<string, unknown> {
    return {
      status,
      identifiers: [{ type: 'dns', value: 'laptop.corp.example' }],
      authorizations: [`${this.origin}/authorization/${number}`],
      finalize: `${this.origin}/finalize/${number}`,
      ...(status === 'valid' && { certificate: `${this.origin}/certificate/${number}` }),
    };
  }

  #nonce(): string {
    const nonce = randomBytes(16).toString('base64url');
    this.#nonces.add(nonce);
    return nonce;
  }

  async #reply(path: string, headers: IncomingHttpHeaders, body: Buffer): Promise<Reply> {
    const [, topic = '', number = '0'] = path.split('/') as [string, Topic?, string?];
    const heard: Heard = { topic: topic as Topic, headers, ...(body.length > 0 && this.#open(path, headers, body)) };
    this.heard.push(heard);
    const ordinary = await this.#ordinary(heard, Number(number));
    return this.changes[heard.topic]?.(ordinary, heard) ?? ordinary;
  }

  async #ordinary({ topic, protected: header, payload }: Heard, number: number): Promise<Reply> {
    const say = (status: number, body: string | object, headers: Record<string, string> = {}): Reply => ({
      status,
      body,
      headers,
    });
    switch (topic) {
      case 'directory':
        return say(200, {
          newNonce: `${this.origin}/nonce`,
          newAccount: `${this.origin}/account`,
          newOrder: `${this.origin}/new-order`,
          meta: {},
        });
      case 'nonce':
        return say(200, '');
      case 'account': {
        const location = `${this.origin}/account/${header?.jwk?.['x'] ?? 'nobody'}`;
        const status = this.#keys.has(location) ? 200 : 201;
        if (header?.jwk) this.#keys.set(location, header.jwk);
        return say(status, { status: 'valid' }, { location });
      }
      case 'new-order':
        return say(201, this.order(++this.#orders, 'ready'), { location: `${this.origin}/order/${this.#orders}` });
      case 'order':
        return say(200, this.order(number, this.#issued.has(String(number)) ? 'valid' : 'ready'));
      case 'authorization':
        return say(200, { status: 'valid', identifier: { type: 'dns', value: 'laptop.corp.example' }, challenges: [] });
      case 'challenge':
        return say(200, {
          type: 'dns-01',
          url: `${this.origin}/challenge/${number}`,
          status: 'processing',
          token: 'A'.repeat(22),
        });
      case 'finalize': {
        const csr = Buffer.from(String(payload?.['csr']), 'base64url');
        this.#issued.set(String(number), await this.#authority.issue(csr, 3600));
        return say(200, this.order(number, 'valid'));
      }
      case 'certificate':
        return say(200, this.#issued.get(String(number)) ?? '', { 'content-type': 'application/pem-certificate-chain' });
      default:
        return say(404, '');
    }
  }

  #open(path: string, headers: IncomingHttpHeaders, body: Buffer): Pick<Heard, 'protected' | 'payload'> {
    const fault = (what: string): void => void this.faults.push(`${path}: ${what}`);
    if (headers['content-type'] !== 'application/jose+json') fault(`content-type ${headers['content-type']}`);
    const jws = JSON.parse(body.toString()) as Record<'protected' | 'payload' | 'signature', string>;
    const parse = (text: string): unknown => JSON.parse(Buffer.from(text, 'base64url').toString());
    const header = parse(jws.protected) as NonNullable<Heard['protected']>;
    if (Object.keys(jws).toSorted().join(' ') !== 'payload protected signature') fault('more than a flattened JWS');
    if (header.alg !== 'ES256') fault(`alg ${header.alg}`);
    if (header.url !== this.origin + path) fault(`url ${header.url}`);
    if (!this.#nonces.delete(header.nonce)) fault(`nonce ${header.nonce}`);
    if ((header.jwk === undefined) === (header.kid === undefined)) fault('jwk and kid, or neither');
    if ((header.jwk !== undefined) !== (path === '/account')) fault('signed by the wrong name');
    const key = header.jwk ?? this.#keys.get(header.kid ?? '');
    const signed = Buffer.from(`${jws.protected}.${jws.payload}`);
    const isSigned =
      key !== undefined &&
      verify(
        'sha256',
        signed,
        { key: createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
        Buffer.from(jws.signature, 'base64url'),
      );
    if (!isSigned) fault('signature');
    return { protected: header, ...(jws.payload !== '' && { payload: parse(jws.payload) as Record<string, unknown> }) };
  }
}
