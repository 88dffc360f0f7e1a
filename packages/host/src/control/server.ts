import { chmodSync, chownSync, unlinkSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import process from 'node:process';
import { HostError } from '../host-error.ts';
import { controlErrors } from './errors.ts';
import { peerOf, type Peer } from './peer.ts';

// An import statement would evaluate every export, and with WebSocket a whole HTTP client that nobody needs: 70 ms and 13 MiB.
const { createServer } = process.getBuiltinModule('node:http');

export interface ControlRequest {
  readonly method: string;
  /** Decoded segments of the path: `/v1/profiles/a%20b` is `['v1', 'profiles', 'a b']`. */
  readonly segments: readonly string[];
  readonly query: ReadonlyMap<string, string>;
  readonly peer: Peer;
}

/** Where a stream puts its lines. */
export interface LineSink {
  /** One JSON value as one line. False: the reader is gone or too slow, and is cut off. */
  write(value: unknown): boolean;
  end(): void;
}

export type ControlAnswer =
  | { readonly status: number; readonly body: unknown }
  /** NDJSON: called once the headers are out; what it gives back is called once the reader is gone. */
  | { readonly stream: (sink: LineSink) => () => void };

export interface ControlServerOptions {
  readonly path: string;
  /** Group that may connect besides root; undefined: root only. */
  readonly gid: number | undefined;
  readonly maxBodyBytes: number;
  /**
   * Called before the body is read, so that nobody without permission costs more than a header: a refusal, or what handles the
   * body: parsed JSON; octets, to be overwritten after use, of an `application/octet-stream`; undefined when there was none. It throws for our bugs only, never for what a request says.
   */
  readonly handle: (request: ControlRequest) => ControlAnswer | ((body: unknown) => Promise<ControlAnswer>);
  /** Something that the log should know, rarely. */
  readonly onError?: (error: unknown) => void;
}

export interface ControlServer {
  close(): Promise<void>;
}

/** Our choices of limits; the socket is open to people who are not root. */
const controlLimits = {
  headerBytes: 8192,
  connections: 128,
  /** For one user other than root, so that nobody can lock the others out. */
  connectionsPerUser: 16,
  headersMs: 5_000,
  requestMs: 30_000,
  /** What a slow reader of a stream may leave unread. */
  streamBacklogBytes: 1 << 20,
} as const;

/**
 * HTTP over a Unix socket, mode 0660, root and one group. Who asks is told by the kernel (`SO_PEERCRED`), never by the request.
 * @throws {HostError} AOV-HOST-400 when the socket cannot be made
 */
export async function openControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const peers = new WeakMap<Socket, Peer>();
  const perUser = new Map<number, number>();
  const server = createServer({
    maxHeaderSize: controlLimits.headerBytes,
    headersTimeout: controlLimits.headersMs,
    requestTimeout: controlLimits.requestMs,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: 5_000,
  });
  server.maxConnections = controlLimits.connections;
  server.maxHeadersCount = 50;

  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    if (!peer) return refuseSocket(socket, 'AOV-HOST-414', 403);
    const count = (perUser.get(peer.uid) ?? 0) + 1;
    if (peer.uid !== 0 && count > controlLimits.connectionsPerUser) return refuseSocket(socket, 'AOV-HOST-413', 503);
    perUser.set(peer.uid, count);
    peers.set(socket, peer);
    socket.once('close', () => {
      const left = (perUser.get(peer.uid) ?? 1) - 1;
      if (left === 0) perUser.delete(peer.uid);
      else perUser.set(peer.uid, left);
    });
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else if (error.code === 'HPE_HEADER_OVERFLOW') refuseSocket(socket, 'AOV-HOST-411', 431);
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuseSocket(socket, 'AOV-HOST-410', 408);
    else refuseSocket(socket, 'AOV-HOST-410', 400);
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const peer = peers.get(request.socket);
    if (!peer) return void request.socket.destroy();
    answer(request, response, peer, options).catch((error: unknown) => {
      options.onError?.(error);
      if (response.headersSent) response.destroy();
      else refuse(response, 500, 'AOV-HOST-415');
    });
  });
  // Upgrades, CONNECT and "expect" have no place here; without these Node would hang or answer by itself.
  server.on('upgrade', (_request, socket: Socket) => refuseSocket(socket, 'AOV-HOST-410', 400));
  server.on('connect', (_request, socket: Socket) => refuseSocket(socket, 'AOV-HOST-410', 400));
  server.on('checkExpectation', (_request, response: ServerResponse) => refuse(response, 417, 'AOV-HOST-410'));

  await listen(server, options);
  return { close: () => closeServer(server) };
}

async function listen(server: Server, { path, gid, onError }: ControlServerOptions): Promise<void> {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw socketError(path, error);
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // Between bind(2) and chmod(2) nobody but root may connect.
  const umask = process.umask(0o177);
  try {
    server.listen(path, resolve);
  } finally {
    process.umask(umask);
  }
  try {
    await promise;
    if (gid !== undefined) {
      chownSync(path, process.getuid?.() ?? 0, gid);
      chmodSync(path, 0o660);
    }
  } catch (error) {
    server.close();
    throw socketError(path, error);
  }
  server.off('error', reject);
  server.on('error', (error) => onError?.(error));
}

function socketError(path: string, error: unknown): HostError {
  const { code, cure } = row('AOV-HOST-400');
  return new HostError(code, `the control socket ${path} cannot be made: ${(error as Error).message}`, cure, error);
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  peer: Peer,
  options: ControlServerOptions,
): Promise<void> {
  const target = parseTarget(request.url ?? '');
  if (!target) return refuse(response, 400, 'AOV-HOST-410');
  const handler = options.handle({ method: request.method ?? '', ...target, peer });
  if (typeof handler !== 'function') {
    if (hasBody(request)) response.setHeader('connection', 'close');
    return give(response, handler);
  }
  const body = await readBody(request, options.maxBodyBytes);
  if (body === 'too-large') {
    response.setHeader('connection', 'close');
    return refuse(response, 413, 'AOV-HOST-411');
  }
  if (body === 'not-json') return refuse(response, 400, 'AOV-HOST-412');
  give(response, await handler(body.value));
}

function give(response: ServerResponse, result: ControlAnswer): void {
  if ('stream' in result) stream(response, result.stream);
  else send(response, result.status, result.body);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function parseTarget(url: string): Pick<ControlRequest, 'segments' | 'query'> | undefined {
  if (!url.startsWith('/')) return undefined;
  try {
    const [path, search, ...rest] = url.split('?');
    if (rest.length > 0) return undefined;
    const segments = path!.slice(1).split('/').map(decodeURIComponent);
    return { segments, query: new Map(new URLSearchParams(search ?? '')) };
  } catch {
    return undefined;
  }
}

async function readBody(
  request: IncomingMessage,
  limit: number,
): Promise<{ readonly value: unknown } | 'too-large' | 'not-json'> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return 'too-large';
  // Octets are a secret as a rule: no copy of them is left behind.
  const secret = request.headers['content-type'] === 'application/octet-stream';
  const chunks: Buffer[] = [];
  const wipeIfSecret = (): void => {
    if (secret) for (const chunk of chunks) chunk.fill(0);
  };
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    chunks.push(chunk);
    if (length > limit) {
      wipeIfSecret();
      return 'too-large';
    }
  }
  if (length === 0) return { value: undefined };
  if (secret) {
    // Not `Buffer.concat`: that may lie in a pool which others share.
    const octets = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      octets.set(chunk, at);
      at += chunk.length;
    }
    wipeIfSecret();
    return { value: octets };
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
    return { value: JSON.parse(text) as unknown };
  } catch {
    return 'not-json';
  }
}

function stream(response: ServerResponse, start: (sink: LineSink) => () => void): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  response.flushHeaders();
  let over = false;
  let stop: (() => void) | undefined;
  const finish = (): void => {
    if (over) return;
    over = true;
    stop?.();
  };
  response.once('close', finish);
  response.on('error', finish);
  const undo = start({
    write(value) {
      if (over) return false;
      response.write(`${JSON.stringify(value)}\n`);
      if (response.writableLength <= controlLimits.streamBacklogBytes) return true;
      response.destroy();
      finish();
      return false;
    },
    end: () => response.end(),
  });
  // The reader may have gone while the stream was starting.
  if (over) undo();
  else stop = undo;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

function refuse(response: ServerResponse, status: number, code: ControlErrorCode): void {
  send(response, status, errorBody(code));
}

function refuseSocket(socket: Socket, code: ControlErrorCode, status: number): void {
  const body = JSON.stringify(errorBody(code));
  const head = `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.on('error', () => socket.destroy());
  if (socket.writable) socket.end(head + body, () => socket.destroy());
  else socket.destroy();
}

type ControlErrorCode = (typeof controlErrors)[number]['code'];

function errorBody(code: ControlErrorCode): unknown {
  const { title, cure } = row(code);
  return { error: { code, message: title, cure } };
}

function row(code: ControlErrorCode): (typeof controlErrors)[number] {
  return controlErrors.find((entry) => entry.code === code)!;
}
