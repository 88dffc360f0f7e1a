import { equal, wipe } from '@aovpn/bytes';
import { sharedKeyAuth } from '../crypto/keymat.ts';
import type { Message } from '../message/payload.ts';
import { AuthMethod } from '../registry/auth-method.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { authError, gatewayOctets, isChildless, ownOctets, proofKeys, protectionOf, refuse, withoutPpk } from './auth.ts';
import { completeAuth } from './child-create.ts';
import { pick, pickError } from './pick.ts';
import { buildPpk, settlePpk } from './ppk.ts';
import type { AuthData, Handshake, IkeProofKeys } from './state.ts';
import { currentOf, fail, update, type Turn } from './turn.ts';
import { sendRequest } from './window.ts';

/** EAP is over and gave a key: both sides prove that they have it (RFC 7296 §2.16). */
export function sendProof(turn: Turn, handshake: Handshake, msk: Uint8Array): void {
  const proof = (keys: IkeProofKeys): AuthData => ({
    method: AuthMethod.SHARED_KEY,
    data: sharedKeyAuth(turn.crypto, protectionOf(turn).suite.prf, msk, ownOctets(turn, handshake, keys)),
  });
  update(turn, { phase: { name: 'proof-await-response', handshake, msk } });
  sendRequest(
    turn,
    currentOf(turn.sa).id,
    ExchangeType.IKE_AUTH,
    [
      { kind: 'AUTH', ...proof(proofKeys(turn, handshake)) },
      ...buildPpk(turn, handshake, withoutPpk(turn, handshake) ? proof(protectionOf(turn)) : undefined),
    ],
    { kind: 'auth' },
  );
}

/** The answer to our proof. */
export function processProof(turn: Turn, handshake: Handshake, msk: Uint8Array, message: Message): void {
  const { payloads } = message;
  const auth = pick(payloads, 'AUTH');
  const error = pickError(payloads);
  if (error && !auth) return fail(turn, authError(turn, error.type));
  const violation = checkExchange(message, isChildless(turn.sa) ? 'ike-auth-final-childless' : 'ike-auth-final')[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  if (!settlePpk(turn, handshake, payloads)) return refuse(turn, { kind: 'not-supported', what: 'ppk' });
  const octets = gatewayOctets(turn, handshake, handshake.gatewayIdentity!);
  const expected = sharedKeyAuth(turn.crypto, protectionOf(turn).suite.prf, msk, octets);
  const proven = auth?.method === AuthMethod.SHARED_KEY && equal(auth.data, expected);
  if (!proven) return refuse(turn, { kind: 'gateway-signature' });
  wipe(msk);
  completeAuth(turn, handshake, payloads);
}
