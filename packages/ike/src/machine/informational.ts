import type { Message, Payload } from '../message/payload.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { answerDeleteChildren, deletesIke, processDeleteIke } from './delete.ts';
import { buildNatDetection } from './natd.ts';
import { notify, pickNotify } from './pick.ts';
import { learnAuthLifetime } from './reauth.ts';
import { follow, redirectedTo } from './redirect.ts';
import type { Association } from './state.ts';
import { debug, fail, info, type Turn } from './turn.ts';
import { sendResponse } from './window.ts';

/** An INFORMATIONAL request of the peer (RFC 7296 §1.4): always answered, whatever it says. */
export function answerInformational(turn: Turn, association: Association, message: Message): void {
  const { payloads, header } = message;
  const gone = deletesIke(payloads);
  // A Delete of the IKE SA takes its CHILD_SAs along and is answered by an empty message.
  const answer = gone
    ? []
    : [...answerDeleteChildren(turn, payloads), ...echo(payloads), ...answerNatDetection(turn, association, payloads)];
  for (const payload of payloads) {
    if (payload.kind === 'N') debug(turn, `the peer notes ${nameOfNotify(payload.type)}`);
  }
  sendResponse(turn, association.id, ExchangeType.INFORMATIONAL, header.messageId, answer);
  learnAuthLifetime(turn, payloads);
  if (gone) return processDeleteIke(turn, association);
  const to = turn.sa.phase.name === 'open' ? redirectedTo(turn, payloads) : undefined;
  if (to) return follow(turn, to);
  if (pickNotify(payloads, NotifyType.AUTHENTICATION_FAILED)) {
    info(turn, 'the gateway withdraws our authentication');
    fail(turn, { kind: 'authentication-failed', detail: 'the gateway withdrew our authentication' });
  }
}

/** RFC 4555 §3.8: who sends them is told them. */
function answerNatDetection(turn: Turn, { spiI, spiR }: Association, payloads: readonly Payload[]): Payload[] {
  const asked = turn.sa.peer.mobike && pickNotify(payloads, NotifyType.NAT_DETECTION_DESTINATION_IP) !== undefined;
  return asked ? buildNatDetection(turn, spiI, spiR) : [];
}

/** RFC 4555 §4.2.5: COOKIE2 comes back as it is, 8 to 64 octets. */
function echo(payloads: readonly Payload[]): Payload[] {
  const cookie = pickNotify(payloads, NotifyType.COOKIE2);
  return cookie && cookie.data.length >= 8 && cookie.data.length <= 64 ? [notify(NotifyType.COOKIE2, cookie.data)] : [];
}
