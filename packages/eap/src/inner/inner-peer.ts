import type { EapAction, EapCrypto, InnerEapConfig } from '../peer-contract.ts';
import { forgetConversation, startConversation, stepConversation, type EapState, type EapStep } from '../conversation.ts';
import { bindMethod } from '../method/bind.ts';
import type { MethodAnswer, MethodOutcome, Question } from '../method/method.ts';
import { innerMethods } from './inner-table.ts';

/** An EAP peer in a tunnel: its packets travel as application data, and its method may have TLS of its own (channel `inner`). */
export interface InnerPeer {
  readonly conversation: EapState;
}

/** At least one of `response`, `ask` and `outcome`, or nothing if the packet asked for nothing new. */
export interface InnerStep {
  readonly peer: InnerPeer;
  /** A whole EAP packet for the server. With an `outcome` of failure beside it, it is owed before the end. */
  readonly response?: Uint8Array;
  readonly ask?: Question;
  /** An MSK in it is a copy, for the caller to overwrite. */
  readonly outcome?: MethodOutcome;
  /** Notifications and traces, and `tls-close` of the inner channel. */
  readonly actions: readonly EapAction[];
}

/** Only for a tunnel whose server has been verified: the identity goes out with the first answer. */
export function startInnerPeer({ identity, method }: InnerEapConfig, { expandedNak = true } = {}): InnerPeer {
  const bound = bindMethod(innerMethods, method, 'inner');
  return { conversation: startConversation({ identity, ...bound, keyless: true, expandedNak }) };
}

/** Takes a whole EAP packet of the server. */
export function receiveInner(crypto: EapCrypto, peer: InnerPeer, packet: Uint8Array): InnerStep {
  return translate(stepConversation(crypto, peer.conversation, { kind: 'packet', packet }));
}

/** Takes the answer to the newest `ask`. */
export function answerInner(crypto: EapCrypto, peer: InnerPeer, answer: MethodAnswer): InnerStep {
  const request = peer.conversation.thinking?.question ?? 0;
  return translate(stepConversation(crypto, peer.conversation, { ...answer, request }));
}

/** Overwrites what is secret. */
export function forgetInner(peer: InnerPeer): void {
  forgetConversation(peer.conversation);
}

function translate({ state, actions }: EapStep): InnerStep {
  const { held } = state;
  let step: InnerStep = { peer: { conversation: state }, actions: [] };
  if (held) step = { ...step, outcome: { ...held, msk: held.msk.slice() } };
  for (const action of actions) {
    switch (action.kind) {
      case 'reply':
        step = { ...step, response: action.packet };
        break;
      case 'need-secret':
      case 'tls-start':
      case 'tls-input':
      case 'tls-write':
        step = { ...step, ask: action };
        break;
      case 'succeeded':
      case 'failed':
        step = { ...step, outcome: action };
        break;
      case 'tls-close':
      case 'notification':
      case 'trace':
        step = { ...step, actions: [...step.actions, action] };
        break;
    }
  }
  return step;
}
