export { HostError, hostErrors, type HostErrorEntry } from './host-error.ts';
export { createIkeCrypto } from './crypto/ike-crypto.ts';
export { createEapCrypto } from './crypto/eap-crypto.ts';
export { lockInstance, type InstanceLock } from './control/instance-lock.ts';
export type { Peer } from './control/peer.ts';
export {
  openControlServer,
  type ControlAnswer,
  type ControlRequest,
  type ControlServer,
  type ControlServerOptions,
  type LineSink,
} from './control/server.ts';
export { notifyService } from './control/service-notification.ts';
