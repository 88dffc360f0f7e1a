import { formatAddress } from '@aovpn/bytes';
import type { Payload } from '../message/payload.ts';
import { decodeRedirect, encodeGatewayPlace } from '../message/redirect.ts';
import { NotifyType } from '../registry/notify.ts';
import { cookieWaitMs } from './choice.ts';
import type { GatewayPlace, IkeSaConfig } from './contract.ts';
import { closeWith } from './delete.ts';
import { notify, pickNotify } from './pick.ts';
import type { InitOffer } from './state.ts';
import { debug, info, update, type Turn } from './turn.ts';

/** Redirection (RFC 5685): a gateway sends us to another one, before, while or after we authenticate. */

/** What IKE_SA_INIT says of it: that we would follow, or who has sent us (§3, §9.3), which says the same. */
export function buildRedirectSupport({ redirect, redirectedFrom }: IkeSaConfig): Payload[] {
  if (!redirect) return [];
  if (redirectedFrom) return [notify(NotifyType.REDIRECTED_FROM, encodeGatewayPlace(redirectedFrom))];
  return [notify(NotifyType.REDIRECT_SUPPORTED)];
}

/**
 * An IKE_SA_INIT answer that sends us away. Our nonce in it says that whoever answers has seen our request, and no more: it is followed
 * only when nothing better has come for a moment, and the gateway there must prove to be one that the profile names.
 */
export function processInitRedirect(turn: Turn, init: InitOffer, data: Uint8Array): void {
  const { config, phase } = turn.sa;
  const to = config.redirect ? decodeRedirect(data, init.nonce) : undefined;
  if (!to) return debug(turn, 'a redirection that cannot be meant for us: ignored');
  if (phase.name === 'init-await-better' && phase.redirect) return;
  info(turn, `the gateway, or somebody in its name, sends us to ${describe(to)}`);
  update(turn, {
    phase: {
      name: 'init-await-better',
      init,
      failure: { kind: 'protocol', detail: 'redirected' },
      cookie: undefined,
      redirect: to,
      until: turn.now + cookieWaitMs,
    },
  });
}

/** Where authenticated payloads send us, if they do. */
export function redirectedTo(turn: Turn, payloads: readonly Payload[]): GatewayPlace | undefined {
  const redirect = turn.sa.config.redirect ? pickNotify(payloads, NotifyType.REDIRECT) : undefined;
  const to = redirect && decodeRedirect(redirect.data, undefined);
  if (redirect && !to) info(turn, 'the gateway sends us where nobody can go');
  return to;
}

/** The gateway has authenticated itself and sends us away: this SA says goodbye (§5, §6). */
export function follow(turn: Turn, to: GatewayPlace): void {
  info(turn, `the gateway sends us to ${describe(to)}`);
  closeWith(turn, { kind: 'redirected', to, proven: true });
}

function describe(to: GatewayPlace): string {
  return to.kind === 'name' ? to.name : formatAddress(to.address);
}
