import { concat, wipe } from '@aovpn/bytes';
import type { EapCrypto, InnerEapConfig } from '../peer-contract.ts';
import { answerInner, forgetInner, receiveInner, startInnerPeer, type InnerPeer, type InnerStep } from '../inner/inner-peer.ts';
import type { MethodAnswer } from '../method/method.ts';
import { avpType, isAvp, writeAvps, type Avp } from './avp.ts';
import { phase2Failed, type Phase2Step } from './step.ts';

/** EAP in EAP-TTLS (RFC 5281 §11.2.1): its packets travel in EAP-Message AVPs, and the client begins with its identity. */
export interface InnerEap {
  readonly kind: 'eap';
  readonly peer: InnerPeer;
  /** The method's name once it has ended well, until the server goes on with it. */
  readonly succeeded: string | undefined;
}

type Step = Phase2Step<InnerEap>;

/** The Request that nobody sends: an EAP peer speaks first only in EAP-TTLS. */
const identityRequest = Uint8Array.of(1, 0, 0, 5, 1);

export function beginInnerEap(config: InnerEapConfig): InnerEap {
  return { kind: 'eap', peer: startInnerPeer(config), succeeded: undefined };
}

export function startInnerEap(crypto: EapCrypto, state: InnerEap): Step {
  return inAvps(state, receiveInner(crypto, state.peer, identityRequest));
}

/** A packet may come cut into several AVPs, as RADIUS cuts it (RFC 3579 §3.1). */
export function receiveInnerEap(crypto: EapCrypto, state: InnerEap, avps: readonly Avp[]): Step {
  const parts = avps.filter((avp) => isAvp(avp, avpType.eapMessage)).map(({ data }) => data);
  if (parts.length === 0) return inAvps(state, { peer: state.peer, actions: [] });
  return inAvps(state, receiveInner(crypto, state.peer, concat(...parts)));
}

export function answerInnerEap(crypto: EapCrypto, state: InnerEap, answer: MethodAnswer): Step {
  return inAvps(state, answerInner(crypto, state.peer, answer));
}

export function forgetInnerEap({ peer }: InnerEap): void {
  forgetInner(peer);
}

function inAvps(before: InnerEap, { peer, response, ask, outcome, actions }: InnerStep): Step {
  const goesOn = response !== undefined || ask !== undefined;
  const said = response && { write: writeAvps([avpType.eapMessage, response]) };
  wipe(response);
  if (outcome?.kind === 'failed') return { state: { ...before, peer }, ...said, outcome, actions };
  // The tunnel's keys are EAP-TTLS's; those of the method inside are not mixed in (RFC 5281 §8).
  wipe(outcome?.msk);
  const succeeded = outcome ? outcome.method : goesOn ? undefined : before.succeeded;
  const state = { ...before, peer, succeeded };
  if (ask) return { state, ask, actions };
  if (succeeded === undefined) {
    return response ? { state, ...said, actions } : { ...phase2Failed(state, 'out-of-order', 'a message without EAP'), actions };
  }
  return { state, ...said, outcome: { kind: 'succeeded', method: succeeded, mayContinue: true }, actions };
}
