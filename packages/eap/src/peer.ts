import type { EapCrypto, EapEvent, EapPeerConfig } from './peer-contract.ts';
import { startConversation, stepConversation, type EapState, type EapStep } from './conversation.ts';
import { bindMethod } from './method/bind.ts';
import { methods } from './method/table.ts';

export type { EapState, EapStep };

/** A peer that waits for the authenticator's first Request. */
export function startEapPeer(config: EapPeerConfig): EapState {
  return startConversation({
    identity: config.identity,
    ...bindMethod(methods, config.method, 'outer'),
    keyless: false,
    expandedNak: true,
  });
}

/**
 * One step of the EAP peer (RFC 3748; RFC 4137 as a guide). Never throws on what a server sent.
 *
 * `succeeded` (with the MSK) comes when the method is complete and the server has proven itself, normally together with the last
 * `reply`; the EAP-Success that follows yields no `failed`, and only then may the caller go on. An EAP-Success at any other time
 * yields `failed` (`out-of-order`). `failed` is final; a `reply` before it in the same step is owed to the server, but may be left out.
 */
export function stepEap(crypto: EapCrypto, state: EapState, event: EapEvent): EapStep {
  return stepConversation(crypto, state, event);
}
