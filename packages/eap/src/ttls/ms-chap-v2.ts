import { concat, decodeUtf8, encodeUtf8 } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import type { MethodAnswer } from '../method/method.ts';
import {
  forgetLogon,
  startLogon,
  takeChallenge,
  takeFailure,
  takeSecret,
  takeSuccess,
  type Logon,
  type LogonChange,
  type LogonStep,
} from '../mschapv2/logon.ts';
import { parseFailure, parseSuccess } from '../mschapv2/verdict.ts';
import { printable } from '../printable.ts';
import { avpType, isAvp, writeAvps, type Avp, type AvpType } from './avp.ts';
import { phase2Failed, type Phase2Step } from './step.ts';

/** Longest text of a server's answer, octets: as in RADIUS. */
const textLimit = 253;

/** MS-CHAPv2 (RFC 2759) in EAP-TTLS (RFC 5281 §11.2.4): the challenge is implicit, and the server proves that it knows the password. */
export interface MsChapV2 {
  readonly kind: 'mschapv2';
  readonly logon: Logon;
  /** Of the tunnel, or of the server's last MS-CHAP-Error. */
  readonly challenge: Uint8Array;
  readonly identifier: number;
  /** The server has proven itself. */
  readonly proven: boolean;
}

type Step = Phase2Step<MsChapV2>;

/** Octets of the encrypted password in one MS-CHAP-NT-Enc-PW: what fits into an attribute of RADIUS (RFC 2548 §2.2). */
const pieceLength = 243;

/** Octets that TLS exports: a challenge of 16, and the identifier. */
export const msChapV2ChallengeLength = 17;

export function beginMsChapV2(userName: string): MsChapV2 {
  return { kind: 'mschapv2', logon: startLogon(userName), challenge: new Uint8Array(), identifier: 0, proven: false };
}

export function startMsChapV2(state: MsChapV2, implicit: Uint8Array): Step {
  const challenge = implicit.slice(0, 16);
  const identifier = implicit[16]!;
  return inAvps({ ...state, challenge, identifier }, takeChallenge(state.logon, identifier, challenge));
}

/**
 * MS-CHAP2-Success or MS-CHAP-Error (RFC 2548 §2.3.3, §2.1.5). An expired password can be changed, with the identifier and the challenge of
 * that error; any other error ends it (RFC 5281 §11.2.4).
 */
export function receiveMsChapV2(crypto: EapCrypto, state: MsChapV2, avps: readonly Avp[]): Step {
  const verdicts = avps.filter((avp) => isAvp(avp, avpType.msChap2Success) || isAvp(avp, avpType.msChapError));
  const [verdict] = verdicts;
  if (!verdict) {
    if (state.proven) return { state, outcome: succeeded };
    if (state.logon.phase.kind === 'responded') return { state };
    return phase2Failed(state, 'out-of-order', 'an answer of the server before our MS-CHAPv2 Response');
  }
  if (verdicts.length > 1) return phase2Failed(state, 'malformed', 'more than one MS-CHAPv2 answer');
  if (verdict.data.length < 1 || verdict.data.length > textLimit)
    return phase2Failed(state, 'malformed', `an MS-CHAPv2 answer of ${verdict.data.length} octets`);
  const text = decodeUtf8(verdict.data.subarray(1)).replace(/\0.*$/s, '');
  if (isAvp(verdict, avpType.msChapError)) {
    const failure = parseFailure(text);
    // hostapd's says "Failed" and nothing else.
    if (typeof failure === 'string')
      return phase2Failed(
        state,
        'rejected',
        `MS-CHAP-Error without a number; the server says: ${printable(decodeUtf8(verdict.data))}`,
      );
    const identifier = verdict.data[0]!;
    const { challenge } = failure;
    if (!challenge) return inAvps(state, takeFailure(state.logon, identifier, failure, 'none'));
    return inAvps({ ...state, identifier, challenge }, takeFailure(state.logon, identifier, failure, 'change'));
  }
  const authenticator = parseSuccess(text);
  if (authenticator === undefined)
    return phase2Failed(state, 'malformed', 'an MS-CHAP2-Success without S= and 40 hexadecimal digits');
  if (state.logon.phase.kind === 'responded' && verdict.data[0] !== state.identifier)
    return phase2Failed(state, 'malformed', 'an MS-CHAP2-Success with another identifier than our Response');
  return inAvps(state, takeSuccess(crypto, state.logon, authenticator));
}

export function answerMsChapV2(crypto: EapCrypto, state: MsChapV2, answer: MethodAnswer): Step {
  if (answer.kind !== 'secret') return phase2Failed(state, 'out-of-order', 'an answer that nobody asked for');
  return inAvps(state, takeSecret(crypto, state.logon, answer.secret));
}

export function forgetMsChapV2({ logon }: MsChapV2): void {
  forgetLogon(logon);
}

function inAvps(before: MsChapV2, { logon, move }: LogonStep): Step {
  const state = { ...before, logon };
  switch (move.kind) {
    case 'ask': {
      const { what, retry, message } = move;
      const ask = { kind: 'need-secret', what, userName: logon.userName, retry } as const;
      return { state, ask: message === undefined ? ask : { ...ask, message } };
    }
    case 'respond': {
      const { peerChallenge, ntResponse } = move.response;
      return {
        state,
        // MS-CHAP2-Response (RFC 2548 §2.3.2): identifier, flags, peer challenge, eight zeros, NT response.
        write: writeAvps(
          [avpType.userName, encodeUtf8(logon.userName)],
          [avpType.msChapChallenge, state.challenge],
          [avpType.msChap2Response, concat(Uint8Array.of(state.identifier, 0), peerChallenge, new Uint8Array(8), ntResponse)],
        ),
      };
    }
    case 'proven':
      // The keys are the tunnel's; the password's are not needed.
      move.msk.fill(0);
      return { state: { ...state, proven: true }, outcome: succeeded };
    case 'failed':
      return { state, outcome: { kind: 'failed', failure: move.failure } };
    case 'change':
      return { state, write: writeChange(state, move.change) };
  }
}

/** RFC 5281 §11.2.4: the new password in pieces, MS-CHAP2-CPW, and the challenge of the error once more. */
function writeChange({ identifier, challenge }: MsChapV2, change: LogonChange): Uint8Array {
  const { encryptedPassword, encryptedHash, peerChallenge, ntResponse } = change;
  const pieces: (readonly [AvpType, Uint8Array])[] = [];
  for (let at = 0; at < encryptedPassword.length; at += pieceLength) {
    const piece = encryptedPassword.subarray(at, at + pieceLength);
    pieces.push([avpType.msChapNtEncPw, concat(Uint8Array.of(6, identifier, 0, pieces.length + 1), piece)]);
  }
  // RFC 2548 §2.3.4: code, identifier, encrypted hash, peer challenge, eight zeros, NT response, flags.
  const cpw = concat(
    Uint8Array.of(7, identifier),
    encryptedHash,
    peerChallenge,
    new Uint8Array(8),
    ntResponse,
    new Uint8Array(2),
  );
  return writeAvps(...pieces, [avpType.msChap2Cpw, cpw], [avpType.msChapChallenge, challenge]);
}

const succeeded = { kind: 'succeeded', method: 'MS-CHAPv2', mayContinue: true } as const;
