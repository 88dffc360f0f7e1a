import { decodeUtf8, equal, wipe } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import { printable } from '../printable.ts';
import { failed, type EapMethod, type MethodAnswer, type MethodStep } from './method.ts';

/** Questions of one server: a password, a code, the next code, and some more. */
const questionLimit = 8;
/** Octets of a question that are read; what an EAP packet of the smallest MTU holds (RFC 3748 §3.1). */
const messageLimit = 1015;
/** Longest answer, octets. */
const answerLimit = 1024;

export interface GtcState {
  readonly userName: string;
  readonly phase: 'server' | 'secret' | 'ended';
  /** The newest question. */
  readonly question: { readonly message: string; readonly what: 'password' | 'token' } | undefined;
  readonly questions: number;
  /** The answer to the question before, so that a wrong password is not sent twice; overwritten at the end. */
  readonly previous: Uint8Array | undefined;
}

type Step = MethodStep<GtcState>;

/**
 * EAP-GTC (RFC 3748 §5.6): the server asks in clear text and is answered in clear text, so it runs inside a tunnel only, and it
 * yields no key. The server may ask again after any answer; only the end of the conversation around it says that it was content.
 */
export const gtcMethod: EapMethod<'gtc'> = {
  type: 6,
  name: 'EAP-GTC',
  begin: ({ userName }) => ({ userName, phase: 'server', question: undefined, questions: 0, previous: undefined }),
  receive: (_crypto, state, data) => receive(state, data),
  answer: (crypto, state, answer) => takeSecret(crypto, state, answer),
  awaitsVerdict: ({ previous }) => (previous ? 'secret' : undefined),
  forget: ({ previous }) => wipe(previous),
};

/**
 * What a question wants. Servers that check a stored password with EAP-GTC call it by its name (FreeRADIUS: "Password: ") or say
 * nothing at all; whatever else is asked for is a code that has to be read off some device.
 */
export function secretAskedFor(message: string): 'password' | 'token' {
  if (message === '') return 'password';
  return /passw|kennwort|mot de passe|contrase(?:\u00f1|n)a|wachtwoord|has[l\u0142]o/iu.test(message) &&
    !/one.?time|\botp\b|new passw/iu.test(message)
    ? 'password'
    : 'token';
}

function receive(state: GtcState, data: Uint8Array): Step {
  if (state.phase !== 'server') return failed(state, 'out-of-order', 'an EAP-GTC question before the previous one was answered');
  if (data.length > messageLimit) return failed(state, 'malformed', `an EAP-GTC question of ${data.length} octets`);
  const questions = state.questions + 1;
  if (questions > questionLimit) return failed(state, 'out-of-order', `more than ${questionLimit} EAP-GTC questions`);
  const message = printable(decodeUtf8(data));
  const what = secretAskedFor(message);
  const retry = state.question?.message === message;
  const ask = { kind: 'need-secret', what, userName: state.userName, retry } as const;
  return {
    state: { ...state, phase: 'secret', question: { message, what }, questions },
    ask: message === '' ? ask : { ...ask, message },
  };
}

function takeSecret(_crypto: EapCrypto, state: GtcState, answer: MethodAnswer): Step {
  const { question, previous } = state;
  if (state.phase !== 'secret' || !question || answer.kind !== 'secret')
    return failed(state, 'out-of-order', 'an answer that nobody asked for');
  const { secret } = answer;
  if (!secret || secret.length === 0 || secret.length > answerLimit) {
    wipe(secret);
    if (previous && question.what === 'password')
      return failed(end(state), 'wrong-password', 'the server did not take the password');
    return failed(
      end(state),
      'no-secret',
      secret ? `an answer of ${secret.length} octets to EAP-GTC` : 'no answer to the question of EAP-GTC',
    );
  }
  // The same wrong password again would only bring the account nearer to its lock-out.
  if (previous && equal(previous, secret)) {
    wipe(secret);
    return failed(end(state), 'wrong-password', `the server did not take the ${question.what === 'token' ? 'code' : 'password'}`);
  }
  wipe(previous);
  const reply = secret.slice();
  const kept = secret.slice();
  wipe(secret);
  return {
    state: { ...state, phase: 'server', previous: kept },
    reply,
    outcome: { kind: 'succeeded', msk: new Uint8Array(0), method: 'EAP-GTC', mayContinue: true },
  };
}

function end(state: GtcState): GtcState {
  wipe(state.previous);
  return { ...state, phase: 'ended', previous: undefined };
}
