import { constants } from 'node:crypto';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EapEvent, TlsFailure, TlsServerTrust } from '@aovpn/eap';
import { concat } from '@aovpn/bytes';
import type { Credential } from '../keys/credential.ts';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { alertFor, tlsFailureOf } from './tls-failure.ts';
import { receivedCertificates, verifyServer } from './verify-server.ts';

type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;

/**
 * Turns of the event loop without any news after which TLS has said everything. TLS itself runs synchronously inside of Node;
 * only handing octets and events on takes turns, one or two each.
 */
const quietTurns = 8;

/** EAP method type, the context of the TLS 1.3 exporter (RFC 9190 §2.3). */
const eapTlsType = Buffer.from([0x0d]);

/** One TLS handshake as client, over octets that somebody else carries. */
export class TlsConversation {
  readonly #trust: TlsServerTrust;
  readonly #roots: AnchorStore;
  readonly #now: () => Date;
  readonly #wire: Wire;
  readonly #socket: TLSSocket;
  readonly #said: Uint8Array[] = [];
  #secure = false;
  #verified = false;
  #established: TlsOutput['state'] | undefined;
  #failure: TlsFailure | undefined;
  #news = 0;
  #clientRandom: Uint8Array | undefined;
  #serverRandom: Uint8Array | undefined;

  constructor(credential: Credential, trust: TlsServerTrust, roots: AnchorStore, now: () => Date) {
    this.#trust = trust;
    this.#roots = roots;
    this.#now = now;
    this.#wire = new Wire(() => {
      this.#news++;
    });
    this.#socket = connect({
      socket: this.#wire,
      secureContext: credential.secureContext({
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.3',
        // strongSwan's TLS server does not know RFC 5746. What that guards against is renegotiation, and there is none here.
        secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT | constants.SSL_OP_NO_RENEGOTIATION,
      }),
      // The server is verified below, before a single octet of our answer leaves: Node cannot know the profile's roots and names.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    this.#socket.on('secureConnect', () => {
      this.#secure = true;
      this.#news++;
    });
    this.#socket.on('data', (data: Buffer) => {
      this.#said.push(new Uint8Array(data));
      this.#news++;
    });
    this.#socket.on('session', () => {
      this.#news++;
    });
    this.#socket.on('error', (error) => this.#fail(tlsFailureOf(error)));
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
    if (!this.#verified && !this.#failure && (this.#secure || receivedCertificates(this.#socket).length > 0)) {
      const failure = await verifyServer(this.#socket, this.#trust, this.#roots, this.#now());
      if (failure) {
        // What we would have said is dropped: who is not believed does not learn who we are.
        this.#failure = failure;
        this.#socket.destroy();
        return this.#output(request, alertFor(failure));
      }
      this.#verified = true;
    }
    if (this.#secure && this.#verified && !this.#failure) this.#established ??= this.#describe();
    return this.#output(request, records);
  }

  close(): void {
    this.#failure ??= { reason: 'protocol', detail: 'closed' };
    this.#socket.destroy();
    this.#wire.destroy();
  }

  #output(request: number, records: Uint8Array): TlsOutput {
    const applicationData = concat(...this.#said.splice(0));
    const state = this.#failure ? { kind: 'failed' as const, failure: this.#failure } : this.#established;
    return { kind: 'tls-output', request, records, state: state ?? { kind: 'handshaking' }, applicationData };
  }

  #describe(): TlsOutput['state'] {
    const protocol = this.#socket.getProtocol() ?? 'nothing';
    switch (protocol) {
      case 'TLSv1.2': {
        // RFC 5216 §2.3.
        const keys = exportWithoutContext(this.#socket, 128, 'client EAP encryption');
        const randoms = [this.#clientRandom ?? new Uint8Array(), this.#serverRandom ?? new Uint8Array()];
        return { kind: 'established', version: '1.2', msk: firstHalf(keys), sessionId: concat(eapTlsType, ...randoms) };
      }
      case 'TLSv1.3': {
        // RFC 9190 §2.3.
        const keys = this.#socket.exportKeyingMaterial(128, 'EXPORTER_EAP_TLS_Key_Material', eapTlsType);
        const methodId = this.#socket.exportKeyingMaterial(64, 'EXPORTER_EAP_TLS_Method-Id', eapTlsType);
        return { kind: 'established', version: '1.3', msk: firstHalf(keys), sessionId: concat(eapTlsType, methodId) };
      }
      default:
        return {
          kind: 'failed',
          failure: { reason: 'protocol', detail: `TLS came out as ${protocol}` },
        };
    }
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

/** TLS 1.2 tells no context from an empty one (RFC 5705 §4), and RFC 5216 has none; Node's types ask for one. */
function exportWithoutContext(socket: TLSSocket, length: number, label: string): Buffer {
  const exporter: { exportKeyingMaterial(length: number, label: string): Buffer } = socket as never;
  return exporter.exportKeyingMaterial(length, label);
}

/** The first 64 octets are the MSK, the others the EMSK, which nobody uses. */
function firstHalf(keys: Buffer): Uint8Array {
  const msk = Uint8Array.from(keys.subarray(0, 64));
  keys.fill(0);
  return msk;
}

/** The random of a ClientHello (1) or ServerHello (2) at the start of a flight: record and handshake header, version, random. */
function helloRandom(records: Uint8Array, type: 1 | 2): Uint8Array | undefined {
  return records[0] === 22 && records[5] === type && records.length >= 43 ? records.slice(11, 43) : undefined;
}
