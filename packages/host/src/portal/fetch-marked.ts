import { request, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { WebUrl } from '@aovpn/policy';
import { openMarkedStream } from '../sys/index.ts';

export interface MarkedFetch {
  readonly url: WebUrl;
  /** Where its host was found. */
  readonly address: IpAddress;
  /** `SO_MARK` of the socket: outside every tunnel. */
  readonly mark: number;
  readonly maxOctets: number;
  /** For everything, milliseconds. */
  readonly timeoutMs: number;
  /** PEM; for https. */
  readonly authorities?: string;
  readonly accept?: string;
}

export interface FetchedPage {
  readonly status: number;
  readonly contentType: string;
  /** Of a redirect; it is not followed. */
  readonly location?: string;
  readonly body: Uint8Array;
}

const maxHeaderOctets = 8 * 1024;

/**
 * One GET, no redirect followed, no cookie, no credential, one connection; limited in octets and time. TLS is checked against `authorities`
 * and the host of the URL.
 * @throws {Error} for everything else than an answer; its message is for people
 */
export async function fetchMarked(fetch: MarkedFetch): Promise<FetchedPage> {
  const { url, address, timeoutMs, maxOctets } = fetch;
  const signal = AbortSignal.timeout(timeoutMs);
  const plain = openMarkedStream(address.family, fetch.mark);
  const { promise, resolve, reject } = Promise.withResolvers<FetchedPage>();
  const give = (error: unknown): void =>
    reject(
      signal.aborted
        ? new Error(`no whole answer within ${timeoutMs / 1000} s`)
        : error instanceof Error
          ? error
          : new Error(String(error)),
    );
  plain.on('error', give);
  const hostHeader = url.host.includes(':') ? `[${url.host}]` : url.host;
  const usual = url.scheme === 'https:' ? 443 : 80;
  try {
    plain.connect({ host: formatAddress(address), port: url.port });
    const stream: Duplex = url.scheme === 'https:' ? secure(plain, fetch).on('error', give) : plain;
    const sent = request({
      method: 'GET',
      path: url.path,
      headers: {
        host: url.port === usual ? hostHeader : `${hostHeader}:${url.port}`,
        accept: fetch.accept ?? '*/*',
        'user-agent': 'aovpn',
        connection: 'close',
      },
      createConnection: () => stream,
      maxHeaderSize: maxHeaderOctets,
      signal,
    });
    sent.on('error', give);
    sent.on('response', (response) => {
      readBody(response, maxOctets).then((body) => {
        const { location } = response.headers;
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers['content-type'] ?? '',
          ...(location !== undefined && { location }),
          body,
        });
      }, give);
    });
    sent.end();
    return await promise;
  } finally {
    plain.destroy();
  }
}

async function readBody(response: IncomingMessage, most: number): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let octets = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    octets += part.length;
    if (octets > most) throw new Error(`its answer is longer than ${most} octets`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function secure(socket: Socket, { url, authorities }: MarkedFetch): ReturnType<typeof connectTls> {
  return connectTls({
    socket,
    // A literal address has no server name (RFC 6066 §3); its certificate is checked against the address all the same.
    ...(/^[0-9.]+$|:/.test(url.host) ? { host: url.host } : { servername: url.host }),
    ...(authorities !== undefined && { ca: authorities }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  });
}
