import { chmodSync, unlinkSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import process from 'node:process';
import { HostError } from '../host-error.ts';
import { controlErrors } from './errors.ts';
import { PeerLimits } from './peer-limits.ts';
import { peerOf, type Peer } from './peer.ts';

// An import statement would evaluate every export, and with WebSocket a whole HTTP client that nobody needs: 70 ms and 13 MiB.
const { createServer } = process.getBuiltinModule('node:http');

export interface ControlRequest {
  readonly method: string;
  /** Decoded segments of the path: `/v1/profiles/a%20b` is `['v1', 'profiles', 'a b']`. */
  readonly segments: readonly string[];
  readonly query: ReadonlyMap<string, string>;
  readonly peer: Peer;
  /** A person sits in front of the client who can answer questions ({@link ControlServerOptions.interactiveHeader}). */
  readonly interactive: boolean;
  /** Aborted when the client goes away. */
  readonly gone: AbortSignal;
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

export type ControlHandling = ControlAnswer | ((body: unknown) => Promise<ControlAnswer>);

export interface ControlServerOptions {
  readonly path: string;
  /** Who can connect at all. The kernel's queue of a socket is shared: whoever can connect can fill it, and for a while nobody else gets in. */
  readonly openTo: 'everybody' | 'root';
  readonly maxBodyBytes: number;
  /** Lower case. */
  readonly interactiveHeader?: string;
  /** Whether somebody could be allowed anything at all; nobody else's octets are looked at. */
  readonly admit?: (peer: Peer) => boolean;
  /**
   * Called before the body is read, so that nobody without permission costs more than a header: a refusal, or what handles the
   * body: parsed JSON; octets, to be overwritten after use, of an `application/octet-stream`; undefined when there was none. It throws for our bugs only, never for what a request says.
   */
  readonly handle: (request: ControlRequest) => ControlHandling | Promise<ControlHandling>;
  /** Something that the log should know, rarely. */
  readonly onError?: (error: unknown) => void;
}

export interface ControlServer {
  close(): Promise<void>;
}

/** Our choices of limits; everybody on this machine can connect. */
const controlLimits = {
  headerBytes: 8192,
  /** All together; what is refused counts for the moment that it takes. */
  connections: 1024,
  /** Root's own. */
  connectionsOfRoot: 128,
  /** Everybody but root together, so that no crowd of users can lock root out. */
  connectionsOfUsers: 96,
  /** For one user other than root, so that nobody can lock the others out. */
  connectionsPerUser: 16,
  /** Refused ones that are given the time to hear so. */
  lingering: 64,
  lingerMs: 1_000,
  requestsUnderWay: 8,
  requestsPerSecond: 20,
  requestBurst: 100,
  headersMs: 5_000,
  requestMs: 30_000,
  keepAliveMs: 5_000,
  /** What a slow reader of a stream may leave unread. */
  streamBacklogBytes: 1 << 20,
} as const;

/**
 * HTTP over a Unix socket: who asks is told by the kernel (`SO_PEERCRED`), never by the request, and decides.
 * @throws {HostError} AOV-HOST-400 when the socket cannot be made
 */
export async function openControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const peers = new WeakMap<Socket, Peer>();
  const limits = new PeerLimits(controlLimits);
  const deadlines = new WeakMap<Socket, NodeJS.Timeout>();
  const lastLooks = new WeakMap<Socket, NodeJS.Immediate>();
  /** From now on the other side has so long for what is due of it; undefined: nothing is. */
  const expect = (socket: Socket, withinMs: number | undefined): void => {
    clearTimeout(deadlines.get(socket));
    clearImmediate(lastLooks.get(socket));
    if (withinMs === undefined || socket.destroyed) return;
    const refuse = (): void => refuseSocket(socket, 'AOV-HOST-410', 408);
    // It may have come in time, and waits while this process stands still: it is read before the last look, which comes after the timers.
    const timeIsUp = (): void => void lastLooks.set(socket, setImmediate(refuse));
    deadlines.set(socket, setTimeout(timeIsUp, withinMs).unref());
  };
  const server = createServer({
    maxHeaderSize: controlLimits.headerBytes,
    // Node looks after these by a timer that wakes an idle machine as well; each connection has its own here.
    headersTimeout: 0,
    requestTimeout: 0,
    connectionsCheckingInterval: 2 ** 31 - 1,
    keepAliveTimeout: controlLimits.keepAliveMs,
  });
  server.maxConnections = controlLimits.connections;
  server.maxHeadersCount = 50;

  // Node's own listener hands the octets to its parser; only those of somebody who may be here get there.
  const [serve] = server.listeners('connection') as [(this: Server, socket: Socket) => void];
  server.removeListener('connection', serve);
  const lingering = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    const turnAway = (code: ControlErrorCode, status: number): void => linger(socket, lingering, code, status);
    if (!peer) return turnAway('AOV-HOST-414', 403);
    if (options.admit?.(peer) === false) return turnAway('AOV-HOST-417', 403);
    const leave = limits.enter(peer.uid);
    if (!leave) return turnAway('AOV-HOST-413', 503);
    peers.set(socket, peer);
    expect(socket, controlLimits.headersMs);
    socket.once('close', () => {
      expect(socket, undefined);
      leave();
    });
    serve.call(server, socket);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else if (error.code === 'HPE_HEADER_OVERFLOW') refuseSocket(socket, 'AOV-HOST-411', 431);
    else refuseSocket(socket, 'AOV-HOST-410', 400);
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const peer = peers.get(request.socket);
    if (!peer) return void request.socket.destroy();
    const { socket, headers } = request;
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    expect(socket, hasBody ? controlLimits.requestMs : undefined);
    request.once('end', () => expect(socket, undefined));
    response.once('close', () => expect(socket, controlLimits.keepAliveMs + controlLimits.headersMs));
    const finish = limits.ask(peer.uid, performance.now());
    if (!finish) {
      response.setHeader('connection', 'close');
      response.setHeader('retry-after', '1');
      return refuse(response, 429, 'AOV-HOST-416');
    }
    answer(request, response, peer, options)
      .catch((error: unknown) => {
        options.onError?.(error);
        if (response.headersSent) response.destroy();
        else refuse(response, 500, 'AOV-HOST-415');
      })
      .finally(finish);
  });
  // Upgrades, CONNECT and "expect" have no place here; without these Node would hang or answer by itself.
  server.on('upgrade', (_request, socket: Socket) => refuseSocket(socket, 'AOV-HOST-410', 400));
  server.on('connect', (_request, socket: Socket) => refuseSocket(socket, 'AOV-HOST-410', 400));
  server.on('checkExpectation', (_request, response: ServerResponse) => refuse(response, 417, 'AOV-HOST-410'));

  await listen(server, options);
  return {
    close: async () => {
      for (const socket of lingering) socket.destroy();
      await closeServer(server);
    },
  };
}

async function listen(server: Server, { path, openTo, onError }: ControlServerOptions): Promise<void> {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw socketError(path, error);
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // Nobody connects before all is in place.
  const umask = process.umask(0o177);
  try {
    server.listen(path, resolve);
  } finally {
    process.umask(umask);
  }
  try {
    await promise;
    if (openTo === 'everybody') chmodSync(path, 0o666);
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
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const { method = '', headers } = request;
  const interactive = options.interactiveHeader !== undefined && headers[options.interactiveHeader] !== undefined;
  const handler = await options.handle({ method, ...target, peer, interactive, gone: gone.signal });
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

/**
 * Says no, and closes once the client has heard it: closed at once, a socket with unread octets tells its other end "connection reset" instead. A crowd is not
 * waited for.
 */
function linger(socket: Socket, lingering: Set<Socket>, code: ControlErrorCode, status: number): void {
  if (lingering.size >= controlLimits.lingering) return refuseSocket(socket, code, status);
  lingering.add(socket);
  const patience = setTimeout(() => socket.destroy(), controlLimits.lingerMs);
  socket.once('close', () => {
    clearTimeout(patience);
    lingering.delete(socket);
  });
  socket.on('error', () => socket.destroy());
  // What it says is thrown away.
  socket.resume().on('end', () => socket.destroy());
  socket.end(refusal(code, status));
}

function refuseSocket(socket: Socket, code: ControlErrorCode, status: number): void {
  socket.on('error', () => socket.destroy());
  if (socket.writable) socket.end(refusal(code, status), () => socket.destroy());
  else socket.destroy();
}

function refusal(code: ControlErrorCode, status: number): string {
  const body = JSON.stringify(errorBody(code));
  return `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;
}

type ControlErrorCode = (typeof controlErrors)[number]['code'];

function errorBody(code: ControlErrorCode): unknown {
  const { title, cure } = row(code);
  return { error: { code, message: title, cure } };
}

function row(code: ControlErrorCode): (typeof controlErrors)[number] {
  return controlErrors.find((entry) => entry.code === code)!;
}
