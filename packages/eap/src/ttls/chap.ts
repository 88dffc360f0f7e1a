import { concat, encodeUtf8, wipe } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import type { MethodAnswer } from '../method/method.ts';
import { challengeResponse, ntPasswordHash } from '../mschapv2/ms-chap-v2.ts';
import { avpType, writeAvps } from './avp.ts';
import { phase2Failed, type Phase2Step } from './step.ts';

/** Longest password, octets of UTF-8. */
const passwordLimit = 1024;
/** Octets of challenge, before the identifier of one octet (RFC 5281 §11.2.2, §11.2.3). */
const challengeLengths = { chap: 16, mschap: 8 } as const;
const names = { chap: 'CHAP', mschap: 'MS-CHAP' } as const;

/** CHAP (RFC 1994) and MS-CHAP (RFC 2433) in EAP-TTLS: one answer to a challenge that neither side chose (RFC 5281 §11.1). */
export interface Chap {
  readonly kind: 'chap' | 'mschap';
  readonly userName: string;
  readonly phase: 'start' | 'secret' | 'sent';
  /** With the identifier at its end. */
  readonly challenge: Uint8Array;
}

type Step = Phase2Step<Chap>;

export function beginChap(kind: Chap['kind'], userName: string): Chap {
  return { kind, userName, phase: 'start', challenge: new Uint8Array() };
}

/** Octets that TLS exports: challenge and identifier. */
export function chapChallengeLength(kind: Chap['kind']): number {
  return challengeLengths[kind] + 1;
}

export function startChap(state: Chap, challenge: Uint8Array): Step {
  return {
    state: { ...state, phase: 'secret', challenge },
    ask: { kind: 'need-secret', what: 'password', userName: state.userName, retry: false },
  };
}

/** There is nothing more to say in either: what the server adds is heard and acknowledged. */
export function receiveChap(state: Chap): Step {
  if (state.phase !== 'sent') return phase2Failed(state, 'out-of-order', 'an answer of the server before the password was given');
  return { state, outcome: succeeded(state) };
}

export function answerChap(crypto: EapCrypto, state: Chap, answer: MethodAnswer): Step {
  if (state.phase !== 'secret' || answer.kind !== 'secret')
    return phase2Failed(state, 'out-of-order', 'an answer that nobody asked for');
  const { secret } = answer;
  if (!secret || secret.length > passwordLimit) {
    wipe(secret);
    return phase2Failed(
      state,
      'no-secret',
      secret ? `a password longer than ${passwordLimit} octets` : 'no password for the user',
    );
  }
  const write = state.kind === 'chap' ? writeChap(crypto, state, secret) : writeMsChap(state, secret);
  wipe(secret);
  return { state: { ...state, phase: 'sent' }, write, outcome: succeeded(state) };
}

/** CHAP-Password: the identifier, and MD5 of identifier, password and challenge (RFC 2865 §5.3). */
function writeChap(crypto: EapCrypto, { challenge, userName }: Chap, password: Uint8Array): Uint8Array {
  const identifier = challenge.subarray(16);
  const proof = crypto.md5(identifier, password, challenge.subarray(0, 16));
  return writeAvps(
    [avpType.userName, encodeUtf8(userName)],
    [avpType.chapChallenge, challenge.subarray(0, 16)],
    [avpType.chapPassword, concat(identifier, proof)],
  );
}

/** MS-CHAP-Response (RFC 2548 §2.1.3): identifier, flags (1: use the NT response), an empty LAN Manager response, the NT one. */
function writeMsChap({ challenge, userName }: Chap, password: Uint8Array): Uint8Array {
  const passwordHash = ntPasswordHash(password);
  const ntResponse = challengeResponse(challenge.subarray(0, 8), passwordHash);
  wipe(passwordHash);
  return writeAvps(
    [avpType.userName, encodeUtf8(userName)],
    [avpType.msChapChallenge, challenge.subarray(0, 8)],
    [avpType.msChapResponse, concat(challenge.subarray(8), Uint8Array.of(1), new Uint8Array(24), ntResponse)],
  );
}

function succeeded({ kind }: Chap): NonNullable<Step['outcome']> {
  return { kind: 'succeeded', method: names[kind], mayContinue: true };
}
