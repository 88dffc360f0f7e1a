import type { IkeCrypto } from '../crypto/port.ts';
import type { Message } from './payload.ts';
import type { DirectionKeys, IkeSuite } from './suite.ts';

export function sealMessage(
  crypto: IkeCrypto,
  suite: IkeSuite,
  keys: DirectionKeys,
  message: Message,
  fragmentSize?: number,
): Uint8Array[] {
  throw new Error(`not filled in yet ${crypto} ${suite} ${keys} ${message} ${fragmentSize}`);
}
