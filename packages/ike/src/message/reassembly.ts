import { concat } from '@aovpn/bytes';
import { maxFragments, maxReassembledLength } from './limit.ts';
import type { IkeHeader } from './payload.ts';

/**
 * Authenticated fragments of messages that are not complete yet (RFC 7383 §2.6): at most one request and one response of the peer.
 * An immutable value; whoever holds an older one still has it as it was.
 */
export interface Reassembly {
  readonly request?: PendingMessage;
  readonly response?: PendingMessage;
}

export interface PendingMessage {
  readonly exchange: number;
  readonly messageId: number;
  readonly total: number;
  /** Type of the first payload; known once the first fragment is there. */
  readonly firstType: number | undefined;
  /** By fragment number less one. */
  readonly parts: readonly (Uint8Array | undefined)[];
  /** Octets in `parts`. */
  readonly length: number;
}

/** One fragment, already authenticated and decrypted. */
export interface Fragment {
  readonly number: number;
  readonly total: number;
  /** Next Payload of the SKF payload. */
  readonly nextPayload: number;
  readonly part: Uint8Array;
}

export type FragmentOutcome =
  | { readonly kind: 'complete'; readonly firstType: number; readonly payloads: Uint8Array; readonly reassembly: Reassembly }
  | { readonly kind: 'partial'; readonly reassembly: Reassembly }
  | { readonly kind: 'ignore'; readonly why: string };

/** No fragments. */
export const emptyReassembly: Reassembly = {};

/** Takes in one fragment by the rules of RFC 7383 §2.6, within our own limits. */
export function addFragment(reassembly: Reassembly, header: IkeHeader, fragment: Fragment): FragmentOutcome {
  const { number, total, nextPayload, part } = fragment;
  if (number === 0 || number > total) return { kind: 'ignore', why: `fragment ${number} of ${total}` };
  if (total > maxFragments) return { kind: 'ignore', why: `${total} fragments are more than we take` };
  if (number > 1 && nextPayload !== 0) return { kind: 'ignore', why: `fragment ${number} names a first payload` };

  const held = reassembly[slotOf(header)];
  if (held && header.messageId < held.messageId)
    return { kind: 'ignore', why: `fragment of the older message ${header.messageId}` };
  let pending: PendingMessage = {
    exchange: header.exchange,
    messageId: header.messageId,
    total,
    firstType: undefined,
    parts: Array.from<undefined>({ length: total }),
    length: 0,
  };
  if (held && held.messageId === header.messageId) {
    if (held.exchange !== header.exchange)
      return { kind: 'ignore', why: 'fragment of another exchange with the same message ID' };
    if (total < held.total) return { kind: 'ignore', why: `fragment of ${total} after fragments of ${held.total}` };
    // More and smaller fragments than before: the sender found the path narrower, and what we have is void.
    if (total === held.total) pending = held;
  }
  if (pending.parts[number - 1]) return { kind: 'ignore', why: `fragment ${number} came before` };
  if (pending.length + part.length > maxReassembledLength) return { kind: 'ignore', why: 'the message is larger than we take' };

  pending = {
    ...pending,
    firstType: number === 1 ? nextPayload : pending.firstType,
    parts: pending.parts.with(number - 1, part),
    length: pending.length + part.length,
  };
  const parts = pending.parts.filter((candidate) => candidate !== undefined);
  if (parts.length < total || pending.firstType === undefined) {
    return { kind: 'partial', reassembly: { ...reassembly, [slotOf(header)]: pending } };
  }
  const payloads = concat(...parts);
  return { kind: 'complete', firstType: pending.firstType, payloads, reassembly: withoutFragmentsOf(reassembly, header) };
}

/** After the message has come, whole or put together, its fragments are of no use. Those of a later message stay. */
export function withoutFragmentsOf(reassembly: Reassembly, header: IkeHeader): Reassembly {
  const slot = slotOf(header);
  const held = reassembly[slot];
  if (!held || held.messageId > header.messageId) return reassembly;
  const { [slot]: _, ...rest } = reassembly;
  return rest;
}

function slotOf(header: IkeHeader): 'request' | 'response' {
  return header.response ? 'response' : 'request';
}
