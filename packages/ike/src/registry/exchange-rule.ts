import type { Message, NotifyPayload, Payload, Proposal } from '../message/payload.ts';
import { ExchangeType, nameOfExchange } from './exchange.ts';
import { isErrorNotify, NotifyType } from './notify.ts';
import type { PayloadKind } from './payload-type.ts';
import { ProtocolId } from './protocol.ts';

/** What a message is about; IKE_AUTH and CREATE_CHILD_SA have several forms. */
export type ExchangeTopic =
  | 'ike-sa-init'
  | 'ike-intermediate'
  | 'ike-intermediate-ppk'
  | 'ike-session-resume'
  | 'ike-auth-resumed'
  | 'ike-auth-childless'
  | 'ike-auth-round'
  | 'ike-auth-next'
  | 'ike-auth-first'
  | 'ike-auth-eap-only'
  | 'ike-auth-eap'
  | 'ike-auth-final'
  | 'ike-auth-final-childless'
  | 'create-child'
  | 'rekey-child'
  | 'rekey-ike'
  | 'ike-followup-ke'
  | 'informational';

export interface PayloadRule {
  readonly payload: PayloadKind;
  readonly min: number;
  readonly max: number;
}

export interface ExchangeRule {
  readonly topic: ExchangeTopic;
  readonly exchange: number;
  readonly response: boolean;
  /** The rule holds only for messages with this payload, before the one without. */
  readonly when?: PayloadKind;
  /** Whatever is not listed here has no place in the message; Notify, Vendor ID and unknown payloads have one everywhere. */
  readonly payloads: readonly PayloadRule[];
  readonly reference: string;
}

export interface ExchangeViolation {
  /** The payload as the RFC writes it. */
  readonly payload: string;
  readonly count: number;
  readonly what: string;
  readonly reference: string;
}

/** Our own bound: how many certificates or requests for them one message may have. */
const maxCertificates = 16;

const sa = [one('SA'), one('KE'), one('NONCE')];
const child = [one('SA'), one('NONCE'), maybe('KE'), one('TSi'), one('TSr')];
const childInAuth = [maybe('CP'), one('SA'), one('TSi'), one('TSr')];
const certificates = { payload: 'CERT', min: 0, max: maxCertificates } as const;
const requests = { payload: 'CERTREQ', min: 0, max: maxCertificates } as const;
const many = (payload: PayloadKind): PayloadRule => ({ payload, min: 0, max: Number.POSITIVE_INFINITY });

/** What may appear in which exchange and direction, in the order of the RFC's notation. */
export const exchangeRules: readonly ExchangeRule[] = [
  rule('ike-sa-init', ExchangeType.IKE_SA_INIT, false, [maybe('PS'), ...sa], 'RFC 7296 §1.2, RFC 8019 §7.1'),
  rule('ike-sa-init', ExchangeType.IKE_SA_INIT, true, [...sa, requests], 'RFC 7296 §1.2'),
  rule('ike-intermediate', ExchangeType.IKE_INTERMEDIATE, false, [one('KE')], 'RFC 9370 §2.2.2'),
  rule('ike-intermediate', ExchangeType.IKE_INTERMEDIATE, true, [one('KE'), requests], 'RFC 9370 §2.2.2, RFC 9593 §3.1'),
  rule('ike-intermediate-ppk', ExchangeType.IKE_INTERMEDIATE, false, [], 'RFC 9867 §3.1'),
  rule('ike-intermediate-ppk', ExchangeType.IKE_INTERMEDIATE, true, [requests], 'RFC 9867 §3.1, RFC 9593 §3.1'),
  rule(
    'ike-auth-first',
    ExchangeType.IKE_AUTH,
    false,
    [maybe('PS'), one('IDi'), certificates, requests, maybe('IDr'), maybe('AUTH'), ...childInAuth],
    'RFC 7296 §1.2, §2.16',
  ),
  {
    ...rule('ike-auth-first', ExchangeType.IKE_AUTH, true, [one('IDr'), certificates, one('AUTH'), one('EAP')], 'RFC 7296 §2.16'),
    when: 'EAP',
  },
  rule('ike-auth-first', ExchangeType.IKE_AUTH, true, [one('IDr'), certificates, one('AUTH'), ...childInAuth], 'RFC 7296 §1.2'),
  rule(
    'ike-auth-eap-only',
    ExchangeType.IKE_AUTH,
    false,
    [maybe('PS'), one('IDi'), certificates, requests, maybe('IDr'), ...childInAuth],
    'RFC 5998 §3',
  ),
  rule('ike-auth-eap-only', ExchangeType.IKE_AUTH, true, [one('IDr'), one('EAP')], 'RFC 5998 §3'),
  rule('ike-session-resume', ExchangeType.IKE_SESSION_RESUME, false, [one('NONCE')], 'RFC 5723 §4.3.2'),
  rule('ike-session-resume', ExchangeType.IKE_SESSION_RESUME, true, [one('NONCE')], 'RFC 5723 §4.3.2'),
  rule(
    'ike-auth-resumed',
    ExchangeType.IKE_AUTH,
    false,
    [one('IDi'), maybe('IDr'), one('AUTH'), ...childInAuth],
    'RFC 5723 §4.3.3',
  ),
  rule('ike-auth-resumed', ExchangeType.IKE_AUTH, true, [one('IDr'), one('AUTH'), ...childInAuth], 'RFC 5723 §4.3.3'),
  rule(
    'ike-auth-childless',
    ExchangeType.IKE_AUTH,
    false,
    [maybe('PS'), one('IDi'), certificates, requests, maybe('IDr'), maybe('AUTH'), maybe('CP')],
    'RFC 6023 §5',
  ),
  {
    ...rule(
      'ike-auth-childless',
      ExchangeType.IKE_AUTH,
      true,
      [one('IDr'), certificates, one('AUTH'), one('EAP')],
      'RFC 6023 §5',
    ),
    when: 'EAP',
  },
  rule('ike-auth-childless', ExchangeType.IKE_AUTH, true, [one('IDr'), certificates, one('AUTH'), maybe('CP')], 'RFC 6023 §5'),
  rule(
    'ike-auth-round',
    ExchangeType.IKE_AUTH,
    false,
    [
      maybe('PS'),
      one('IDi'),
      certificates,
      requests,
      maybe('IDr'),
      one('AUTH'),
      ...childInAuth.map(({ payload }) => maybe(payload)),
    ],
    'RFC 4739 §2.1',
  ),
  rule('ike-auth-round', ExchangeType.IKE_AUTH, true, [one('IDr'), certificates, one('AUTH')], 'RFC 4739 §2.1'),
  rule('ike-auth-next', ExchangeType.IKE_AUTH, false, [one('IDi')], 'RFC 4739 §2.1'),
  rule('ike-auth-next', ExchangeType.IKE_AUTH, true, [one('EAP')], 'RFC 4739 §2.1'),
  rule('ike-auth-eap', ExchangeType.IKE_AUTH, false, [one('EAP')], 'RFC 7296 §2.16'),
  rule('ike-auth-eap', ExchangeType.IKE_AUTH, true, [one('EAP')], 'RFC 7296 §2.16'),
  rule('ike-auth-final', ExchangeType.IKE_AUTH, false, [one('AUTH')], 'RFC 7296 §2.16'),
  rule('ike-auth-final', ExchangeType.IKE_AUTH, true, [one('AUTH'), ...childInAuth], 'RFC 7296 §2.16'),
  rule('ike-auth-final-childless', ExchangeType.IKE_AUTH, false, [one('AUTH')], 'RFC 6023 §5'),
  rule('ike-auth-final-childless', ExchangeType.IKE_AUTH, true, [one('AUTH'), maybe('CP')], 'RFC 6023 §5'),
  rule('create-child', ExchangeType.CREATE_CHILD_SA, false, child, 'RFC 7296 §1.3.1'),
  rule('create-child', ExchangeType.CREATE_CHILD_SA, true, child, 'RFC 7296 §1.3.1'),
  rule('rekey-child', ExchangeType.CREATE_CHILD_SA, false, child, 'RFC 7296 §1.3.3'),
  rule('rekey-child', ExchangeType.CREATE_CHILD_SA, true, child, 'RFC 7296 §1.3.3'),
  rule('rekey-ike', ExchangeType.CREATE_CHILD_SA, false, sa, 'RFC 7296 §1.3.2'),
  rule('rekey-ike', ExchangeType.CREATE_CHILD_SA, true, sa, 'RFC 7296 §1.3.2'),
  rule('ike-followup-ke', ExchangeType.IKE_FOLLOWUP_KE, false, [one('KE')], 'RFC 9370 §2.2.4'),
  rule('ike-followup-ke', ExchangeType.IKE_FOLLOWUP_KE, true, [one('KE')], 'RFC 9370 §2.2.4'),
  rule('informational', ExchangeType.INFORMATIONAL, false, [many('D'), maybe('CP')], 'RFC 7296 §1.4'),
  rule('informational', ExchangeType.INFORMATIONAL, true, [many('D'), maybe('CP')], 'RFC 7296 §1.4'),
];

/**
 * Violations of the topic's rule for the message's direction; none: empty. An answer that brings an error, or asks for a cookie or sends us elsewhere (RFC 5685), need
 * not have the rest: what it does have is then for the caller to look at.
 */
export function checkExchange(message: Message, topic: ExchangeTopic): ExchangeViolation[] {
  const { header, payloads } = message;
  const candidates = exchangeRules.filter((row) => row.topic === topic && row.response === header.response);
  const chosen = candidates.find((row) => row.when === undefined || payloads.some(({ kind }) => kind === row.when))!;
  const { reference } = chosen;
  if (header.exchange !== chosen.exchange) {
    const what = `${nameOfExchange(header.exchange)} where ${nameOfExchange(chosen.exchange)} belongs`;
    return [{ payload: 'HDR', count: 1, what, reference }];
  }
  const excused = header.response && payloads.some((payload) => payload.kind === 'N' && isSufficientAlone(payload));
  const violations: ExchangeViolation[] = [];
  const allowed = new Set<Payload['kind']>(['N', 'V', 'unknown']);
  for (const { payload, min, max } of chosen.payloads) {
    allowed.add(payload);
    const count = payloads.filter(({ kind }) => kind === payload).length;
    if (count < min && !excused) violations.push({ payload, count, what: `${payload} is missing`, reference });
    if (count > max) violations.push({ payload, count, what: `${payload} appears ${count} times`, reference });
  }
  for (const kind of new Set(payloads.map((payload) => payload.kind))) {
    if (allowed.has(kind)) continue;
    const count = payloads.filter((payload) => payload.kind === kind).length;
    violations.push({ payload: kind, count, what: `${kind} has no place in this message`, reference });
  }
  if (topic === 'rekey-child' && !header.response) violations.push(...checkRekeyNotify(payloads, reference));
  return violations;
}

/** Which form of CREATE_CHILD_SA a request is (RFC 7296 §1.3): it names what it replaces, or it speaks of an IKE SA, or it is new. */
export function createChildTopic(message: Message): 'create-child' | 'rekey-child' | 'rekey-ike' {
  const { payloads } = message;
  if (payloads.some((payload) => payload.kind === 'N' && payload.type === NotifyType.REKEY_SA)) return 'rekey-child';
  const isIke = ({ protocol }: Proposal): boolean => protocol === ProtocolId.IKE;
  if (payloads.some((payload) => payload.kind === 'SA' && payload.proposals.some(isIke))) return 'rekey-ike';
  return 'create-child';
}

/** RFC 7296 §1.3.3: one REKEY_SA, for ESP or AH, with the SPI; anything else has crashed daemons (CVE-2023-38710). */
function checkRekeyNotify(payloads: readonly Payload[], reference: string): ExchangeViolation[] {
  const rekeys = payloads.filter((payload) => payload.kind === 'N' && payload.type === NotifyType.REKEY_SA) as NotifyPayload[];
  const [rekey] = rekeys;
  const good =
    rekeys.length === 1 && rekey?.spi.length === 4 && (rekey.protocol === ProtocolId.ESP || rekey.protocol === ProtocolId.AH);
  return good ? [] : [{ payload: 'N(REKEY_SA)', count: rekeys.length, what: 'REKEY_SA does not name one CHILD_SA', reference }];
}

function isSufficientAlone(notify: NotifyPayload): boolean {
  const alone: readonly number[] = [NotifyType.COOKIE, NotifyType.TICKET_NACK, NotifyType.REDIRECT];
  return isErrorNotify(notify.type) || alone.includes(notify.type);
}

function rule(
  topic: ExchangeTopic,
  exchange: number,
  response: boolean,
  payloads: readonly PayloadRule[],
  reference: string,
): ExchangeRule {
  return { topic, exchange, response, payloads, reference };
}

function one(payload: PayloadKind): PayloadRule {
  return { payload, min: 1, max: 1 };
}

function maybe(payload: PayloadKind): PayloadRule {
  return { payload, min: 0, max: 1 };
}
