import { concat, decodeUtf8, encodeUtf16le, encodeUtf8, equal, fromHex, wipe } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import { desEncrypt } from './des.ts';
import { md4 } from './md4.ts';

/** The calculations of MS-CHAPv2 (RFC 2759 §8) and of its keys (RFC 3079 §3). Names are the RFCs'. */

export interface Challenges {
  readonly authenticator: Uint8Array;
  readonly peer: Uint8Array;
}

/** NtPasswordHash (RFC 2759 §8.3) of a password given as UTF-8 octets: MD4 of its UTF-16LE form. */
export function ntPasswordHash(password: Uint8Array): Uint8Array {
  const unicode = encodeUtf16le(decodeUtf8(password));
  const hash = md4(unicode);
  wipe(unicode);
  return hash;
}

/** ChallengeHash (RFC 2759 §8.2). Of `DOMAIN\user` only the user counts. */
export function challengeHash(crypto: EapCrypto, challenges: Challenges, userName: string): Uint8Array {
  const user = encodeUtf8(userName.slice(userName.lastIndexOf('\\') + 1));
  return crypto.sha1(challenges.peer, challenges.authenticator, user).slice(0, 8);
}

/** GenerateNTResponse (RFC 2759 §8.1): 24 octets. */
export function generateNtResponse(
  crypto: EapCrypto,
  challenges: Challenges,
  userName: string,
  passwordHash: Uint8Array,
): Uint8Array {
  return challengeResponse(challengeHash(crypto, challenges, userName), passwordHash);
}

/** ChallengeResponse (RFC 2759 §8.5; NtChallengeResponse in RFC 2433): the challenge under three DES keys cut from the zero-padded hash. */
export function challengeResponse(challenge: Uint8Array, passwordHash: Uint8Array): Uint8Array {
  const padded = new Uint8Array(21);
  padded.set(passwordHash);
  const response = concat(...[0, 7, 14].map((at) => desEncrypt(padded.subarray(at, at + 7), challenge)));
  wipe(padded);
  return response;
}

/** GenerateAuthenticatorResponse (RFC 2759 §8.7): the 20 octets that the server sends as `S=` in hexadecimal. */
export function generateAuthenticatorResponse(
  crypto: EapCrypto,
  challenges: Challenges,
  userName: string,
  passwordHash: Uint8Array,
  ntResponse: Uint8Array,
): Uint8Array {
  const hashHash = md4(passwordHash);
  const digest = crypto.sha1(hashHash, ntResponse, magicServer);
  wipe(hashHash);
  return crypto.sha1(digest, challengeHash(crypto, challenges, userName), magicPad);
}

/**
 * The MSK: MasterReceiveKey and MasterSendKey as the authenticator sees them (RFC 3079 §3.3, 128 bits each), so what the peer
 * sends with comes first; padded with zeros to the 64 octets that RFC 5247 §1.2 and RFC 7296 §2.16 want.
 */
export function mschapV2Msk(crypto: EapCrypto, passwordHash: Uint8Array, ntResponse: Uint8Array): Uint8Array {
  const hashHash = md4(passwordHash);
  const masterKey = getMasterKey(crypto, hashHash, ntResponse);
  const receive = getAsymmetricStartKey(crypto, masterKey, 'authenticator-receives');
  const send = getAsymmetricStartKey(crypto, masterKey, 'authenticator-sends');
  const msk = new Uint8Array(64);
  msk.set(receive, 0);
  msk.set(send, 16);
  wipe(hashHash, masterKey, receive, send);
  return msk;
}

/** GetMasterKey (RFC 3079 §3.3), 16 octets. */
export function getMasterKey(crypto: EapCrypto, passwordHashHash: Uint8Array, ntResponse: Uint8Array): Uint8Array {
  return crypto.sha1(passwordHashHash, ntResponse, magicMaster).slice(0, 16);
}

/** GetAsymmetricStartKey (RFC 3079 §3.3) of 128 bits, by its direction. */
export function getAsymmetricStartKey(
  crypto: EapCrypto,
  masterKey: Uint8Array,
  direction: 'authenticator-receives' | 'authenticator-sends',
): Uint8Array {
  const magic = direction === 'authenticator-receives' ? magicPeerSends : magicPeerReceives;
  return crypto.sha1(masterKey, sha1Pad1, magic, sha1Pad2).slice(0, 16);
}

/** Whether `text` (40 hexadecimal digits in either case) is the expected authenticator response. */
export function isAuthenticatorResponse(text: string, expected: Uint8Array): boolean {
  return /^[0-9a-f]{40}$/i.test(text) && equal(fromHex(text), expected);
}

const magicServer = encodeUtf8('Magic server to client signing constant');
const magicPad = encodeUtf8('Pad to make it do more than one iteration');
const magicMaster = encodeUtf8('This is the MPPE Master Key');
const magicPeerSends = encodeUtf8('On the client side, this is the send key; on the server side, it is the receive key.');
const magicPeerReceives = encodeUtf8('On the client side, this is the receive key; on the server side, it is the send key.');
const sha1Pad1 = new Uint8Array(40);
const sha1Pad2 = new Uint8Array(40).fill(0xf2);
