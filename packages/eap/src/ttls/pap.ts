import { encodeUtf8, equal, wipe } from '@aovpn/bytes';
import type { MethodAnswer } from '../method/method.ts';
import { avpType, isAvp, writeAvps, type Avp } from './avp.ts';
import { phase2Failed, type Phase2Step } from './step.ts';

/** Longest password, octets (RFC 2865 §5.2: what a RADIUS server can be told). */
const passwordLimit = 128;
/** Questions of one server: the password, a code, the next code, and some more. */
const questionLimit = 8;
/** Longest State that is given back, octets (RFC 2865 §5.24). */
const stateLimit = 253;

/** PAP in EAP-TTLS (RFC 5281 §11.2.5). A server may answer the password with another question, as for a one-time code. */
export interface Pap {
  readonly kind: 'pap';
  readonly userName: string;
  readonly phase: 'start' | 'secret' | 'sent';
  /** What the newest question said, and the State that its answer gives back. */
  readonly message: string;
  readonly given: Uint8Array | undefined;
  readonly questions: number;
  /** The newest answer, so that a wrong one is not sent twice; overwritten at the end. */
  readonly previous: Uint8Array | undefined;
}

type Step = Phase2Step<Pap>;

export function beginPap(userName: string): Pap {
  return { kind: 'pap', userName, phase: 'start', message: '', given: undefined, questions: 0, previous: undefined };
}

export function startPap(state: Pap): Step {
  return {
    state: { ...state, phase: 'secret', questions: 1 },
    ask: { kind: 'need-secret', what: 'password', userName: state.userName, retry: false },
  };
}

/** A Reply-Message after the password is the RADIUS server's Access-Challenge: it wants more. */
export function receivePap(state: Pap, avps: readonly Avp[], message: string): Step {
  if (state.phase !== 'sent') return phase2Failed(state, 'out-of-order', 'a question before the previous one was answered');
  if (message === '') return { state, outcome: succeeded };
  if (state.questions >= questionLimit) return phase2Failed(state, 'out-of-order', `more than ${questionLimit} questions`);
  const given = avps.find((avp) => isAvp(avp, avpType.state))?.data.slice();
  if (given && given.length > stateLimit) return phase2Failed(state, 'malformed', `a State of ${given.length} octets`);
  return {
    state: { ...state, phase: 'secret', message, given, questions: state.questions + 1 },
    ask: { kind: 'need-secret', what: 'token', userName: state.userName, message, retry: message === state.message },
  };
}

export function answerPap(state: Pap, answer: MethodAnswer): Step {
  if (state.phase !== 'secret' || answer.kind !== 'secret')
    return phase2Failed(state, 'out-of-order', 'an answer that nobody asked for');
  const { secret } = answer;
  if (!secret) return phase2Failed(state, 'no-secret', 'no password for the user');
  if (secret.length > passwordLimit) {
    wipe(secret);
    return phase2Failed(state, 'no-secret', `a password longer than ${passwordLimit} octets`);
  }
  // The same wrong answer again would only bring the account nearer to its lock-out.
  if (state.previous && equal(state.previous, secret)) {
    wipe(secret);
    return phase2Failed(state, 'wrong-password', `the server did not take the answer; it says: ${state.message}`);
  }
  wipe(state.previous);
  // RFC 5281 §11.2.5: filled up with zeros to a multiple of 16, so that its length does not show.
  const padded = new Uint8Array(Math.max(1, Math.ceil(secret.length / 16)) * 16);
  padded.set(secret);
  const previous = secret.slice();
  wipe(secret);
  const user = [avpType.userName, encodeUtf8(state.userName)] as const;
  const write = state.given
    ? writeAvps(user, [avpType.userPassword, padded], [avpType.state, state.given])
    : writeAvps(user, [avpType.userPassword, padded]);
  wipe(padded);
  return { state: { ...state, phase: 'sent', given: undefined, previous }, write, outcome: succeeded };
}

/** Overwrites what is secret. */
export function forgetPap({ previous }: Pap): void {
  wipe(previous);
}

const succeeded = { kind: 'succeeded', method: 'PAP', mayContinue: true } as const;
