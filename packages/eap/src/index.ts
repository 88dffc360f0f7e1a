export type * from './peer-contract.ts';
export { describeEapPacket } from './describe-packet.ts';
export { startEapPeer, stepEap, type EapState, type EapStep } from './peer.ts';
export {
  matchServerNames,
  readServerName,
  type CertificateNames,
  type ServerNameReading,
  type ServerNameVerdict,
} from './trust/server-name.ts';
