import { toHex } from '@aovpn/bytes';
import { decodeHeader } from '../message/header.ts';
import type { IkeHeader, Payload } from '../message/payload.ts';
import { nameOfExchange } from '../registry/exchange.ts';
import { describePayloads, type DescribedPayload } from './describe-payload.ts';

/** One message as a trace shows it: what it was, what was made of it, and why. Never a key, a secret, or octets of the message. */
export interface MessageRecord {
  readonly direction: 'in' | 'out';
  /**
   * Ours: `sent`, or sent `again`. The peer's: `believed` (authentic), `unproven` (IKE_SA_INIT, which anybody can have sent), `fragment` (authentic, others
   * are missing), `refused` (authentic, and answered with an error), `repeated` (authentic, and answered as before), `dropped` (nothing came of it).
   */
  readonly outcome: 'sent' | 'again' | 'believed' | 'unproven' | 'fragment' | 'refused' | 'repeated' | 'dropped';
  /** Why it was refused or dropped. */
  readonly why?: string;
  /** Undefined when it was no IKEv2 message. */
  readonly header?: MessageRecordHeader;
  /** Octets of each datagram, without what is below IKE. */
  readonly octets: readonly number[];
  /** Which retransmission it is. */
  readonly attempt?: number;
  /** Of an answer: milliseconds since the request was sent for the first time. */
  readonly tookMs?: number;
  /** Put into words when somebody looks: the peer waits for what the same step sends. */
  readonly payloads: readonly DescribedPayload[];
}

export interface MessageRecordHeader {
  readonly spiI: string;
  readonly spiR: string;
  readonly exchange: string;
  readonly messageId: number;
  readonly response: boolean;
  /** The I flag: it comes from the original initiator of the IKE SA. */
  readonly fromInitiator: boolean;
}

export function recordHeader({ spiI, spiR, exchange, messageId, response, fromInitiator }: IkeHeader): MessageRecordHeader {
  return { spiI: toHex(spiI), spiR: toHex(spiR), exchange: nameOfExchange(exchange), messageId, response, fromInitiator };
}

/** One of ours, sent for the first time. */
export function recordSent(header: IkeHeader, payloads: readonly Payload[], datagrams: readonly Uint8Array[]): MessageRecord {
  return {
    direction: 'out',
    outcome: 'sent',
    header: recordHeader(header),
    octets: datagrams.map(({ length }) => length),
    get payloads() {
      return describePayloads(payloads);
    },
  };
}

/** One of ours, sent again octet for octet. */
export function recordAgain(datagrams: readonly Uint8Array[], attempt: number | undefined): MessageRecord {
  return {
    direction: 'out',
    outcome: 'again',
    ...headerOf(datagrams[0]),
    octets: datagrams.map(({ length }) => length),
    ...(attempt !== undefined && { attempt }),
    payloads: [],
  };
}

/** One of the peer's, or of somebody else. */
export function recordReceived(
  datagram: Uint8Array,
  outcome: MessageRecord['outcome'],
  more: { readonly payloads?: readonly Payload[] | undefined; readonly why?: string; readonly tookMs?: number | undefined } = {},
): MessageRecord {
  return {
    direction: 'in',
    outcome,
    ...headerOf(datagram),
    octets: [datagram.length],
    ...(more.why !== undefined && { why: more.why }),
    ...(more.tookMs !== undefined && { tookMs: more.tookMs }),
    get payloads() {
      return describePayloads(more.payloads ?? []);
    },
  };
}

function headerOf(datagram: Uint8Array | undefined): { readonly header?: MessageRecordHeader } {
  const header = datagram && decodeHeader(datagram);
  return header ? { header: recordHeader(header) } : {};
}
