export type * from './data-plane.ts';
export { foldSum, sumPseudoHeader, sumWords } from './checksum.ts';
export { Ecn, innerTrafficClass, outerTrafficClass, setTrafficClass, trafficClassOf } from './traffic-class.ts';
export { familyOfNextHeader, InnerAddresses, ipPacketLength } from './inner-packet.ts';
export { innerMtu } from './mtu.ts';
export {
  espHeaderLength,
  espTrailerLength,
  NextHeader,
  openEsp,
  paddingLength,
  sealEsp,
  sealedLength,
  shortestSealed,
  unpaddedLength,
  type EspCrypto,
  type Opened,
} from './packet.ts';
export { packetTooBig } from './packet-too-big.ts';
export { ReplayWindow, replayWindowSize } from './replay-window.ts';
export { lastExtendedSequence, lastSequence, rekeyExtendedSequence, rekeySequence, sequenceState } from './sequence.ts';
export { silenceMs } from './silence.ts';
export { clampMss } from './tcp-mss.ts';
export { espSuites, espTransform, type EspCipher, type EspDigest, type EspTransform } from './transform.ts';
export { classifyDatagram, natKeepalive, nonEspMarkerLength } from './udp-encapsulation.ts';
export * from './tcp-encapsulation.ts';
