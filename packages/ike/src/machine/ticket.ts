import type { Payload } from '../message/payload.ts';
import { decodeGrantedTicket } from '../message/ticket.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType } from '../registry/notify.ts';
import { ticketLimitMs, ticketRenewal } from './choice.ts';
import { notify, pickNotify } from './pick.ts';
import { currentOf, debug, emit, update, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/**
 * Tickets for later (RFC 5723 §4.1): asked for in IKE_AUTH, in rekeys of the IKE SA, and in good time before the last one runs out. A ticket
 * belongs to the SK_d of the SA in which it was granted.
 */
export function learnTicket(turn: Turn, payloads: readonly Payload[]): void {
  const { config, ticketIdentities } = turn.sa;
  const granted = pickNotify(payloads, NotifyType.TICKET_LT_OPAQUE);
  const { protection } = currentOf(turn.sa);
  if (!config.askTicket || !granted || !protection || !ticketIdentities) return;
  const decoded = decodeGrantedTicket(granted.data);
  if (!decoded || decoded.lifetimeSeconds === 0) return debug(turn, 'a ticket that is of no use');
  const lifetimeMs = Math.min(decoded.lifetimeSeconds * 1000, ticketLimitMs, turn.sa.reauthAt - turn.now);
  if (lifetimeMs <= 0) return;
  debug(turn, `the gateway grants a ticket for ${Math.round(lifetimeMs / 1000)} s`);
  update(turn, { ticketAt: turn.now + Math.round(lifetimeMs * ticketRenewal) });
  emit(turn, {
    kind: 'ticket',
    lifetimeMs,
    ticket: {
      ticket: decoded.ticket,
      suite: protection.suite,
      skD: protection.skD.slice(),
      identity: ticketIdentities.own,
      gatewayIdentity: ticketIdentities.gateway,
      gatewaySubject: turn.sa.gateway.subject,
    },
  });
}

/** Asks for another one, before the last one runs out. */
export function startTicketRequest(turn: Turn): void {
  const request = [notify(NotifyType.TICKET_REQUEST)];
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.INFORMATIONAL, request, { kind: 'ticket' });
}
