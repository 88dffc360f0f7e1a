import type { EapMethodConfig } from '../peer-contract.ts';
import type { EapMethod } from './method.ts';
import { mschapV2Method } from './mschapv2.ts';
import { peapMethod } from './peap.ts';
import { tlsMethod } from './tls.ts';
import { ttlsMethod } from './ttls.ts';

/** Every method that a profile can ask for. */
export const methods: { readonly [K in EapMethodConfig['kind']]: EapMethod<K> } = {
  mschapv2: mschapV2Method,
  tls: tlsMethod,
  peap: peapMethod,
  ttls: ttlsMethod,
};
