import { toHex } from '@aovpn/bytes';
import { deriveResumedIkeKeys } from '../src/crypto/keymat.ts';
import { notify, pick, pickNotify } from '../src/machine/pick.ts';
import type { Identity, Message, Payload } from '../src/message/payload.ts';
import type { IkeSuite } from '../src/message/suite.ts';
import { encodeGrantedTicket } from '../src/message/ticket.ts';
import { freshIke, type ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';

interface Remembered {
  readonly suite: IkeSuite;
  readonly skD: Uint8Array;
  readonly own: Identity;
  readonly client: Identity;
}

/** Tickets by reference (RFC 5723 §5): what a gateway must know again later, whatever became of the IKE SA. */
export class TicketStore {
  readonly lifetimeSeconds: number;
  /** Grants and takes none. */
  closed = false;
  readonly #known = new Map<string, Remembered>();

  constructor(lifetimeSeconds: number) {
    this.lifetimeSeconds = lifetimeSeconds;
  }

  keep(ticket: Uint8Array, what: Remembered): void {
    this.#known.set(toHex(ticket), what);
  }

  find(ticket: Uint8Array): Remembered | undefined {
    return this.closed ? undefined : this.#known.get(toHex(ticket));
  }
}

/** A ticket for an authenticated IKE SA. */
export function grantTicket(crypto: TestCrypto, ike: ResponderIke, tickets: TicketStore | undefined): Payload[] {
  if (!tickets || tickets.closed || !ike.identities) return [];
  const ticket = crypto.random(40);
  tickets.keep(ticket, { suite: ike.suite, skD: ike.skD.slice(), ...ike.identities });
  return [notify(16409, encodeGrantedTicket({ lifetimeSeconds: tickets.lifetimeSeconds, ticket }))];
}

/** The answer to IKE_SESSION_RESUME, and the IKE SA that it makes. */
export function answerResume(
  crypto: TestCrypto,
  { header, payloads }: Message,
  tickets: TicketStore | undefined,
): {
  readonly payloads: readonly Payload[];
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly ike?: ResponderIke;
} {
  const nonceI = pick(payloads, 'NONCE')!.data;
  const nonceR = crypto.random(32);
  const known = tickets?.find(pickNotify(payloads, 16413)!.data);
  if (!known) return { payloads: [notify(16412)], nonceI, nonceR };
  const spis = { spiI: header.spiI, spiR: crypto.random(8) };
  const keys = deriveResumedIkeKeys(crypto, known.suite, known.skD, { nonceI, nonceR, ...spis });
  const ike = freshIke(spis, known.suite, keys.responder, keys.initiator, keys, false);
  ike.identities = { own: known.own, client: known.client };
  ike.resumed = true;
  return { payloads: [{ kind: 'NONCE', data: nonceR }, notify(16430)], nonceI, nonceR, ike };
}

/** The token of an IKE SA: what the gateway can compute from the SPIs alone (RFC 6290 §5.1). */
export function crashTokenOf(
  crypto: TestCrypto,
  { spiI, spiR }: Pick<ResponderIke, 'spiI' | 'spiR'>,
  secret: Uint8Array | undefined,
): Payload[] {
  return secret ? [notify(16419, crypto.prf(5, secret, spiI, spiR))] : [];
}

/** What a gateway that has lost everything answers, in the clear (RFC 6290 §4.5). */
export function crashAnswer(
  crypto: TestCrypto,
  ike: { readonly spiI: Uint8Array; readonly spiR: Uint8Array },
  secret: Uint8Array | undefined,
): Payload[] {
  return [notify(4), ...crashTokenOf(crypto, ike, secret)];
}
