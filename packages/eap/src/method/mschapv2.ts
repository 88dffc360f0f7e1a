import { encodeUtf8 } from '@aovpn/bytes';
import { eapType } from '../packet.ts';
import {
  forgetLogon,
  hasResponded,
  startLogon,
  takeChallenge,
  takeFailure,
  takeSecret,
  takeSuccess,
  type Logon,
  type LogonStep,
} from '../mschapv2/logon.ts';
import { mschapV2OpCode, readMessage, writeChangePassword, writeMschapResponse } from '../mschapv2/message.ts';
import { failed, type EapMethod, type MethodStep } from './method.ts';

export type MschapV2State = Logon;

/**
 * EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02 over RFC 2759). Its MSK is the two MS-CHAPv2 keys of 16 octets, what the peer
 * sends with first, and 32 zeros: inside a tunnel the first 32 octets are the key that matters.
 */
export const mschapV2Method: EapMethod<'mschapv2'> = {
  type: eapType.mschapv2,
  name: 'EAP-MSCHAPv2',
  begin: ({ userName }) => startLogon(userName),
  receive: (crypto, logon, data) => {
    const message = readMessage(data);
    switch (message.kind) {
      case 'malformed':
        return failed(logon, 'malformed', `EAP-MSCHAPv2: ${message.problem}`);
      case 'challenge':
        return inPackets(takeChallenge(logon, message.id, message.challenge));
      case 'success':
        return inPackets(takeSuccess(crypto, logon, message.authenticator));
      case 'failure':
        return inPackets(takeFailure(logon, message.id, message.failure, 'any'));
    }
  },
  answer: (crypto, logon, answer) => {
    if (answer.kind !== 'secret') return failed(logon, 'out-of-order', 'an answer that nobody asked for');
    return inPackets(takeSecret(crypto, logon, answer.secret));
  },
  awaitsVerdict: (state) => (hasResponded(state) ? 'secret' : undefined),
  forget: forgetLogon,
};

function inPackets({ logon, move }: LogonStep): MethodStep<MschapV2State> {
  switch (move.kind) {
    case 'ask': {
      const { what, retry, message } = move;
      const ask = { kind: 'need-secret', what, userName: logon.userName, retry } as const;
      return { state: logon, ask: message === undefined ? ask : { ...ask, message } };
    }
    case 'respond':
      return { state: logon, reply: writeMschapResponse(move.response, encodeUtf8(logon.userName)) };
    case 'change':
      return { state: logon, reply: writeChangePassword(move.change) };
    case 'proven':
      return {
        state: logon,
        reply: Uint8Array.of(mschapV2OpCode.success),
        outcome: { kind: 'succeeded', msk: move.msk, method: 'EAP-MSCHAPv2' },
      };
    case 'failed': {
      const outcome = { kind: 'failed', failure: move.failure } as const;
      // draft-kamath §2.6: the Failure Response is its OpCode alone.
      return move.acknowledge
        ? { state: logon, reply: Uint8Array.of(mschapV2OpCode.failure), outcome }
        : { state: logon, outcome };
    }
  }
}
