import type { TunnelConfiguration } from '../machine/contract.ts';
import type { ConfigAttribute } from './payload.ts';

/** The attributes of a CFG_REQUEST (RFC 7296 §3.15.1, RFC 8598 §3.1). */
export function encodeConfigurationRequest(request: { readonly v4: boolean; readonly v6: boolean }): ConfigAttribute[] {
  throw new Error(`not filled in yet ${request}`);
}

/** What a CFG_REPLY gives; attributes with empty values give nothing. */
export function decodeConfigurationReply(
  attributes: readonly ConfigAttribute[],
): TunnelConfiguration | { readonly problem: string } {
  throw new Error(`not filled in yet ${attributes}`);
}
