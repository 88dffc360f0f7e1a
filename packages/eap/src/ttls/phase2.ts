import type { EapCrypto, EapMethodConfig, Proof } from '../peer-contract.ts';
import { awaitsVerdict } from '../conversation.ts';
import type { MethodAnswer } from '../method/method.ts';
import { hasResponded } from '../mschapv2/logon.ts';
import { avpType, type Avp, type AvpType } from './avp.ts';
import { answerChap, beginChap, chapChallengeLength, receiveChap, startChap, type Chap } from './chap.ts';
import { answerInnerEap, beginInnerEap, forgetInnerEap, receiveInnerEap, startInnerEap, type InnerEap } from './eap.ts';
import {
  answerMsChapV2,
  beginMsChapV2,
  forgetMsChapV2,
  msChapV2ChallengeLength,
  receiveMsChapV2,
  startMsChapV2,
  type MsChapV2,
} from './ms-chap-v2.ts';
import { answerPap, beginPap, forgetPap, receivePap, startPap, type Pap } from './pap.ts';
import type { Phase2Step } from './step.ts';

/** How the user is authenticated in the tunnel of EAP-TTLS (RFC 5281 §11.2). */
export type Phase2 = Pap | Chap | MsChapV2 | InnerEap;

export function beginPhase2(config: Extract<EapMethodConfig, { readonly kind: 'ttls' }>['inner']): Phase2 {
  switch (config.kind) {
    case 'pap':
      return beginPap(config.userName);
    case 'chap':
    case 'mschap':
      return beginChap(config.kind, config.userName);
    case 'mschapv2':
      return beginMsChapV2(config.userName);
    case 'eap':
      return beginInnerEap(config);
  }
}

/** Octets of implicit challenge that TLS exports (RFC 5281 §11.1); TLS 1.3 wants to know them exactly (RFC 9427 §2.3). */
export function challengeLengthOf(state: Phase2): number {
  switch (state.kind) {
    case 'chap':
    case 'mschap':
      return chapChallengeLength(state.kind);
    case 'mschapv2':
      return msChapV2ChallengeLength;
    case 'pap':
    case 'eap':
      return 0;
  }
}

/** AVPs of a server that are understood, beside Reply-Message. */
export function understoodBy(state: Phase2): readonly AvpType[] {
  switch (state.kind) {
    case 'pap':
      return [avpType.state];
    case 'chap':
    case 'mschap':
      return [];
    case 'mschapv2':
      return [avpType.msChap2Success, avpType.msChapError, avpType.msChapDomain];
    case 'eap':
      return [avpType.eapMessage];
  }
}

/** The tunnel is up and its server verified: the client speaks first. `challenge`: of {@link challengeLengthOf} octets. */
export function startPhase2(crypto: EapCrypto, state: Phase2, challenge: Uint8Array): Phase2Step<Phase2> {
  switch (state.kind) {
    case 'pap':
      return startPap(state);
    case 'chap':
    case 'mschap':
      return startChap(state, challenge);
    case 'mschapv2':
      return startMsChapV2(state, challenge);
    case 'eap':
      return startInnerEap(crypto, state);
  }
}

/** AVPs of the server that are understood; `message` is its Reply-Message, printable. */
export function receivePhase2(crypto: EapCrypto, state: Phase2, avps: readonly Avp[], message: string): Phase2Step<Phase2> {
  // PAP puts it into its question; with the others it is only shown.
  if (state.kind === 'pap') return receivePap(state, avps, message);
  const step = receiveOther(crypto, state, avps);
  if (message === '') return step;
  return { ...step, actions: [{ kind: 'notification', text: message }, ...(step.actions ?? [])] };
}

export function answerPhase2(crypto: EapCrypto, state: Phase2, answer: MethodAnswer): Phase2Step<Phase2> {
  switch (state.kind) {
    case 'pap':
      return answerPap(state, answer);
    case 'chap':
    case 'mschap':
      return answerChap(crypto, state, answer);
    case 'mschapv2':
      return answerMsChapV2(crypto, state, answer);
    case 'eap':
      return answerInnerEap(crypto, state, answer);
  }
}

/** What has left, as long as the server has not shown what it thinks of it. */
export function phase2AwaitsVerdict(state: Phase2): Proof | undefined {
  switch (state.kind) {
    case 'pap':
    case 'chap':
    case 'mschap':
      return state.phase === 'sent' ? 'secret' : undefined;
    case 'mschapv2':
      return hasResponded(state.logon) ? 'secret' : undefined;
    case 'eap':
      return awaitsVerdict(state.peer.conversation);
  }
}

/** Overwrites what is secret. */
export function forgetPhase2(state: Phase2): void {
  switch (state.kind) {
    case 'pap':
      return forgetPap(state);
    case 'mschapv2':
      return forgetMsChapV2(state);
    case 'eap':
      return forgetInnerEap(state);
    case 'chap':
    case 'mschap':
  }
}

function receiveOther(crypto: EapCrypto, state: Exclude<Phase2, Pap>, avps: readonly Avp[]): Phase2Step<Phase2> {
  switch (state.kind) {
    case 'chap':
    case 'mschap':
      return receiveChap(state);
    case 'mschapv2':
      return receiveMsChapV2(crypto, state, avps);
    case 'eap':
      return receiveInnerEap(crypto, state, avps);
  }
}
