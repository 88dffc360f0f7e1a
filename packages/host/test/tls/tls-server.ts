import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createSecureContext, Server, type SecureContextOptions, type SecureVersion, type TLSSocket } from 'node:tls';
import { concat } from '@aovpn/bytes';
import type { EapAction, EapEvent, TlsChannel, TlsKeying, TlsServerTrust } from '@aovpn/eap';
import type { TlsEngine } from '../../src/tls/tls-engine.ts';
import type { TestCertificate } from '../trust/test-pki.ts';

export interface TestServerOptions {
  readonly certificate: TestCertificate;
  readonly chain?: readonly TestCertificate[];
  readonly version: SecureVersion;
  /** Authorities of clients; given: a client certificate is demanded. */
  readonly clientRoots?: readonly TestCertificate[];
  readonly ocsp?: Uint8Array;
  /** Shared by servers that are to resume each other's sessions. */
  readonly ticketKeys?: Buffer;
  /** TLS 1.2: sessions by identifier and no tickets. */
  readonly withoutTickets?: boolean;
  readonly settings?: SecureContextOptions;
}

export type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;

/** A TLS server by Node, which speaks octets. Its other end does what `answer` says, as an EAP server would. */
export class TestServer {
  readonly #server: Server;
  readonly #sessions = new Map<string, Buffer>();
  readonly received: Uint8Array[] = [];
  problem: string | undefined;
  connection: TLSSocket | undefined;

  constructor(options: TestServerOptions, sessions?: Map<string, Buffer>) {
    if (sessions) this.#sessions = sessions;
    const context = {
      cert: [options.certificate, ...(options.chain ?? [])].map(({ pem }) => pem).join(''),
      key: options.certificate.key,
      minVersion: options.version,
      maxVersion: options.version,
      sessionIdContext: 'test',
      ...(options.clientRoots && { ca: options.clientRoots.map(({ pem }) => pem) }),
      ...(options.ticketKeys && { ticketKeys: options.ticketKeys }),
      ...options.settings,
      ...(options.withoutTickets === true && { secureOptions: 0x4000 }),
    };
    createSecureContext(context);
    this.#server = new Server({
      ...context,
      requestCert: options.clientRoots !== undefined,
      rejectUnauthorized: options.clientRoots !== undefined,
    });
    const { ocsp } = options;
    if (ocsp) {
      this.#server.on('OCSPRequest', (_certificate, _issuer, done: (error: null, response: Buffer) => void) =>
        done(null, Buffer.from(ocsp)),
      );
    }
    if (options.withoutTickets === true) {
      this.#server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
        this.#sessions.set(id.toString('hex'), data);
        done();
      });
      this.#server.on('resumeSession', (id: Buffer, done: (error: null, data: Buffer | null) => void) =>
        done(null, this.#sessions.get(id.toString('hex')) ?? null),
      );
    }
    this.#server.on('tlsClientError', (error) => (this.problem ??= error.message));
    this.#server.on('secureConnection', (socket) => {
      this.connection = socket;
      socket.on('data', (data) => this.received.push(Uint8Array.from(data)));
      socket.on('error', (error) => (this.problem ??= error.message));
    });
  }

  get sessions(): Map<string, Buffer> {
    return this.#sessions;
  }

  connect(): (records: Uint8Array) => Promise<Uint8Array> {
    const written: Uint8Array[] = [];
    const wire = new Duplex({
      write: (chunk: Buffer, _, done) => {
        written.push(Uint8Array.from(chunk));
        done();
      },
      read: () => undefined,
    });
    wire.on('error', () => undefined);
    this.#server.emit('connection', wire);
    return async (records) => {
      if (records.length > 0) wire.push(Buffer.from(records));
      for (let i = 0; i < 40; i++) await nextTurn();
      return concat(...written.splice(0));
    };
  }

  export(length: number, label: string, context?: Uint8Array): Uint8Array {
    const socket = this.connection as unknown as {
      exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer;
    };
    return Uint8Array.from(
      context === undefined
        ? socket.exportKeyingMaterial(length, label)
        : socket.exportKeyingMaterial(length, label, Buffer.from(context)),
    );
  }
}

export interface StartOptions {
  readonly trust: TlsServerTrust;
  readonly keying: TlsKeying;
  readonly channel?: TlsChannel;
  readonly clientCertificate?: boolean;
  readonly resume?: boolean;
}

export interface Run {
  readonly output: TlsOutput;
  /** All that the engine sent. */
  readonly sent: Uint8Array;
  readonly exchange: (records: Uint8Array) => Promise<Uint8Array>;
}

let requests = 0;

/** Runs the engine against a server until the handshake is over, and lets the server finish. */
export async function handshake(engine: TlsEngine, server: TestServer, options: StartOptions): Promise<Run> {
  const exchange = server.connect();
  const channel = options.channel ?? 'outer';
  const start: EapAction = {
    kind: 'tls-start',
    request: ++requests,
    channel,
    trust: options.trust,
    keying: options.keying,
    clientCertificate: options.clientCertificate ?? false,
    resume: options.resume ?? false,
  };
  let output = await handle(engine, start);
  const sent: Uint8Array[] = [output.records];
  for (let flights = 0; flights < 8; flights++) {
    const answer = await exchange(output.records);
    if (answer.length === 0) break;
    output = await handle(engine, { kind: 'tls-input', request: ++requests, channel, records: answer });
    sent.push(output.records);
    if (output.state.kind === 'failed') {
      await exchange(output.records);
      break;
    }
  }
  return { output, sent: concat(...sent), exchange };
}

export async function handle(engine: TlsEngine, action: Parameters<TlsEngine['handle']>[0]): Promise<TlsOutput> {
  const event = await engine.handle(action);
  if (event?.kind !== 'tls-output') throw new Error(`${action.kind} was answered with ${event?.kind ?? 'nothing'}`);
  return event;
}

export async function write(engine: TlsEngine, run: Run, text: string, channel: TlsChannel = 'outer'): Promise<TlsOutput> {
  const data = new TextEncoder().encode(text);
  const output = await handle(engine, { kind: 'tls-write', request: ++requests, channel, data });
  await run.exchange(output.records);
  return output;
}

export async function read(
  engine: TlsEngine,
  run: Run,
  server: TestServer,
  text: string,
  channel: TlsChannel = 'outer',
): Promise<string> {
  server.connection?.write(text);
  const records = await run.exchange(new Uint8Array());
  const output = await handle(engine, { kind: 'tls-input', request: ++requests, channel, records });
  return Buffer.from(output.applicationData).toString();
}
