import type { Identity, Message, TrafficSelector } from '../src/message/payload.ts';
import { ikeSuiteOf } from '../src/message/proposal.ts';
import { emptyReassembly, type Reassembly } from '../src/message/reassembly.ts';
import type { DirectionKeys, IkeSuite } from '../src/message/suite.ts';

/** The responder's view of one IKE SA. */
export interface ResponderIke {
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
  /** Whether this responder began the exchange that made it. */
  readonly initiator: boolean;
  readonly suite: IkeSuite;
  /** IKE_INTERMEDIATE and a PPK change these. */
  send: DirectionKeys;
  receive: DirectionKeys;
  skD: Uint8Array;
  skPi: Uint8Array;
  skPr: Uint8Array;
  /** Who both sides are, once they are authenticated. */
  identities: { readonly own: Identity; readonly client: Identity } | undefined;
  /** Made from a ticket. */
  resumed: boolean;
  nextRequest: number;
  nextExpected: number;
  reassembly: Reassembly;
  answer: readonly Uint8Array[];
  /** The request that changed the keys, or its last fragment. */
  asked: Uint8Array | undefined;
  outstanding:
    | {
        readonly messageId: number;
        readonly datagrams: readonly Uint8Array[];
        readonly done: (message: Message) => void;
        readonly about: Asking;
      }
    | undefined;
  deleting: boolean;
  gone: boolean;
}

/**
 * What a request of the responder is about, with the lower nonce of what the peer does to the very same SA meanwhile (RFC 7296 §2.8.1, §2.8.2).
 * It is forgotten with the request: a rekey of what came of a rival is no rival.
 */
export type Asking =
  | { readonly kind: 'rekey-child'; readonly old: number; rival: Uint8Array | undefined }
  | { readonly kind: 'rekey-ike'; rival: Uint8Array | undefined }
  | { readonly kind: 'follow-up' }
  | { readonly kind: 'delete-child'; readonly spiIn: number }
  | { readonly kind: 'other' };

/** The responder's view of one CHILD_SA. */
export interface ResponderChild {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly inbound: DirectionKeys;
  readonly outbound: DirectionKeys;
  /** The client's side and ours. */
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
}

/** One without history. */
export function freshIke(
  spis: { readonly spiI: Uint8Array; readonly spiR: Uint8Array },
  suite: IkeSuite,
  send: DirectionKeys,
  receive: DirectionKeys,
  { skD, skPi, skPr }: { readonly skD: Uint8Array; readonly skPi: Uint8Array; readonly skPr: Uint8Array },
  initiator: boolean,
): ResponderIke {
  return {
    ...spis,
    initiator,
    suite: ikeSuiteOf(suite),
    send,
    receive,
    skD,
    skPi,
    skPr,
    identities: undefined,
    resumed: false,
    nextRequest: 0,
    nextExpected: 0,
    reassembly: emptyReassembly,
    answer: [],
    asked: undefined,
    outstanding: undefined,
    deleting: false,
    gone: false,
  };
}
