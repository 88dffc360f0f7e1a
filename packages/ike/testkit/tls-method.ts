import type { EapAction, EapEvent } from '@aovpn/eap';
import { eap } from './ms-chap-server.ts';

/** What speaks for the gateway in EAP: a server of one method. */
export interface EapServer {
  /** undefined: begin. */
  answer(packet: Uint8Array | undefined): Uint8Array;
  readonly msk: Uint8Array | undefined;
}

const code = { request: 1, success: 3, failure: 4 } as const;
const start = 0x20;

/** 128 octets that both ends would have exported from TLS. */
const keyMaterial: Uint8Array = Uint8Array.from({ length: 128 }, (_, i) => i);

/**
 * EAP-TLS as a server sees it, with one octet of "TLS" in each direction and version 1.2 (RFC 5216 §2.1): the machine does not look
 * inside of TLS.
 */
export class TlsServer implements EapServer {
  readonly heard: Uint8Array[] = [];
  msk: Uint8Array | undefined;
  readonly #type: number;
  #identifier = 0;
  #rounds = 0;

  constructor(type = 13) {
    this.#type = type;
  }

  answer(packet: Uint8Array | undefined): Uint8Array {
    if (packet) this.heard.push(packet);
    this.#identifier++;
    switch (this.#rounds++) {
      case 0:
        return eap(code.request, this.#identifier, Uint8Array.of(1));
      case 1:
        return eap(code.request, this.#identifier, Uint8Array.of(this.#type, start));
      case 2:
        return eap(code.request, this.#identifier, Uint8Array.of(this.#type, 0, 2));
      default:
        this.msk = keyMaterial.slice(0, 64);
        // The identifier of the Response (RFC 3748 §4.2).
        return eap(code.success, packet![1]!, new Uint8Array(0));
    }
  }
}

/** The host's TLS engine for {@link TlsServer}: established after one answer, unless it does not believe the server. */
export function fakeTls(believes: () => boolean): (action: EapAction) => EapEvent | undefined {
  return (action) => {
    if (action.kind !== 'tls-start' && action.kind !== 'tls-input') return undefined;
    const none = new Uint8Array(0);
    const output = { kind: 'tls-output', request: action.request, applicationData: none } as const;
    if (action.kind === 'tls-start') return { ...output, records: Uint8Array.of(1), state: { kind: 'handshaking' } };
    if (!believes())
      return {
        ...output,
        records: Uint8Array.of(21),
        state: { kind: 'failed', failure: { reason: 'untrusted', detail: 'nobody we know' } },
      };
    return {
      ...output,
      records: none,
      state: {
        kind: 'established',
        version: '1.2',
        resumed: false,
        keyMaterial: keyMaterial.slice(),
        sessionId: Uint8Array.of(13),
      },
    };
  };
}
