import type { InnerMethodConfig } from '../peer-contract.ts';
import { gtcMethod } from '../method/gtc.ts';
import type { EapMethod } from '../method/method.ts';
import { mschapV2Method } from '../method/mschapv2.ts';
import { tlsMethod } from '../method/tls.ts';

/** Every method that may run in a tunnel. Tunnels do not nest. */
export const innerMethods: { readonly [K in InnerMethodConfig['kind']]: EapMethod<K> } = {
  mschapv2: mschapV2Method,
  tls: tlsMethod,
  gtc: gtcMethod,
};
