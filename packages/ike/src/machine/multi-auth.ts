import type { Message, Payload } from '../message/payload.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType } from '../registry/notify.ts';
import { authError, refuse } from './auth.ts';
import { startEap } from './eap-round.ts';
import { pick, pickError, pickNotify } from './pick.ts';
import type { Handshake } from './state.ts';
import { currentOf, fail, info, update, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/**
 * Several authentications in one IKE SA (RFC 4739): the machine's certificate first, then the user by EAP. The gateway proves itself in the
 * machine's round, and proves once more at the end that it got the key of EAP; what asks for the CHILD_SA went along with the first request.
 */
export function startNextRound(turn: Turn, before: Handshake, payloads: readonly Payload[]): void {
  // RFC 4739 §2.2: a second authentication of the gateway would be its own next round; we would not know by what to judge it.
  if (pickNotify(payloads, NotifyType.ANOTHER_AUTH_FOLLOWS))
    return refuse(turn, { kind: 'protocol', detail: 'the gateway wants to authenticate itself a second time' });
  info(turn, 'the machine is authenticated, now the user');
  const handshake: Handshake = { ...before, identity: before.next!, next: undefined };
  update(turn, { phase: { name: 'round-await-response', handshake } });
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.IKE_AUTH, [{ kind: 'IDi', identity: handshake.identity }], {
    kind: 'auth',
  });
}

/** The gateway begins EAP for the user. */
export function processNextRound(turn: Turn, handshake: Handshake, message: Message): void {
  const { auth } = turn.sa.config;
  const error = pickError(message.payloads);
  if (error) return fail(turn, authError(turn, error.type));
  const violation = checkExchange(message, 'ike-auth-next')[0];
  const eap = pick(message.payloads, 'EAP');
  if (violation || !eap || auth.kind !== 'eap') {
    const detail = `IKE_AUTH answer: ${violation?.payload} ${violation?.what}`;
    return refuse(turn, { kind: 'invalid-syntax', detail });
  }
  startEap(turn, handshake, auth.peer, eap.packet);
}
