import { equal, sameAddress, type IpAddress } from '@aovpn/bytes';
import { deriveResumedIkeKeys, resumedAuth } from '../crypto/keymat.ts';
import { encodeMessage, encodePayloadBody } from '../message/encode.ts';
import type { DecodedHeader } from '../message/header.ts';
import { openDatagram } from '../message/open.ts';
import type { Message, Payload } from '../message/payload.ts';
import { buildChildProposals } from '../message/proposal.ts';
import { emptyReassembly } from '../message/reassembly.ts';
import { AuthMethod } from '../registry/auth-method.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { buildChildRequest, protectionOf } from './auth.ts';
import { newSpi } from './child.ts';
import { completeAuth } from './child-create.ts';
import { cookieWaitMs, nonceLength } from './choice.ts';
import type { SessionTicket } from './contract.ts';
import { formatIdentity } from './facts.ts';
import { freshAssociation, newIkeSpi, protect } from './ike-rekey.ts';
import { learnPeer, startInit } from './init.ts';
import { buildNatDetection } from './natd.ts';
import { notify, pick, pickError, pickNonce, pickNotify } from './pick.ts';
import type { Handshake, ResumeOffer } from './state.ts';
import {
  addAssociation,
  currentOf,
  debug,
  dropAssociation,
  emit,
  info,
  update,
  updateAssociation,
  want,
  type Turn,
} from './turn.ts';
import { sendFirst, sendRequest } from './window.ts';

/**
 * Session resumption (RFC 5723): the gateway's ticket and one exchange in the clear, then IKE_AUTH without certificate, EAP or person. Nothing
 * of the first exchange is authenticated, and the worst that anybody can do with it is to have us do the full exchange instead.
 *
 * What is resumed has no forward secrecy of its own: whoever learns the old SK_d can read it. So, once traffic flows, the IKE SA and its
 * CHILD_SA are rekeyed with a fresh key exchange at once ({@link refreshKeys}).
 */
export function startResume(turn: Turn, ticket: SessionTicket): void {
  info(turn, `resuming the session with ${formatIdentity(ticket.gatewayIdentity)}`);
  present(turn, { ticket, nonce: turn.crypto.random(nonceLength), cookie: undefined, refusedAt: undefined });
}

/** A datagram while the answer to IKE_SESSION_RESUME is awaited. */
export function processResume(turn: Turn, datagram: Uint8Array, header: DecodedHeader, from: IpAddress, fromPort: number): void {
  const { phase, path } = turn.sa;
  if (phase.name !== 'resume-await-response') return;
  if (!sameAddress(from, path.remote) || fromPort !== path.remotePort) return debug(turn, 'not from the gateway: ignored');
  if (header.exchange !== ExchangeType.IKE_SESSION_RESUME || !header.response || header.fromInitiator || header.messageId !== 0)
    return debug(turn, 'not an answer to IKE_SESSION_RESUME: ignored');
  const outcome = openDatagram(turn.crypto, datagram, { reassembly: emptyReassembly });
  if (outcome.kind !== 'message') return debug(turn, 'not an answer that can be read: ignored');
  processAnswer(turn, phase.resume, outcome.message, datagram);
}

/** The answer to the IKE_AUTH of a resumed SA. */
export function processResumedAuth(turn: Turn, handshake: Handshake, ticket: SessionTicket, message: Message): void {
  const { payloads } = message;
  const auth = pick(payloads, 'AUTH');
  const error = pickError(payloads);
  if (error && !auth) return fallBack(turn, `the gateway ends it with ${nameOfNotify(error.type)}`);
  const violation = checkExchange(message, 'ike-auth-resumed')[0];
  if (violation) return fallBack(turn, `IKE_AUTH answer: ${violation.payload} ${violation.what}`);
  const { suite, skPr } = protectionOf(turn);
  const identity = pick(payloads, 'IDr');
  const expected = resumedAuth(turn.crypto, suite.prf, skPr, handshake.initResponse);
  const sameGateway =
    identity && equal(encodePayloadBody(identity), encodePayloadBody({ kind: 'IDr', identity: ticket.gatewayIdentity }));
  if (!sameGateway || auth?.method !== AuthMethod.SHARED_KEY || !equal(auth.data, expected))
    return fallBack(turn, 'the gateway does not prove that it is the one that granted the ticket');
  // A ticket is used once (RFC 5723 §4.3.1); this session may bring the next one.
  emit(turn, { kind: 'ticket', ticket: undefined, lifetimeMs: 0 });
  update(turn, {
    resumed: true,
    gateway: {
      identity: formatIdentity(ticket.gatewayIdentity),
      subject: ticket.gatewaySubject,
      authentication: 'resumed session',
    },
  });
  completeAuth(turn, handshake, payloads);
}

/** A fresh key exchange for a resumed SA: first the IKE SA, and then what was made from its old keys. */
export function refreshKeys(turn: Turn): void {
  if (turn.sa.resumed) want(turn, { kind: 'ike-rekey' });
}

/** The refusal stands: nothing better has come. */
export function processResumeDeadline(turn: Turn): void {
  const { phase } = turn.sa;
  if (phase.name !== 'resume-await-response' || (phase.resume.refusedAt ?? Infinity) > turn.now) return;
  emit(turn, { kind: 'ticket', ticket: undefined, lifetimeMs: 0 });
  fallBack(turn, 'the gateway does not take the ticket');
}

/** The full exchange instead, from its beginning and with an SPI of its own (RFC 5723 §4.3.2). The ticket is kept when there was silence only. */
export function fallBack(turn: Turn, why: string): void {
  info(turn, `the session is not resumed: ${why}`);
  if (turn.sa.phase.name === 'resume-await-proof') emit(turn, { kind: 'ticket', ticket: undefined, lifetimeMs: 0 });
  const { ticket: _, ...config } = turn.sa.config;
  dropAssociation(turn, currentOf(turn.sa).id);
  update(turn, { config });
  addAssociation(turn, freshAssociation(newIkeSpi(turn)));
  startInit(turn);
}

function processAnswer(turn: Turn, resume: ResumeOffer, message: Message, datagram: Uint8Array): void {
  const { payloads } = message;
  const cookie = pickNotify(payloads, NotifyType.COOKIE);
  const nonceR = pickNonce(payloads);
  if (cookie && !nonceR) {
    // Once: whoever asks for one after the other gets the full exchange, whose own limit holds.
    if (resume.cookie || cookie.data.length < 1 || cookie.data.length > 64) return doubt(turn, resume);
    return present(turn, { ...resume, cookie: cookie.data.slice() });
  }
  if (pickNotify(payloads, NotifyType.TICKET_NACK) || pickError(payloads)) return doubt(turn, resume);
  const { spiR } = message.header;
  if (checkExchange(message, 'ike-session-resume').length > 0 || !nonceR || spiR.every((octet) => octet === 0))
    return doubt(turn, resume);
  const { ticket } = resume;
  const current = currentOf(turn.sa);
  const keys = deriveResumedIkeKeys(turn.crypto, ticket.suite, ticket.skD, {
    nonceI: resume.nonce,
    nonceR,
    spiI: current.spiI,
    spiR,
  });
  updateAssociation(turn, current.id, {
    spiR: spiR.slice(),
    outstanding: undefined,
    protection: protect(ticket.suite, keys, true),
  });
  learnPeer(turn, payloads);
  const spiIn = newSpi(turn);
  const handshake: Handshake = {
    initRequest: resume.request,
    initResponse: datagram.slice(),
    nonceI: resume.nonce,
    nonceR: nonceR.slice(),
    intAuth: new Uint8Array(0),
    identity: ticket.identity,
    spiIn,
    childProposals: buildChildProposals(turn.sa.config.childProposals, spiIn, false),
    gatewayIdentity: ticket.gatewayIdentity,
    next: undefined,
    solution: undefined,
    withPpk: undefined,
  };
  update(turn, { phase: { name: 'resume-await-proof', handshake, ticket } });
  const data = resumedAuth(turn.crypto, ticket.suite.prf, keys.skPi, resume.request);
  sendRequest(turn, current.id, ExchangeType.IKE_AUTH, buildResumedAuth(turn, handshake, data), { kind: 'auth' });
}

function buildResumedAuth(turn: Turn, handshake: Handshake, data: Uint8Array): Payload[] {
  const { mobike } = turn.sa.config;
  return [
    { kind: 'IDi', identity: handshake.identity },
    ...(turn.sa.config.replaces || turn.sa.config.beside ? [] : [notify(NotifyType.INITIAL_CONTACT)]),
    { kind: 'AUTH', method: AuthMethod.SHARED_KEY, data },
    ...buildChildRequest(turn, handshake),
    ...(mobike ? [notify(NotifyType.MOBIKE_SUPPORTED)] : []),
    notify(NotifyType.TICKET_REQUEST),
  ];
}

/** A refusal is not authenticated: an answer that comes with it, or soon after, is better. */
function doubt(turn: Turn, resume: ResumeOffer): void {
  if (resume.refusedAt !== undefined) return;
  update(turn, { phase: { name: 'resume-await-response', resume: { ...resume, refusedAt: turn.now + cookieWaitMs } } });
}

function present(turn: Turn, offer: Omit<ResumeOffer, 'request'>): void {
  const { id, spiI, spiR } = currentOf(turn.sa);
  const { ticket, nonce, cookie } = offer;
  const request = encodeMessage({
    header: { spiI, spiR, exchange: ExchangeType.IKE_SESSION_RESUME, fromInitiator: true, response: false, messageId: 0 },
    payloads: [
      ...(cookie ? [notify(NotifyType.COOKIE, cookie)] : []),
      { kind: 'NONCE', data: nonce },
      notify(NotifyType.TICKET_OPAQUE, ticket.ticket),
      ...buildNatDetection(turn, spiI, spiR),
      ...(turn.sa.config.fragmentation ? [notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)] : []),
    ],
  });
  update(turn, { phase: { name: 'resume-await-response', resume: { ...offer, request } } });
  updateAssociation(turn, id, { nextRequest: 1 });
  sendFirst(turn, id, 0, ExchangeType.IKE_SESSION_RESUME, [request], { kind: 'init' });
}
