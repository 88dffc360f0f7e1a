import type { IkeHeader } from './payload.ts';

export interface DecodedHeader extends IkeHeader {
  readonly nextPayload: number;
  readonly length: number;
}

export function decodeHeader(datagram: Uint8Array): DecodedHeader | undefined {
  throw new Error(`not filled in yet ${datagram}`);
}
