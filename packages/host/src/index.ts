export { HostError, hostErrors, type HostErrorEntry } from './host-error.ts';
export { createIkeCrypto } from './crypto/ike-crypto.ts';
export { createEapCrypto } from './crypto/eap-crypto.ts';
