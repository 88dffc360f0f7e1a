import { concat, Reader, Writer, type Endpoint } from '@aovpn/bytes';
import type { Message } from '../message/payload.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType } from '../registry/notify.ts';
import { messageIdEnd } from './choice.ts';
import { notify } from './pick.ts';
import type { Association } from './state.ts';
import { debug, info, updateAssociation, type Turn } from './turn.ts';
import { sendAside } from './window.ts';

/** Octets of nonce and two message IDs (RFC 6311 §9.2). */
const syncLength = 12;

/** Whether a request may be the one of RFC 6311: message ID 0, whatever ID is next. What is in it decides. */
export function mayBeSync(turn: Turn, header: { readonly exchange: number; readonly messageId: number }): boolean {
  const { peer, phase } = turn.sa;
  return peer.messageIdSync && phase.name === 'open' && header.exchange === ExchangeType.INFORMATIONAL && header.messageId === 0;
}

/** A request with IKEV2_MESSAGE_ID_SYNC and nothing else (RFC 6311 §5.1). */
export function isSync({ payloads }: Message): boolean {
  const [only] = payloads;
  return (
    payloads.length === 1 &&
    only?.kind === 'N' &&
    only.type === NotifyType.IKEV2_MESSAGE_ID_SYNC &&
    only.data.length === syncLength
  );
}

/**
 * Another member of the gateway's cluster has taken the IKE SA over and does not know how far the message IDs have got (RFC 6311 §5).
 * It says which it will send and expect next; both sides go on with the higher of what they know. A request that would take us back is
 * an old one.
 */
export function answerSync(turn: Turn, association: Association, { payloads }: Message, from: Endpoint | undefined): void {
  const [only] = payloads;
  if (only?.kind !== 'N') return;
  const reader = new Reader(only.data, 'message ID sync');
  const nonce = reader.bytes(4);
  const willSend = reader.u32();
  const expects = reader.u32();
  const { nextExpected, outstanding } = association;
  if (willSend < nextExpected) return debug(turn, 'an old message ID synchronisation: ignored');
  if (willSend >= messageIdEnd || expects >= messageIdEnd) return debug(turn, 'message IDs that are used up: ignored');
  const nextRequest = Math.max(association.nextRequest, expects);
  // What is out is still to be answered, unless the gateway is past it.
  const next = outstanding && outstanding.messageId >= expects ? outstanding.messageId : nextRequest;
  info(turn, `another member of the gateway has taken over: message IDs ${nextRequest} and ${willSend} are next`);
  updateAssociation(turn, association.id, { nextRequest, nextExpected: willSend, answer: undefined });
  const data = concat(nonce, new Writer(8).u32(next).u32(willSend).finish());
  sendAside(turn, association.id, ExchangeType.INFORMATIONAL, 0, [notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, data)], from);
}
