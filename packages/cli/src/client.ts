import type { IncomingMessage, RequestOptions } from 'node:http';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import {
  defaultSocketPath,
  interactiveHeader,
  rootSocketName,
  type DaemonEvent,
  type ErrorAnswer,
  type Requests,
} from '@aovpn/api';
import { canAsk } from './ask.ts';
import { blockedWithoutDaemon } from './blocked-traffic.ts';
import { CommandError, ExitCode } from './command.ts';

// An import statement would evaluate every export, and with WebSocket a whole HTTP client that nobody needs: 70 ms and 13 MiB.
const { request: httpRequest } = process.getBuiltinModule('node:http');

type Answer<R extends keyof Requests> = Requests[R]['answer'];

/** The daemon's socket, one request at a time. Every failure is a {@link CommandError} that says what to do. */
export interface Client {
  readonly socketPath: string;
  call<R extends keyof Requests>(request: R, parameters?: Parameters): Promise<Answer<R>>;
  /** Lines of an NDJSON stream, until the daemon or the caller ends it. @param onOpen the daemon has begun to answer */
  stream(path: string, signal: AbortSignal, onOpen?: () => void): AsyncIterable<DaemonEvent>;
}

export interface Parameters {
  /** What stands for `:name` or `:id`. */
  readonly name?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Octets go as they are, and are not kept. */
  readonly body?: unknown;
}

/** Between tries while the queue of the daemon's socket is full, milliseconds: somebody floods it. */
const queueMs = 50;

/** Milliseconds without an answer until the daemon counts as stuck. */
const answerTimeout = 30_000;

export function connectClient(socketPath: string): Client {
  return {
    socketPath,
    async call<R extends keyof Requests>(request: R, parameters: Parameters = {}): Promise<Answer<R>> {
      const [method, pattern] = request.split(' ') as [string, string];
      const path =
        pattern.replace(/:(name|id)$|:name(?=\/)/, encodeURIComponent(parameters.name ?? '')) + queryOf(parameters.query);
      const response = await send(socketPath, method, path, parameters.body);
      const text = await bodyOf(socketPath, response);
      return answerOf(response.statusCode ?? 0, text) as Answer<R>;
    },
    async *stream(path, signal, onOpen) {
      let response: IncomingMessage;
      try {
        response = await send(socketPath, 'GET', path, undefined, signal);
      } catch (error) {
        // Whoever gave up before it began does not want to hear of it either.
        if (signal.aborted) return;
        throw error;
      }
      if (response.statusCode !== 200) answerOf(response.statusCode ?? 0, await bodyOf(socketPath, response));
      onOpen?.();
      // Whoever stops reading does not want to hear either how the daemon went away.
      response.on('error', () => {});
      try {
        for await (const line of linesOf(response)) yield JSON.parse(line) as DaemonEvent;
      } catch (error) {
        if (!signal.aborted) throw explainTransport(socketPath, error as NodeJS.ErrnoException);
      }
    },
  };
}

async function* linesOf(response: IncomingMessage): AsyncIterable<string> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop()!;
    yield* lines.filter((line) => line !== '');
  }
}

function queryOf(query: Readonly<Record<string, string>> | undefined): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? '' : `?${text}`;
}

async function send(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const own = rootSocketOf(socketPath);
  let socket = own ?? socketPath;
  for (const since = process.uptime(); ;) {
    try {
      return await sendOnce(socket, method, path, body, signal);
    } catch (error) {
      // None, or one of a daemon that has ended: the usual one says what is the matter.
      const { code } = error as NodeJS.ErrnoException;
      if (socket === own && (code === 'ENOENT' || code === 'ECONNREFUSED')) {
        socket = socketPath;
        continue;
      }
      // connect(2): a Unix socket that does not block is told so instead of waiting for its turn.
      const full = (error as NodeJS.ErrnoException).code === 'EAGAIN' && (process.uptime() - since) * 1000 < answerTimeout;
      if (!full || signal?.aborted === true) throw explainTransport(socketPath, error as NodeJS.ErrnoException);
      await wait(queueMs);
    }
  }
}

/** Root has a socket of its own beside the usual one. */
function rootSocketOf(socketPath: string): string | undefined {
  if (process.geteuid?.() !== 0 || basename(socketPath) !== basename(defaultSocketPath)) return undefined;
  return join(dirname(socketPath), rootSocketName);
}

async function sendOnce(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const payload = body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body);
  const type = body instanceof Uint8Array ? 'application/octet-stream' : 'application/json';
  const options: RequestOptions & { servername: string } = {
    socketPath,
    method,
    path,
    headers: {
      ...(payload !== undefined && { 'content-type': type, 'content-length': Buffer.byteLength(payload) }),
      // Polkit may ask this person for a password.
      ...(method !== 'GET' && canAsk() && { [interactiveHeader]: 'yes' }),
    },
    // It is a matter of TLS; Node would work one out, and look for an IPv6 address in "localhost" with an expression that takes 15 ms to compile.
    servername: '',
    // A stream may be silent for ever; without a word the agent would cut it off after five seconds.
    ...(signal ? { signal, timeout: 0 } : { timeout: answerTimeout }),
  };
  const request = httpRequest(options, resolve);
  request.on('timeout', () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
  request.on('error', (error: NodeJS.ErrnoException) => reject(error));
  request.end(payload);
  return await promise;
}

async function bodyOf(socketPath: string, response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  try {
    for await (const chunk of response) text += chunk as string;
  } catch (error) {
    throw explainTransport(socketPath, error as NodeJS.ErrnoException);
  }
  return text;
}

function answerOf(status: number, text: string): unknown {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new CommandError(
      ExitCode.failed,
      `the daemon answered something that is not JSON (HTTP ${status})`,
      'are the command and the daemon of the same version?',
    );
  }
  if (status >= 200 && status < 300) return answer;
  const { error } = answer as Partial<ErrorAnswer>;
  const exitCode = status === 403 ? ExitCode.notPermitted : status === 404 ? ExitCode.notFound : ExitCode.failed;
  throw new RefusedError(exitCode, error ?? { code: '', message: `HTTP ${status}`, cure: '' });
}

/** The daemon understood and refused. */
export class RefusedError extends CommandError {
  readonly answer: ErrorAnswer['error'];

  constructor(exitCode: number, answer: ErrorAnswer['error']) {
    super(exitCode, answer.code === '' ? answer.message : `${answer.message} [${answer.code}]`, answer.cure, answer.blocked);
    this.answer = answer;
  }
}

function explainTransport(socketPath: string, error: NodeJS.ErrnoException): Error {
  switch (error.code ?? '') {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new CommandError(
        ExitCode.noDaemon,
        `the daemon is not running (nothing listens on ${socketPath})`,
        'start it: systemctl start aovpn, or run aovpnd as root',
        blockedWithoutDaemon(socketPath),
      );
    case 'EACCES':
    case 'EPERM':
      return new CommandError(
        ExitCode.notPermitted,
        `you may not talk to the daemon on ${socketPath}`,
        'become root, or ask to be put into the group "aovpn"; docs/control-socket.md says who may do what',
        blockedWithoutDaemon(socketPath),
      );
    case 'ETIMEDOUT':
      return new CommandError(
        ExitCode.noDaemon,
        `the daemon did not answer within ${answerTimeout / 1000} s`,
        'look at its log: journalctl -u aovpn',
        blockedWithoutDaemon(socketPath),
      );
    case 'ECONNRESET':
    case 'EPIPE':
      return new CommandError(
        ExitCode.noDaemon,
        'the daemon went away in the middle of its answer',
        'look at its log: journalctl -u aovpn',
        blockedWithoutDaemon(socketPath),
      );
    default:
      return error;
  }
}
