import { stepEap, type EapEvent } from '@aovpn/eap';
import type { Message } from '../message/payload.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { authError, refuse, sendProof } from './auth.ts';
import { pick, pickError } from './pick.ts';
import type { EapRun, Handshake } from './state.ts';
import { currentOf, debug, emit, fail, update, type Turn } from './turn.ts';
import { sendLastWords, sendRequest } from './window.ts';

/** EAP code of a Success packet (RFC 3748 §4.2). */
const eapSuccess = 3;

/** The EAP rounds of IKE_AUTH (RFC 7296 §2.16). Only begun once the gateway's certificate and signature were accepted. */
export function processEapResponse(turn: Turn, handshake: Handshake, run: EapRun, message: Message): void {
  const { payloads } = message;
  const eap = pick(payloads, 'EAP');
  if (!eap) {
    const error = pickError(payloads);
    if (error) return fail(turn, authError(turn, error.type));
    return refuse(turn, { kind: 'protocol', detail: 'an EAP round without an EAP payload' });
  }
  const violation = checkExchange(message, 'ike-auth-eap')[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  processEapPacket(turn, handshake, run, eap.packet);
}

/** A packet of the gateway's EAP. Success counts only when the method was complete and left a key. */
export function processEapPacket(turn: Turn, handshake: Handshake, run: EapRun, packet: Uint8Array): void {
  const next = step(turn, handshake, run, { kind: 'packet', packet: packet.slice() });
  if (!next || packet[0] !== eapSuccess) return;
  if (!next.msk) return refuse(turn, { kind: 'eap', failure: { kind: 'out-of-order', detail: 'EAP-Success without a key' } });
  update(turn, { gateway: { ...turn.sa.gateway, authentication: `${turn.sa.gateway.authentication}; ${next.method}` } });
  sendProof(turn, handshake, next.msk);
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
          sendLastWords(turn, ExchangeType.IKE_AUTH, [{ kind: 'EAP', packet: reply }]);
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
