import type { ChildSuite, DirectionKeys, IkeSuite } from '../message/suite.ts';
import type { IkeCrypto } from './port.ts';

export interface IkeKeys {
  readonly skD: Uint8Array;
  readonly initiator: DirectionKeys;
  readonly responder: DirectionKeys;
  readonly skPi: Uint8Array;
  readonly skPr: Uint8Array;
}

export interface IkeKeyInput {
  readonly sharedSecret: Uint8Array;
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
}

export interface ChildKeyInput {
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly sharedSecret?: Uint8Array | undefined;
}

export function deriveIkeKeys(crypto: IkeCrypto, suite: IkeSuite, input: IkeKeyInput): IkeKeys {
  throw new Error(`not filled in yet ${crypto} ${suite} ${input}`);
}

export function deriveRekeyedIkeKeys(
  crypto: IkeCrypto,
  old: { readonly prf: number; readonly skD: Uint8Array },
  suite: IkeSuite,
  input: IkeKeyInput,
): IkeKeys {
  throw new Error(`not filled in yet ${crypto} ${old} ${suite} ${input}`);
}

export function deriveChildKeys(
  crypto: IkeCrypto,
  prf: number,
  skD: Uint8Array,
  esp: ChildSuite,
  input: ChildKeyInput,
): { readonly initiator: DirectionKeys; readonly responder: DirectionKeys } {
  throw new Error(`not filled in yet ${crypto} ${prf} ${skD} ${esp} ${input}`);
}

export function signedOctets(
  crypto: IkeCrypto,
  prf: number,
  skP: Uint8Array,
  realMessage: Uint8Array,
  peerNonce: Uint8Array,
  idBody: Uint8Array,
): Uint8Array {
  throw new Error(`not filled in yet ${crypto} ${prf} ${skP} ${realMessage} ${peerNonce} ${idBody}`);
}

export function sharedKeyAuth(crypto: IkeCrypto, prf: number, secret: Uint8Array, octets: Uint8Array): Uint8Array {
  throw new Error(`not filled in yet ${crypto} ${prf} ${secret} ${octets}`);
}
