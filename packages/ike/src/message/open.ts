import type { IkeCrypto } from '../crypto/port.ts';
import type { IkeProtocolError } from '../registry/error.ts';
import type { IkeHeader, Message } from './payload.ts';
import type { Reassembly } from './reassembly.ts';
import type { DirectionKeys, IkeSuite } from './suite.ts';

export interface OpenContext {
  readonly suite?: IkeSuite | undefined;
  readonly keys?: DirectionKeys | undefined;
  readonly reassembly: Reassembly;
}

/** What a datagram turned out to be. Whether it was authenticated is part of the answer. */
export type OpenOutcome =
  | { readonly kind: 'message'; readonly message: Message; readonly protected: boolean; readonly reassembly: Reassembly }
  | { readonly kind: 'partial'; readonly reassembly: Reassembly }
  | { readonly kind: 'ignore'; readonly why: string }
  | { readonly kind: 'refuse'; readonly header: IkeHeader; readonly error: IkeProtocolError; readonly reassembly: Reassembly };

export function openDatagram(crypto: IkeCrypto, datagram: Uint8Array, context: OpenContext): OpenOutcome {
  throw new Error(`not filled in yet ${crypto} ${datagram} ${context}`);
}
