import { equal, wipe } from '@aovpn/bytes';
import type { EapCrypto, EapFailure } from '../peer-contract.ts';
import {
  canBeNewPassword,
  newPasswordEncryptedWithOldNtPasswordHash,
  oldNtPasswordHashEncryptedWithNewNtPasswordHash,
} from './change-password.ts';
import { reportOf, type MschapV2Failure } from './verdict.ts';
import {
  generateAuthenticatorResponse,
  generateNtResponse,
  isAuthenticatorResponse,
  mschapV2Msk,
  ntPasswordHash,
  type Challenges,
} from './ms-chap-v2.ts';

/** Longest password, in octets of UTF-8: RFC 2759 §8.1 allows 256 characters. */
const passwordLimit = 1024;
/** New passwords that a person may propose when the server does not take the first. */
const changeLimit = 3;
/** The version of the Change-Password packet that there is (RFC 2759 §6). */
const changeVersion = 3;

/** A logon by MS-CHAPv2 (RFC 2759) between two steps, without its packets: EAP-MSCHAPv2 and EAP-TTLS each have their own. */
export interface Logon {
  readonly userName: string;
  readonly phase:
    | { readonly kind: 'start' }
    /** The password has been asked for; `id` goes into the Response. `refused`: what the server said of the previous one. */
    | { readonly kind: 'secret'; readonly id: number; readonly challenge: Uint8Array; readonly refused: Refused | undefined }
    /** The new password has been asked for; `refused` is about the old one. */
    | {
        readonly kind: 'new-secret';
        readonly id: number;
        readonly challenge: Uint8Array;
        readonly refused: Refused;
        readonly changes: number;
      }
    | {
        readonly kind: 'responded';
        readonly proof: Proof;
        readonly id: number;
        readonly challenge: Uint8Array;
        readonly retried: boolean;
        /** `proof` is for a new password that was sent along. */
        readonly change: { readonly oldPasswordHash: Uint8Array; readonly count: number } | undefined;
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

export interface LogonResponse {
  readonly id: number;
  readonly peerChallenge: Uint8Array;
  readonly ntResponse: Uint8Array;
}

/** The fields of a Change-Password packet (RFC 2759 §7). `ntResponse` is the new password's. */
export interface LogonChange extends LogonResponse {
  /** 516 octets. */
  readonly encryptedPassword: Uint8Array;
  /** 16 octets. */
  readonly encryptedHash: Uint8Array;
}

export interface LogonStep {
  readonly logon: Logon;
  readonly move:
    /** A secret is needed; see {@link takeSecret}. */
    | { readonly kind: 'ask'; readonly what: 'password' | 'new-password'; readonly retry: boolean; readonly message?: string }
    | { readonly kind: 'respond'; readonly response: LogonResponse }
    | { readonly kind: 'change'; readonly change: LogonChange }
    /** The server knows the password. */
    | { readonly kind: 'proven'; readonly msk: Uint8Array }
    /** `acknowledge`: it was the server's word, which it wants acknowledged. */
    | { readonly kind: 'failed'; readonly failure: EapFailure; readonly acknowledge: boolean };
}

export function startLogon(userName: string): Logon {
  return { userName, phase: { kind: 'start' } };
}

/** The authenticator's challenge of 16 octets; once only. */
export function takeChallenge(logon: Logon, id: number, challenge: Uint8Array): LogonStep {
  if (logon.phase.kind !== 'start') return failed(logon, 'out-of-order', 'a second MS-CHAPv2 challenge');
  return {
    logon: { ...logon, phase: { kind: 'secret', id, challenge, refused: undefined } },
    move: { kind: 'ask', what: 'password', retry: false },
  };
}

/** A Success with its 40 digits after `S=`. Believed only when it proves that the server knows the password. */
export function takeSuccess(crypto: EapCrypto, logon: Logon, authenticator: string): LogonStep {
  const { phase } = logon;
  if (phase.kind !== 'responded') return failed(logon, 'out-of-order', 'an MS-CHAPv2 Success before our Response');
  const { challenges, passwordHash, ntResponse } = phase.proof;
  const expected = generateAuthenticatorResponse(crypto, challenges, logon.userName, passwordHash, ntResponse);
  const proven = isAuthenticatorResponse(authenticator, expected);
  wipe(expected);
  if (!proven) {
    forgetLogon(logon);
    return failed(logon, 'server-not-proven', 'the server does not know the password: its authenticator response is wrong');
  }
  const msk = mschapV2Msk(crypto, passwordHash, ntResponse);
  forgetLogon(logon);
  return { logon: end(logon), move: { kind: 'proven', msk } };
}

/** What can follow a Failure in what carries the logon: nothing, a change of password, or another attempt too. */
export type Remedy = 'none' | 'change' | 'any';

/** A Failure of number `id`. */
export function takeFailure(logon: Logon, id: number, failure: MschapV2Failure, remedy: Remedy): LogonStep {
  const { phase } = logon;
  if (phase.kind !== 'responded') return failed(logon, 'out-of-order', 'an MS-CHAPv2 Failure before our Response');
  const report = reportOf(failure);
  const challenge = failure.challenge ?? phase.challenge;
  const message = failure.message === '' ? {} : { message: failure.message };
  const { passwordHash } = phase.proof;
  if (remedy === 'none') return giveUp(logon, report);
  if (failure.error === 648 && !phase.change && failure.version === changeVersion) {
    return {
      logon: {
        ...logon,
        phase: { kind: 'new-secret', id: next(id), challenge, refused: { passwordHash, failure: report }, changes: 0 },
      },
      move: { kind: 'ask', what: 'new-password', retry: false, ...message },
    };
  }
  if (failure.error === 709 && phase.change && failure.retry && phase.change.count < changeLimit) {
    wipe(passwordHash);
    const refused = { passwordHash: phase.change.oldPasswordHash, failure: report };
    return {
      logon: { ...logon, phase: { kind: 'new-secret', id: next(id), challenge, refused, changes: phase.change.count } },
      move: { kind: 'ask', what: 'new-password', retry: true, ...message },
    };
  }
  if (remedy === 'any' && failure.error === 691 && failure.retry && !phase.retried && !phase.change) {
    return {
      // RFC 2759 §6: the retry answers the new challenge if there is one, with the identifier counted up by one.
      logon: { ...logon, phase: { kind: 'secret', id: next(phase.id), challenge, refused: { passwordHash, failure: report } } },
      move: { kind: 'ask', what: 'password', retry: true, ...message },
    };
  }
  return giveUp(logon, report);
}

/** The answer to `ask`: UTF-8 octets, overwritten here. */
export function takeSecret(crypto: EapCrypto, logon: Logon, secret: Uint8Array | undefined): LogonStep {
  switch (logon.phase.kind) {
    case 'secret':
      return takePassword(crypto, logon, logon.phase, secret);
    case 'new-secret':
      return takeNewPassword(crypto, logon, logon.phase, secret);
    case 'start':
    case 'responded':
    case 'ended':
      wipe(secret);
      return failed(logon, 'out-of-order', 'an answer that nobody asked for');
  }
}

/** Whether the server has our Response and has not answered it. */
export function hasResponded({ phase }: Logon): boolean {
  return phase.kind === 'responded';
}

/** Overwrites what is secret in a logon that will not be used again. */
export function forgetLogon({ phase }: Logon): void {
  switch (phase.kind) {
    case 'responded':
      return wipe(phase.proof.passwordHash, phase.change?.oldPasswordHash);
    case 'secret':
    case 'new-secret':
      return wipe(phase.refused?.passwordHash);
    case 'start':
    case 'ended':
  }
}

function takePassword(
  crypto: EapCrypto,
  logon: Logon,
  phase: Extract<Logon['phase'], { kind: 'secret' }>,
  secret: Uint8Array | undefined,
): LogonStep {
  const { refused } = phase;
  if (!secret || secret.length > passwordLimit) {
    wipe(secret);
    if (refused) return giveUp(logon, refused.failure);
    return failed(logon, 'no-secret', secret ? `a password longer than ${passwordLimit} octets` : 'no password for the user');
  }
  const passwordHash = ntPasswordHash(secret);
  wipe(secret);
  // The same wrong password again would only bring the account nearer to its lock-out.
  if (refused && equal(refused.passwordHash, passwordHash)) {
    wipe(passwordHash);
    return giveUp(logon, refused.failure);
  }
  wipe(refused?.passwordHash);
  const proof = prove(crypto, logon, phase.challenge, passwordHash);
  const { id, challenge } = phase;
  return {
    logon: {
      ...logon,
      phase: { kind: 'responded', proof, id, challenge, retried: refused !== undefined, change: undefined },
    },
    move: { kind: 'respond', response: { id, peerChallenge: proof.challenges.peer, ntResponse: proof.ntResponse } },
  };
}

function takeNewPassword(
  crypto: EapCrypto,
  logon: Logon,
  phase: Extract<Logon['phase'], { kind: 'new-secret' }>,
  secret: Uint8Array | undefined,
): LogonStep {
  const { failure, passwordHash: oldPasswordHash } = phase.refused;
  const expired = (why: string): LogonStep => {
    wipe(secret);
    return giveUp(logon, { ...failure, kind: 'password-expired', detail: `${failure.detail}; ${why}` });
  };
  if (!secret) return expired('no new password was given');
  if (!canBeNewPassword(secret)) return expired('a new password has 1 to 256 characters');
  const passwordHash = ntPasswordHash(secret);
  if (equal(passwordHash, oldPasswordHash)) {
    wipe(passwordHash);
    return expired('the new password is the old one');
  }
  const proof = prove(crypto, logon, phase.challenge, passwordHash);
  const { id, challenge } = phase;
  const change: LogonChange = {
    id,
    peerChallenge: proof.challenges.peer,
    ntResponse: proof.ntResponse,
    encryptedPassword: newPasswordEncryptedWithOldNtPasswordHash(crypto, secret, oldPasswordHash),
    encryptedHash: oldNtPasswordHashEncryptedWithNewNtPasswordHash(oldPasswordHash, passwordHash),
  };
  wipe(secret);
  return {
    logon: {
      ...logon,
      phase: {
        kind: 'responded',
        proof,
        id,
        challenge,
        retried: true,
        change: { oldPasswordHash, count: phase.changes + 1 },
      },
    },
    move: { kind: 'change', change },
  };
}

function prove(crypto: EapCrypto, logon: Logon, authenticator: Uint8Array, passwordHash: Uint8Array): Proof {
  const challenges = { authenticator, peer: crypto.random(16) };
  return { challenges, passwordHash, ntResponse: generateNtResponse(crypto, challenges, logon.userName, passwordHash) };
}

function giveUp(logon: Logon, failure: EapFailure): LogonStep {
  forgetLogon(logon);
  return { logon: end(logon), move: { kind: 'failed', failure, acknowledge: true } };
}

function failed(logon: Logon, kind: EapFailure['kind'], detail: string): LogonStep {
  return { logon, move: { kind: 'failed', failure: { kind, detail }, acknowledge: false } };
}

function end(logon: Logon): Logon {
  return { ...logon, phase: { kind: 'ended' } };
}

function next(id: number): number {
  return (id + 1) & 0xff;
}
