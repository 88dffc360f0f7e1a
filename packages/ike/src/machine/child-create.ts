import { decodeConfigurationReply } from '../message/configuration.ts';
import type { Payload } from '../message/payload.ts';
import { acceptChildProposal } from '../message/proposal.ts';
import { ConfigType } from '../registry/config-attribute.ts';
import { isPrivateError, NotifyType, nameOfNotify } from '../registry/notify.ts';
import { childError, isChildless } from './auth.ts';
import { expiryTime, installChild, rekeyTime } from './child.ts';
import type { IkeFailure } from './contract.ts';
import { startChildCreate } from './child-rekey.ts';
import { learnCrashToken } from './crash.ts';
import { closeWith } from './delete.ts';
import { pick, pickError, pickNotify } from './pick.ts';
import { learnAuthLifetime } from './reauth.ts';
import { follow, redirectedTo } from './redirect.ts';
import { isNarrowed } from './selector.ts';
import type { Handshake } from './state.ts';
import { learnTicket } from './ticket.ts';
import { currentOf, info, update, type Turn } from './turn.ts';

/** Both sides are authenticated: the configuration payload, the traffic selectors and the first CHILD_SA (RFC 7296 §1.2, §2.19). */
export function completeAuth(turn: Turn, handshake: Handshake, payloads: readonly Payload[]): void {
  const { config } = turn.sa;
  const childless = isChildless(turn.sa);
  update(turn, {
    phase: { name: childless ? 'child-await-response' : 'child-await-install' },
    ticketIdentities: handshake.gatewayIdentity && { own: handshake.identity, gateway: handshake.gatewayIdentity },
    peer: {
      ...turn.sa.peer,
      messageIdSync: pickNotify(payloads, NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED) !== undefined,
      mobike: config.mobike && pickNotify(payloads, NotifyType.MOBIKE_SUPPORTED) !== undefined,
    },
    liveness: { ...turn.sa.liveness, heardAt: turn.now },
    ikeRekeyAt: rekeyTime(turn, config.ikeRekeyMs),
    ikeExpiresAt: expiryTime(turn, config.ikeRekeyMs),
  });
  const to = redirectedTo(turn, payloads);
  if (to) return follow(turn, to);
  const sa = pick(payloads, 'SA');
  const tsi = pick(payloads, 'TSi')?.selectors;
  const tsr = pick(payloads, 'TSr')?.selectors;
  const error = pickError(payloads);
  // Beside everything that was asked for, a vendor's own error tells us nothing.
  const whole = (sa && tsi && tsr) || childless;
  if (error && !(whole && isPrivateError(error.type))) {
    const families = allowedBy(payloads);
    const only = families ? `; it hands out IPv${families.join(' and IPv')} addresses` : '';
    info(turn, `authenticated, but no CHILD_SA: ${nameOfNotify(error.type)}${only}`);
    return failWith(turn, childError(error.type, 'IKE_AUTH'));
  }
  if (config.request.v4 || config.request.v6) {
    const reply = pick(payloads, 'CP');
    if (reply?.type !== ConfigType.REPLY) return failWith(turn, { kind: 'no-address' });
    const configuration = decodeConfigurationReply(reply.attributes, config.request);
    if ('problem' in configuration) {
      return failWith(turn, { kind: 'protocol', detail: `configuration payload: ${configuration.problem}` });
    }
    if (configuration.addresses.length === 0) return failWith(turn, { kind: 'no-address' });
    const allowedFamilies = allowedBy(payloads);
    update(turn, { configuration: { ...configuration, ...(allowedFamilies && { allowedFamilies }) } });
  }
  learnAuthLifetime(turn, payloads);
  learnCrashToken(turn, currentOf(turn.sa).id, payloads);
  learnTicket(turn, payloads);
  if (childless) return startChildCreate(turn, config.trafficSelectors.tsi, config.trafficSelectors.tsr, 0);
  if (!sa || !tsi || !tsr) {
    return failWith(turn, { kind: 'protocol', detail: 'IKE_AUTH answer without SA, TSi or TSr' });
  }
  const accepted = acceptChildProposal(handshake.childProposals, sa.proposals);
  if ('problem' in accepted) return failWith(turn, { kind: 'protocol', detail: accepted.problem });
  if (!isNarrowed(tsi, config.trafficSelectors.tsi) || !isNarrowed(tsr, config.trafficSelectors.tsr)) {
    const detail = 'the gateway widened the traffic selectors';
    return failWith(turn, { kind: 'protocol', detail });
  }
  const { nonceI, nonceR, spiIn } = handshake;
  installChild(turn, currentOf(turn.sa), {
    spiIn,
    accepted,
    tsi,
    tsr,
    ours: true,
    keyInput: { nonceI, nonceR },
    sendNow: true,
    after: { kind: 'establish' },
  });
}

/** RFC 8983 §4: which families the gateway hands out, so that nobody wonders where the other one is. */
function allowedBy(payloads: readonly Payload[]): readonly (4 | 6)[] | undefined {
  const v4 = pickNotify(payloads, NotifyType.IP4_ALLOWED) !== undefined;
  const v6 = pickNotify(payloads, NotifyType.IP6_ALLOWED) !== undefined;
  return v4 || v6 ? [...(v4 ? ([4] as const) : []), ...(v6 ? ([6] as const) : [])] : undefined;
}

/** The IKE SA exists at the gateway, so the failure says goodbye first. */
function failWith(turn: Turn, failure: IkeFailure): void {
  closeWith(turn, { kind: 'failed', failure });
}
