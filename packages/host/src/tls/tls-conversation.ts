import { constants } from 'node:crypto';
import { Duplex } from 'node:stream';
import {
  connect,
  createSecureContext,
  type ConnectionOptions,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
  type TLSSocketOptions,
} from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { concat, equal } from '@aovpn/bytes';
import type { EapEvent, TlsChannel, TlsFailure, TlsKeying, TlsServerTrust } from '@aovpn/eap';
import type { Credential } from '../keys/credential.ts';
import { exportKeys } from './keying.ts';
import { overwrite, ticketLimit, type RememberedSession } from './session-cache.ts';
import { alertFor, onlyAlert, tlsFailureOf } from './tls-failure.ts';
import { receivedCertificates, verifyServer, type ServerJudge, type VerifiedServer } from './verify-server.ts';

type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;
type Established = Extract<TlsOutput['state'], { readonly kind: 'established' }>;

/**
 * Turns of the event loop without any news after which TLS has said everything. TLS itself runs synchronously inside of Node;
 * only handing octets and events on takes turns, one or two each.
 */
const quietTurns = 8;

export interface ConversationOptions {
  readonly channel: TlsChannel;
  readonly trust: TlsServerTrust;
  readonly keying: TlsKeying;
  /** From {@link openTlsContext}, for the same credential. */
  readonly context: SecureContext;
  /** Shown if the server asks; undefined: none is. */
  readonly credential: Credential | undefined;
  /** A session to offer; its chain has been judged anew. */
  readonly offer: (RememberedSession & { readonly server: Omit<VerifiedServer, 'channel' | 'resumed'> }) | undefined;
  readonly judge: ServerJudge;
  readonly onServer: ((server: VerifiedServer) => void) | undefined;
}

/** What OpenSSL needs to know before a connection: the key among it, so it takes a while. @throws {Error} where the key is gone, or OpenSSL does not take it */
export function openTlsContext(credential: Credential | undefined): SecureContext {
  const settings: SecureContextOptions = {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    // The server is judged below, never by OpenSSL. Left out, Node loads all of its own roots, which takes 30 ms the first time.
    ca: [],
    // strongSwan's TLS server does not know RFC 5746. What that guards against is renegotiation, and there is none here.
    secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT | constants.SSL_OP_NO_RENEGOTIATION,
  };
  return credential ? credential.secureContext(settings) : createSecureContext(settings);
}

/** One TLS connection as client, over octets that somebody else carries. */
export class TlsConversation {
  readonly #options: ConversationOptions;
  readonly #wire: Wire;
  readonly #socket: TLSSocket;
  readonly #said: Uint8Array[] = [];
  #secure = false;
  /** The chain that has been believed. What the connection shows must still be this when it counts. */
  #believed: readonly Uint8Array[] | undefined;
  #server: Omit<VerifiedServer, 'channel' | 'resumed'> | undefined;
  #established: Established | undefined;
  #failure: TlsFailure | undefined;
  #news = 0;
  #stapled: Uint8Array | undefined;
  /** Sessions that the server has given, and what is left of those before. */
  #sessions: Buffer[];
  #clientRandom: Uint8Array | undefined;
  #serverRandom: Uint8Array | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#wire = new Wire(() => {
      this.#news++;
    });
    const { context, credential, offer } = options;
    this.#sessions = offer ? [...offer.sessions] : [];
    const offered = this.#sessions.pop();
    const connection: ConnectionOptions & TLSSocketOptions = {
      socket: this.#wire,
      secureContext: context,
      ...(offered && { session: offered }),
      // RFC 9190 §5.4: the only word on revocation that needs no network.
      requestOCSP: true,
      // The server is verified below, before a single octet of our answer leaves: Node cannot know the profile's roots and names.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    };
    this.#socket = connect(connection);
    offered?.fill(0);
    this.#socket.on('secureConnect', () => {
      this.#secure = true;
      this.#news++;
    });
    this.#socket.on('data', (data: Buffer) => {
      this.#said.push(new Uint8Array(data));
      data.fill(0);
      this.#news++;
    });
    this.#socket.on('OCSPResponse', (response: Buffer | null) => {
      this.#stapled = response === null ? undefined : new Uint8Array(response);
    });
    this.#socket.on('session', (session: Buffer) => {
      this.#sessions.push(Buffer.from(session));
      // A server may send tickets without end; each holds its certificate as well.
      if (this.#sessions.length > ticketLimit) this.#sessions.shift()!.fill(0);
      this.#news++;
    });
    this.#socket.on('error', (error) => {
      const ours = credential?.takeFailure();
      this.#fail(ours ? { reason: 'no-client-certificate', detail: ours.message } : tlsFailureOf(error));
    });
    // A server may close TLS once it has said all it has to; before that it is a failure.
    for (const end of ['end', 'close'] as const) {
      this.#socket.on(end, () => {
        if (!this.#established) this.#fail({ reason: 'protocol', detail: 'the server has closed TLS' });
      });
    }
  }

  /** Hands in what the server sent (nothing at the start) and gives back all that TLS says to it. */
  async exchange(request: number, input: Uint8Array | undefined): Promise<TlsOutput> {
    if (input) {
      this.#serverRandom ??= helloRandom(input, 2);
      this.#wire.push(Buffer.from(input));
    }
    await this.#quiet();
    const records = this.#wire.takeWritten();
    this.#clientRandom ??= helloRandom(records, 1);
    // As soon as there is a certificate: with TLS 1.2 our own follows it in the clear, long before the handshake ends.
    if (input && !this.#established && !this.#failure) {
      const failure = await this.#judgeServer();
      if (failure) {
        // What we would have said is dropped: who is not believed does not learn who we are.
        this.#failure = failure;
        this.#socket.destroy();
        return this.#output(request, alertFor(failure));
      }
    }
    if (this.#secure && !this.#failure && !this.#established) this.#establish();
    // OpenSSL answers a flight before it reads what comes behind it: a failure can lie above our certificate for an impostor.
    return this.#output(request, this.#failure && !this.#established ? onlyAlert(records) : records);
  }

  /** Encrypts application data and gives back its records. Nothing is taken before the server has proven itself. */
  async write(request: number, data: Uint8Array): Promise<TlsOutput> {
    if (!this.#established) this.#failure ??= { reason: 'protocol', detail: 'TLS is not established' };
    if (this.#failure) return this.#output(request, new Uint8Array());
    const copy = Buffer.from(data);
    this.#socket.write(copy);
    await this.#quiet();
    copy.fill(0);
    return this.#output(request, this.#wire.takeWritten());
  }

  /** Sessions that could be resumed, with the chain that stands for them; undefined when there are none. */
  takeSessions(): RememberedSession | undefined {
    if (!this.#established || this.#failure || !this.#believed) return undefined;
    const sessions = this.#sessions;
    this.#sessions = [];
    // With TLS 1.3 only a ticket resumes, and each only once; with TLS 1.2 what was resumed can be resumed again.
    const own = this.#established.version === '1.2' && sessions.length === 0 ? this.#socket.getSession() : undefined;
    if (own) sessions.push(Buffer.from(own));
    return sessions.length > 0 ? { sessions, certificates: this.#believed } : undefined;
  }

  close(): void {
    this.#failure ??= { reason: 'protocol', detail: 'closed' };
    overwrite({ sessions: this.#sessions, certificates: [] });
    this.#established?.keyMaterial.fill(0);
    this.#established?.challenge?.fill(0);
    for (const data of this.#said.splice(0)) data.fill(0);
    this.#socket.destroy();
    this.#wire.destroy();
  }

  /** Undefined when the server is believed, or has shown nothing yet that could be. */
  async #judgeServer(): Promise<TlsFailure | undefined> {
    const { offer, trust, judge } = this.#options;
    // Node describes each certificate at length, so the others are asked for only where they are needed.
    const [shown] = receivedCertificates(this.#socket, 'first');
    if (offer && this.#socket.isSessionReused()) {
      // Possession of the session's secret is the proof, and our side of it was remembered with this chain. Node shows none now.
      const isOther = shown !== undefined && !sameOctets(shown, offer.certificates[0]);
      if (isOther) return unbelievable('the resumed session is of another server');
      this.#believed = offer.certificates;
      this.#server = offer.server;
      return undefined;
    }
    if (!shown) return this.#secure ? unbelievable('the RADIUS server showed no certificate') : undefined;
    if (sameOctets(shown, this.#believed?.[0])) return undefined;
    let certificates = receivedCertificates(this.#socket);
    // Until the server has refused an offered session, the connection shows the certificate of that one, without its issuers. It
    // is judged like any other; what the connection shows at its end is compared once more.
    if (offer && sameOctets(certificates[0], offer.certificates[0]))
      certificates = [...certificates, ...offer.certificates.slice(1)];
    const verdict = await verifyServer({ certificates, stapled: this.#stapled, trust }, judge);
    if (verdict.kind === 'refused') return verdict.failure;
    this.#believed = certificates;
    this.#server = verdict.server;
    return undefined;
  }

  #output(request: number, records: Uint8Array): TlsOutput {
    const applicationData = concat(...this.#said);
    for (const data of this.#said.splice(0)) data.fill(0);
    const state = this.#failure ? { kind: 'failed' as const, failure: this.#failure } : this.#state();
    return { kind: 'tls-output', request, records, state, applicationData };
  }

  /** With copies of the keys: whoever gets them overwrites them. */
  #state(): TlsOutput['state'] {
    const established = this.#established;
    if (!established) return { kind: 'handshaking' };
    const { keyMaterial, challenge } = established;
    return { ...established, keyMaterial: keyMaterial.slice(), ...(challenge && { challenge: challenge.slice() }) };
  }

  #establish(): void {
    const resumed = this.#options.offer !== undefined && this.#socket.isSessionReused();
    // What the server has refused once it will refuse again.
    if (!resumed) {
      const { sessions = [] } = this.#options.offer ?? {};
      this.#sessions = this.#sessions.filter((session) => !sessions.includes(session));
      for (const session of sessions) session.fill(0);
    }
    const [shown] = receivedCertificates(this.#socket, 'first');
    const isBelieved = this.#believed !== undefined && (sameOctets(shown, this.#believed[0]) || (resumed && shown === undefined));
    if (!this.#server || !isBelieved) {
      this.#failure = unbelievable('the RADIUS server has exchanged its certificate');
      this.#socket.destroy();
      return;
    }
    const randoms = [this.#clientRandom ?? new Uint8Array(), this.#serverRandom ?? new Uint8Array()] as const;
    const keys = exportKeys(this.#socket, this.#options.keying, randoms);
    if (!keys) {
      const detail = `TLS came out as ${this.#socket.getProtocol() ?? 'nothing'}`;
      this.#failure = { reason: 'protocol', detail };
      return;
    }
    this.#established = { kind: 'established', resumed, ...keys };
    this.#options.onServer?.({ ...this.#server, channel: this.#options.channel, resumed });
  }

  /** Waits until nothing has happened for some turns of the event loop and TLS has taken all its input. */
  async #quiet(): Promise<void> {
    for (let turns = 0, seen = this.#news; turns < quietTurns; turns++) {
      await nextTurn();
      if (seen !== this.#news || (this.#wire.readableLength > 0 && !this.#failure)) {
        seen = this.#news;
        turns = -1;
      }
    }
  }

  #fail(failure: TlsFailure): void {
    this.#failure ??= failure;
    this.#news++;
  }
}

/** Where TLS writes its records and reads those of the server. */
class Wire extends Duplex {
  readonly #written: Uint8Array[] = [];
  readonly #onWrite: () => void;

  constructor(onWrite: () => void) {
    super();
    this.#onWrite = onWrite;
  }

  takeWritten(): Uint8Array {
    return concat(...this.#written.splice(0));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#written.push(Uint8Array.from(chunk));
    this.#onWrite();
    done();
  }

  override _read(): void {
    // Input is pushed when it comes.
  }
}

function unbelievable(detail: string): TlsFailure {
  return { reason: 'untrusted', detail };
}

function sameOctets(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && equal(a, b);
}

/** The random of a ClientHello (1) or ServerHello (2) at the start of a flight: record and handshake header, version, random. */
function helloRandom(records: Uint8Array, type: 1 | 2): Uint8Array | undefined {
  return records[0] === 22 && records[5] === type && records.length >= 43 ? records.slice(11, 43) : undefined;
}
