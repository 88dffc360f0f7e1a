import type { Payload } from '../message/payload.ts';
import { readSeconds } from '../message/ticket.ts';
import { NotifyType } from '../registry/notify.ts';
import { reauthMarginMs, reauthRetryMs } from './choice.ts';
import { pickNotify } from './pick.ts';
import { debug, emit, info, update, type Turn } from './turn.ts';

/**
 * Repeated authentication (RFC 4478): the gateway says for how long it believes that we are who we are. Well before that time is over a new
 * IKE SA is wanted beside this one; the gateway deletes this one when time is up.
 */
export function learnAuthLifetime(turn: Turn, payloads: readonly Payload[]): void {
  const data = pickNotify(payloads, NotifyType.AUTH_LIFETIME)?.data;
  const seconds = data && readSeconds(data);
  if (seconds === undefined) return;
  const lifetimeMs = seconds * 1000;
  debug(turn, `the gateway wants a new authentication within ${seconds} s`);
  update(turn, { reauthAt: turn.now + Math.max(0, lifetimeMs - Math.min(reauthMarginMs, Math.floor(lifetimeMs / 2))) });
}

export function processReauthTimer(turn: Turn): void {
  info(turn, 'the authentication runs out: a new IKE SA is to take over');
  update(turn, { reauthAt: turn.now + reauthRetryMs });
  emit(turn, { kind: 'replace', why: 'lifetime' });
}
