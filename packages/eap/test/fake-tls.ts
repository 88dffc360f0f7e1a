import { concat } from '@aovpn/bytes';
import type { EapAction, EapEvent, TlsChannel } from '../src/peer-contract.ts';

type TlsAction = Extract<EapAction, { readonly kind: 'tls-start' | 'tls-input' | 'tls-write' | 'tls-close' }>;
type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;

const none = new Uint8Array();

/** First octet of a record of the play TLS, and what the engine makes of it. Nothing is encrypted. */
export const record = {
  /** ClientHello and every other flight of the client. */
  client: Uint8Array.of(0x16, 1),
  /** A flight of the server in the middle of the handshake. */
  server: Uint8Array.of(0x16, 2),
  /** The server's last flight, TLS being established then; TLS 1.3 lets the client finish after it. A data record may follow. */
  finished: Uint8Array.of(0x16, 3),
  /** The same, with the session of before. */
  resumed: Uint8Array.of(0x16, 4),
  ticket: Uint8Array.of(0x14),
  alert: Uint8Array.of(0x15),
  data: (data: Uint8Array): Uint8Array => concat(Uint8Array.of(0x17), data),
} as const;

export interface FakeTlsOptions {
  readonly version?: '1.2' | '1.3';
  /** Octets by which the client's flights in the middle of a handshake are longer, on one channel. */
  readonly longFlight?: { readonly channel: TlsChannel; readonly octets: number };
  readonly challenge?: Uint8Array;
}

/** A TLS engine whose every answer is known beforehand. */
export class FakeTls {
  readonly starts: Extract<TlsAction, { kind: 'tls-start' }>[] = [];
  readonly closes: { readonly channel: TlsChannel; readonly remember: boolean }[] = [];
  readonly written: Uint8Array[] = [];
  readonly options: FakeTlsOptions;

  constructor(options: FakeTlsOptions = {}) {
    this.options = options;
  }

  /** What TLS exports on a channel; no two octets of it are alike. */
  static keyMaterial(channel: TlsChannel): Uint8Array {
    return Uint8Array.from({ length: 128 }, (_, index) => (channel === 'outer' ? index : 255 - index));
  }

  handle(action: TlsAction): TlsOutput | undefined {
    switch (action.kind) {
      case 'tls-start':
        this.starts.push(action);
        return this.#output(action.request, record.client, { kind: 'handshaking' });
      case 'tls-input':
        return this.#input(action);
      case 'tls-write':
        // A copy: the peer overwrites what it gave.
        this.written.push(action.data.slice());
        return this.#output(action.request, record.data(action.data), this.#established(action.channel, false));
      case 'tls-close':
        this.closes.push({ channel: action.channel, remember: action.remember });
        return undefined;
    }
  }

  #input({ request, channel, records }: Extract<TlsAction, { kind: 'tls-input' }>): TlsOutput {
    const finished = this.options.version === '1.3' ? record.client : none;
    if (records[0] === 0x16 && records[1] === 2) {
      const { longFlight } = this.options;
      const more = longFlight?.channel === channel ? longFlight.octets : 0;
      return this.#output(request, concat(record.client, new Uint8Array(more)), { kind: 'handshaking' });
    }
    if (records[0] === 0x16 && records[1] === 3)
      return this.#output(request, finished, this.#established(channel, false), records.slice(3));
    if (records[0] === 0x16) return this.#output(request, record.client, this.#established(channel, true));
    if (records[0] === 0x17) return this.#output(request, none, this.#established(channel, false), records.slice(1));
    if (records[0] === 0x14) return this.#output(request, none, this.#established(channel, false));
    const failure = { reason: 'untrusted', detail: 'the play TLS does not like it' } as const;
    return this.#output(request, record.alert, { kind: 'failed', failure });
  }

  #established(channel: TlsChannel, resumed: boolean): TlsOutput['state'] {
    const { version = '1.2', challenge } = this.options;
    const keyMaterial = FakeTls.keyMaterial(channel);
    return { kind: 'established', version, resumed, keyMaterial, sessionId: none, ...(challenge && { challenge }) };
  }

  #output(request: number, records: Uint8Array, state: TlsOutput['state'], applicationData = none): TlsOutput {
    return { kind: 'tls-output', request, records, state, applicationData };
  }
}
