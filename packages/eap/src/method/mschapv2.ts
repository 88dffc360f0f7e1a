import { encodeUtf8, equalConstantTime, wipe } from '@aovpn/bytes';
import type { EapCrypto, EapFailure } from '../peer-contract.ts';
import { eapType } from '../packet.ts';
import { mschapV2Errors } from '../mschapv2/error-number.ts';
import { mschapV2OpCode, readMessage, writeMschapResponse, type MschapV2Failure } from '../mschapv2/message.ts';
import {
  generateAuthenticatorResponse,
  generateNtResponse,
  isAuthenticatorResponse,
  mschapV2Msk,
  ntPasswordHash,
  type Challenges,
} from '../mschapv2/ms-chap-v2.ts';
import { failed, type EapMethod, type MethodAnswer, type MethodStep } from './method.ts';

/** Longest password, in octets of UTF-8: RFC 2759 §8.1 allows 256 characters. */
const passwordLimit = 1024;

export interface MschapV2State {
  readonly userName: string;
  readonly phase:
    | { readonly kind: 'start' }
    /** The password has been asked for; `id` goes into the Response. `refused`: what the server said of the previous one. */
    | { readonly kind: 'secret'; readonly id: number; readonly challenge: Uint8Array; readonly refused: Refused | undefined }
    | {
        readonly kind: 'responded';
        readonly proof: Proof;
        readonly id: number;
        readonly challenge: Uint8Array;
        readonly retried: boolean;
      }
    | { readonly kind: 'ended' };
}

/** The Response sent, as far as the server's answer depends on it. */
interface Proof {
  readonly challenges: Challenges;
  readonly passwordHash: Uint8Array;
  readonly ntResponse: Uint8Array;
}

interface Refused {
  readonly passwordHash: Uint8Array;
  readonly failure: EapFailure;
}

type Step = MethodStep<MschapV2State>;

/** EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02 over RFC 2759). */
export const mschapV2Method: EapMethod<'mschapv2'> = {
  type: eapType.mschapv2,
  name: 'EAP-MSCHAPv2',
  begin: (config) => ({ userName: config.userName, phase: { kind: 'start' } }),
  receive: (crypto, state, data) => receive(crypto, state, data),
  answer: (crypto, state, answer) => takeSecret(crypto, state, answer),
  forget: ({ phase }) => {
    if (phase.kind === 'responded') wipe(phase.proof.passwordHash);
    if (phase.kind === 'secret') wipe(phase.refused?.passwordHash);
  },
};

function receive(crypto: EapCrypto, state: MschapV2State, data: Uint8Array): Step {
  const message = readMessage(data);
  const { phase } = state;
  switch (message.kind) {
    case 'malformed':
      return failed(state, 'malformed', `EAP-MSCHAPv2: ${message.problem}`);
    case 'challenge':
      if (phase.kind !== 'start') return failed(state, 'out-of-order', 'a second MS-CHAPv2 challenge');
      return {
        state: { ...state, phase: { kind: 'secret', id: message.id, challenge: message.challenge, refused: undefined } },
        ask: { kind: 'need-secret', what: 'password', userName: state.userName, retry: false },
      };
    case 'success':
      if (phase.kind !== 'responded') return failed(state, 'out-of-order', 'an MS-CHAPv2 Success before our Response');
      return believeSuccess(crypto, state, phase.proof, message.authenticator);
    case 'failure':
      if (phase.kind !== 'responded') return failed(state, 'out-of-order', 'an MS-CHAPv2 Failure before our Response');
      return takeFailure(state, phase, message.failure);
  }
}

function believeSuccess(crypto: EapCrypto, state: MschapV2State, proof: Proof, authenticator: string): Step {
  const { challenges, passwordHash, ntResponse } = proof;
  const expected = generateAuthenticatorResponse(crypto, challenges, state.userName, passwordHash, ntResponse);
  const proven = isAuthenticatorResponse(authenticator, expected);
  wipe(expected);
  if (!proven)
    return failed(state, 'server-not-proven', 'the server does not know the password: its authenticator response is wrong');
  const msk = mschapV2Msk(crypto, passwordHash, ntResponse);
  wipe(passwordHash);
  return {
    state: { ...state, phase: { kind: 'ended' } },
    reply: Uint8Array.of(mschapV2OpCode.success),
    outcome: { kind: 'succeeded', msk, method: 'EAP-MSCHAPv2' },
  };
}

function takeFailure(
  state: MschapV2State,
  phase: Extract<MschapV2State['phase'], { kind: 'responded' }>,
  failure: MschapV2Failure,
): Step {
  const known = mschapV2Errors[failure.error];
  const report: EapFailure = {
    kind: known?.kind ?? 'rejected',
    detail: `${known?.what ?? 'the server refused the logon'} (error ${failure.error})`,
    number: failure.error,
  };
  if (report.kind !== 'wrong-password' || !failure.retry || phase.retried) return giveUp(state, report, phase.proof.passwordHash);
  return {
    // RFC 2759 §6: the retry answers the new challenge if there is one, with the identifier counted up by one.
    state: {
      ...state,
      phase: {
        kind: 'secret',
        id: (phase.id + 1) & 0xff,
        challenge: failure.challenge ?? phase.challenge,
        refused: { passwordHash: phase.proof.passwordHash, failure: report },
      },
    },
    ask: { kind: 'need-secret', what: 'password', userName: state.userName, retry: true },
  };
}

function takeSecret(crypto: EapCrypto, state: MschapV2State, answer: MethodAnswer): Step {
  const { phase } = state;
  if (phase.kind !== 'secret' || answer.kind !== 'secret')
    return failed(state, 'out-of-order', 'an answer that nobody asked for');
  const { secret } = answer;
  if (!secret || secret.length > passwordLimit) {
    if (phase.refused) return giveUp(state, phase.refused.failure, phase.refused.passwordHash);
    return failed(state, 'no-secret', secret ? `a password longer than ${passwordLimit} octets` : 'no password for the user');
  }
  const passwordHash = ntPasswordHash(secret);
  wipe(secret);
  // The same wrong password again would only bring the account nearer to its lock-out.
  if (phase.refused && equalConstantTime(phase.refused.passwordHash, passwordHash)) {
    wipe(passwordHash);
    return giveUp(state, phase.refused.failure, phase.refused.passwordHash);
  }
  wipe(phase.refused?.passwordHash);
  const challenges = { authenticator: phase.challenge, peer: crypto.random(16) };
  const ntResponse = generateNtResponse(crypto, challenges, state.userName, passwordHash);
  return {
    state: {
      ...state,
      phase: {
        kind: 'responded',
        proof: { challenges, passwordHash, ntResponse },
        id: phase.id,
        challenge: phase.challenge,
        retried: phase.refused !== undefined,
      },
    },
    reply: writeMschapResponse(phase.id, challenges.peer, ntResponse, encodeUtf8(state.userName)),
  };
}

/** Acknowledges the server's Failure (draft-kamath §2.4) and ends with its reason. */
function giveUp(state: MschapV2State, failure: EapFailure, passwordHash: Uint8Array): Step {
  wipe(passwordHash);
  return {
    state: { ...state, phase: { kind: 'ended' } },
    reply: Uint8Array.of(mschapV2OpCode.failure),
    outcome: { kind: 'failed', failure },
  };
}
