export type * from './peer-contract.ts';
export { startEapPeer, stepEap, type EapState, type EapStep } from './peer.ts';
