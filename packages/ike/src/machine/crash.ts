import { equal } from '@aovpn/bytes';
import type { Payload } from '../message/payload.ts';
import { NotifyType } from '../registry/notify.ts';
import { pickNotify } from './pick.ts';
import type { Association } from './state.ts';
import { debug, emit, findAssociation, info, updateAssociation, type Turn } from './turn.ts';

/**
 * Quick crash detection (RFC 6290), on the side that takes tokens: the gateway hands out, under encryption, what it can compute again after
 * a crash and nobody else can, and shows it in the clear when it no longer knows the SA.
 */
export function learnCrashToken(turn: Turn, association: number, payloads: readonly Payload[]): void {
  const token = pickNotify(payloads, NotifyType.QUICK_CRASH_DETECTION)?.data;
  if (!token) return;
  // RFC 6290 §4.1: 16 to 128 octets.
  if (token.length < 16 || token.length > 128) return debug(turn, 'a crash token of no allowed length: ignored');
  updateAssociation(turn, association, { crashToken: token.slice() });
}

/** Whether an unprotected message proves that the gateway has lost the SA; then a new one is wanted at once. */
export function processCrashToken(turn: Turn, association: Association, payloads: readonly Payload[]): boolean {
  const shown = pickNotify(payloads, NotifyType.QUICK_CRASH_DETECTION)?.data;
  const { crashToken } = findAssociation(turn, association.id) ?? {};
  if (!shown || !crashToken || !equal(shown, crashToken)) return false;
  if (turn.sa.phase.name !== 'open' || association.role !== 'current') return false;
  info(turn, 'the gateway proves that it has lost this IKE SA');
  updateAssociation(turn, association.id, { crashToken: undefined });
  emit(turn, { kind: 'replace', why: 'crash' });
  return true;
}
