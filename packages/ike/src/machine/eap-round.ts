import { equal } from '@aovpn/bytes';
import { startEapPeer, stepEap, type EapEvent, type EapPeerConfig } from '@aovpn/eap';
import type { Message } from '../message/payload.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { authError, refuse } from './auth.ts';
import { eapQuietMs } from './choice.ts';
import { sendProof } from './eap-proof.ts';
import { pick, pickError } from './pick.ts';
import type { EapRun, Handshake } from './state.ts';
import { currentOf, debug, emit, fail, update, type Turn } from './turn.ts';
import { sendLastWords, sendRequest } from './window.ts';

/** Codes and a type of RFC 3748 §4, §5. */
const eap = { request: 1, success: 3, notification: 2 } as const;

/** Begins EAP with the gateway's first packet. Only once the gateway has proven itself, or EAP is to prove it. */
export function startEap(turn: Turn, handshake: Handshake, peer: EapPeerConfig, packet: Uint8Array): void {
  const run: EapRun = { state: startEapPeer(peer), msk: undefined, method: '', heard: undefined, quietSince: undefined };
  processEapPacket(turn, handshake, run, packet);
}

/**
 * Whether EAP alone may authenticate the gateway (RFC 5998 §4): TLS with a server that is checked, since the method must prove the server
 * and yield a key; and an outer identity that says nothing, since it goes to a gateway that is nobody yet. EAP-MSCHAPv2 is none of
 * these: whoever hears its answer can search for the password.
 */
export function isFitForEapOnly({ identity, method }: EapPeerConfig): boolean {
  const anonymous = /^(anonymous)?(@[^@]*)?$/i.test(identity);
  switch (method.kind) {
    case 'mschapv2':
      return false;
    case 'tls':
    case 'peap':
    case 'ttls':
      return method.trust.validate && method.trust.mayAsk !== true && anonymous;
  }
}

/** The gateway keeps quiet after a request of the EAP rounds; called at each of its retransmissions. */
export function noteEapQuiet(turn: Turn, firstSentAt: number): void {
  const { phase } = turn.sa;
  if (phase.name !== 'eap-await-response' || phase.eap.quietSince !== undefined || turn.now - firstSentAt < eapQuietMs) return;
  update(turn, { phase: { ...phase, eap: { ...phase.eap, quietSince: firstSentAt } } });
  emit(turn, { kind: 'eap-waiting', since: firstSentAt });
}

/** The EAP rounds of IKE_AUTH (RFC 7296 §2.16). Only begun once the gateway's certificate and signature were accepted. */
export function processEapResponse(turn: Turn, handshake: Handshake, run: EapRun, message: Message): void {
  const { payloads } = message;
  const carried = pick(payloads, 'EAP');
  if (!carried) {
    const error = pickError(payloads);
    if (error) return fail(turn, authError(turn, error.type));
    return refuse(turn, { kind: 'protocol', detail: 'an EAP round without an EAP payload' });
  }
  const violation = checkExchange(message, 'ike-auth-eap')[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  processEapPacket(turn, handshake, run, carried.packet);
}

/** A packet of the gateway's EAP. Success counts only when the method was complete and left a key. */
function processEapPacket(turn: Turn, handshake: Handshake, run: EapRun, packet: Uint8Array): void {
  const heard = packet.slice();
  const next = step(turn, handshake, { ...endQuiet(turn, run, heard), heard }, { kind: 'packet', packet: packet.slice() });
  if (!next || packet[0] !== eap.success) return;
  if (!next.msk) return refuse(turn, { kind: 'eap', failure: { kind: 'out-of-order', detail: 'EAP-Success without a key' } });
  update(turn, { gateway: { ...turn.sa.gateway, authentication: `${turn.sa.gateway.authentication}; ${next.method}` } });
  emit(turn, { kind: 'eap-succeeded', method: next.method });
  sendProof(turn, handshake, next.msk);
}

/** A Notification, or the same Request again, only says that the other side is still there. */
function endQuiet(turn: Turn, run: EapRun, packet: Uint8Array): EapRun {
  const keepsAlive =
    packet[0] === eap.request && (packet[4] === eap.notification || (run.heard !== undefined && equal(run.heard, packet)));
  if (keepsAlive || run.quietSince === undefined) return run;
  emit(turn, { kind: 'eap-waiting', since: undefined });
  return { ...run, quietSince: undefined };
}

/** An answer of the host to what EAP asked. */
export function processEapEvent(turn: Turn, event: EapEvent): void {
  const { phase } = turn.sa;
  // Packets come from the gateway only, never from the host.
  if (phase.name !== 'eap-await-host' || event.kind === 'packet') return debug(turn, 'an EAP answer that nobody waits for');
  step(turn, phase.handshake, phase.eap, event);
}

/** The host has thought for too long. */
export function processEapDeadline(turn: Turn): void {
  const { phase } = turn.sa;
  if (phase.name !== 'eap-await-host' || phase.until > turn.now) return;
  refuse(turn, { kind: 'eap', failure: { kind: 'no-secret', detail: 'no answer to the question for a secret in time' } });
}

/** One step of the EAP peer; undefined when it ended the SA. */
function step(turn: Turn, handshake: Handshake, run: EapRun, event: EapEvent): EapRun | undefined {
  const { state, actions } = stepEap(turn.crypto, run.state, event);
  let next: EapRun = { ...run, state };
  let reply: Uint8Array | undefined;
  for (const action of actions) {
    switch (action.kind) {
      case 'reply':
        reply = action.packet;
        break;
      case 'succeeded':
        // A copy: the method may overwrite its own when it is done.
        next = { ...next, msk: action.msk.slice(), method: action.method };
        break;
      case 'failed':
        update(turn, { phase: { name: 'eap-await-host', handshake, eap: next, until: turn.now } });
        // A last EAP packet, where the method has one, lets the gateway end its side at once.
        if (reply) {
          sendLastWords(turn, currentOf(turn.sa), ExchangeType.IKE_AUTH, [{ kind: 'EAP', packet: reply }]);
          fail(turn, { kind: 'eap', failure: action.failure });
        } else {
          refuse(turn, { kind: 'eap', failure: action.failure });
        }
        return undefined;
      case 'trace':
        debug(turn, `EAP: ${action.what}`);
        break;
      case 'need-secret':
      case 'tls-start':
      case 'tls-input':
      case 'tls-write':
      case 'tls-close':
      case 'notification':
        emit(turn, { kind: 'eap', action });
        break;
    }
  }
  const { eapWaitMs } = turn.sa.config;
  if (reply) {
    update(turn, { phase: { name: 'eap-await-response', handshake, eap: next } });
    sendRequest(
      turn,
      currentOf(turn.sa).id,
      ExchangeType.IKE_AUTH,
      [{ kind: 'EAP', packet: reply }],
      { kind: 'auth' },
      eapWaitMs,
    );
  } else {
    const { phase } = turn.sa;
    const until = phase.name === 'eap-await-host' ? phase.until : turn.now + eapWaitMs;
    update(turn, { phase: { name: 'eap-await-host', handshake, eap: next, until } });
  }
  return next;
}
