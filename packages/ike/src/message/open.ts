import { concat, Reader } from '@aovpn/bytes';
import type { IkeCrypto } from '../crypto/port.ts';
import { describeError, type IkeProtocolError } from '../registry/error.ts';
import { ExchangeType, nameOfExchange } from '../registry/exchange.ts';
import { PayloadType } from '../registry/payload-type.ts';
import { decodeHeader, ikeHeaderLength, payloadHeaderLength, type DecodedHeader } from './header.ts';
import { intermediateOctets } from './intermediate-octets.ts';
import { MalformedError } from './malformed.ts';
import { decodePayloads } from './payload-chain.ts';
import type { IkeHeader, Message } from './payload.ts';
import { unprotect } from './protection.ts';
import { addFragment, withoutFragmentsOf, type Reassembly } from './reassembly.ts';
import { fragmentHeaderLength } from './seal.ts';
import type { DirectionKeys, IkeSuite } from './suite.ts';

export interface OpenContext {
  /** Both undefined until the IKE SA has keys. */
  readonly suite?: IkeSuite | undefined;
  /** Those of the direction from which the datagram comes. */
  readonly keys?: DirectionKeys | undefined;
  readonly reassembly: Reassembly;
}

/** What a datagram turned out to be. Whether it was authenticated is part of the answer. */
export type OpenOutcome =
  /** `protected`: authenticated by the SA's keys. Without it, only IKE_SA_INIT or IKE_SESSION_RESUME, which anybody can have sent. */
  | {
      readonly kind: 'message';
      readonly message: Message;
      readonly protected: boolean;
      readonly reassembly: Reassembly;
      /** Of IKE_INTERMEDIATE only: what AUTH covers of it, see {@link intermediateOctets}. */
      readonly authenticated?: Uint8Array;
    }
  /** An authenticated fragment; others are missing. */
  | { readonly kind: 'partial'; readonly reassembly: Reassembly }
  /** Not authentic, not readable, or of no use: never believed and never answered. State stays as it was. */
  | { readonly kind: 'ignore'; readonly why: string }
  /** Authenticated, but malformed or with a critical payload that we do not know: if it is a request, it is answered with the error. */
  | { readonly kind: 'refuse'; readonly header: IkeHeader; readonly error: IkeProtocolError; readonly reassembly: Reassembly };

/**
 * Makes of a datagram (without non-ESP marker) what can be believed of it. SPIs and message IDs are for the caller to compare.
 * Never throws for anything that a peer can send.
 */
export function openDatagram(crypto: IkeCrypto, datagram: Uint8Array, context: OpenContext): OpenOutcome {
  // A copy of our own: the host may reuse its buffer, and a Buffer's slices are views.
  const octets = Uint8Array.from(datagram);
  const decoded = decodeHeader(octets);
  if (!decoded) return { kind: 'ignore', why: 'not an IKEv2 message' };
  const at = encryptedPayloadAt(octets, decoded);
  const encrypted = at !== undefined;
  // RFC 7296 §1.2, §3.14, RFC 5723 §4.3.2: what begins an IKE SA is never encrypted, everything after it always.
  const begins = decoded.exchange === ExchangeType.IKE_SA_INIT || decoded.exchange === ExchangeType.IKE_SESSION_RESUME;
  if (encrypted === begins) {
    return { kind: 'ignore', why: `${encrypted ? 'encrypted' : 'unprotected'} ${nameOfExchange(decoded.exchange)}` };
  }
  const header = headerOf(decoded);
  if (!encrypted) {
    const chain = decodePayloads(decoded.nextPayload, octets.subarray(ikeHeaderLength));
    if ('error' in chain) return { kind: 'ignore', why: `unprotected and wrong: ${describeError(chain.error)}` };
    return { kind: 'message', message: { header, payloads: chain.payloads }, protected: false, reassembly: context.reassembly };
  }
  if (!context.suite || !context.keys) return { kind: 'ignore', why: 'encrypted before there are keys' };
  try {
    return openEncrypted(crypto, octets, decoded, at, context.suite, context.keys, context.reassembly);
  } catch (problem) {
    if (!(problem instanceof MalformedError)) throw problem;
    return { kind: 'refuse', header, error: problem.error, reassembly: withoutFragmentsOf(context.reassembly, header) };
  }
}

/**
 * Where the encrypted payload is, SK or SKF: the first one, but for the solution of a puzzle, which stands before it (RFC 8019 §7.2.2).
 * undefined without one.
 */
function encryptedPayloadAt(octets: Uint8Array, { nextPayload, exchange }: DecodedHeader): number | undefined {
  let at = ikeHeaderLength;
  let type = nextPayload;
  if (type === PayloadType.PS && exchange === ExchangeType.IKE_AUTH && octets.length >= at + payloadHeaderLength) {
    type = octets[at]!;
    at += Math.max(payloadHeaderLength, (octets[at + 2]! << 8) | octets[at + 3]!);
  }
  return type === PayloadType.SK || type === PayloadType.SKF ? at : undefined;
}

function openEncrypted(
  crypto: IkeCrypto,
  octets: Uint8Array,
  decoded: DecodedHeader,
  at: number,
  suite: IkeSuite,
  keys: DirectionKeys,
  reassembly: Reassembly,
): OpenOutcome {
  const header = headerOf(decoded);
  const inClear = octets.slice(ikeHeaderLength, at);
  const isFragment = (inClear[0] ?? decoded.nextPayload) === PayloadType.SKF;
  const prefixLength = at + payloadHeaderLength + (isFragment ? fragmentHeaderLength : 0);
  if (octets.length < prefixLength) return { kind: 'ignore', why: 'encrypted payload shorter than its header' };
  const reader = new Reader(octets.subarray(at, prefixLength), 'encrypted payload');
  const first = reader.u8();
  reader.u8();
  // RFC 7296 §3.14: the encrypted payload is the last one.
  if (reader.u16() !== octets.length - at) return { kind: 'ignore', why: 'encrypted payload does not fill the message' };

  const opened = unprotect(crypto, suite, keys, octets.subarray(0, prefixLength), octets.subarray(prefixLength));
  if (!opened) return { kind: 'ignore', why: 'integrity check failed' };
  // What stood before it was authenticated with it, and from here on is the first of its payloads.
  const nextPayload = inClear.length > 0 ? PayloadType.PS : first;
  if (inClear.length > 0) inClear[0] = first;
  const payloads = inClear.length > 0 ? concat(inClear, opened) : opened;
  const complete = (firstType: number, inner: Uint8Array, rest: Reassembly): OpenOutcome => {
    const outcome = finish(header, firstType, inner, rest);
    if (outcome.kind !== 'message' || decoded.exchange !== ExchangeType.IKE_INTERMEDIATE) return outcome;
    return {
      ...outcome,
      authenticated: intermediateOctets(octets.subarray(0, ikeHeaderLength), firstType, isFragment ? 0 : octets[at + 1]!, inner),
    };
  };
  if (!isFragment) return complete(nextPayload, payloads, withoutFragmentsOf(reassembly, header));

  const outcome = addFragment(reassembly, header, { number: reader.u16(), total: reader.u16(), nextPayload, part: payloads });
  return outcome.kind === 'complete' ? complete(outcome.firstType, outcome.payloads, outcome.reassembly) : outcome;
}

function finish(header: IkeHeader, firstType: number, payloads: Uint8Array, reassembly: Reassembly): OpenOutcome {
  const chain = decodePayloads(firstType, payloads);
  if ('error' in chain) return { kind: 'refuse', header, error: chain.error, reassembly };
  return { kind: 'message', message: { header, payloads: chain.payloads }, protected: true, reassembly };
}

function headerOf(decoded: DecodedHeader): IkeHeader {
  const { nextPayload: _, length: __, ...header } = decoded;
  return header;
}
