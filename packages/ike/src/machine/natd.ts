import { concat, equal, type IpAddress } from '@aovpn/bytes';
import type { Payload } from '../message/payload.ts';
import { NotifyType } from '../registry/notify.ts';
import { notify, pickNotify } from './pick.ts';
import type { Association, PeerFacts } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * NAT detection (RFC 7296 §2.23). The flow is on port 4500 from its first message, so nothing moves when a NAT is found.
 * With `forceUdpEncapsulation` the source hash is that of no address: the gateway then takes us to be behind a NAT and encapsulates ESP in
 * UDP. It stays the same when the request is made again, as everything but the cookie has to (RFC 7296 §2.6).
 */
export function buildNatDetection(turn: Turn, spiI: Uint8Array, spiR: Uint8Array): Payload[] {
  const { config, path } = turn.sa;
  const { local, localPort } = config.forceUdpEncapsulation ? nowhere : path;
  const source = natHash(turn, spiI, spiR, local, localPort);
  return [
    notify(NotifyType.NAT_DETECTION_SOURCE_IP, source),
    notify(NotifyType.NAT_DETECTION_DESTINATION_IP, natHash(turn, spiI, spiR, path.remote, path.remotePort)),
  ];
}

/** Who sits behind a NAT, by the gateway's hashes; undefined when it sent none. */
export function processNatDetection(
  turn: Turn,
  { id, spiI, spiR }: Pick<Association, 'id' | 'spiI' | 'spiR'>,
  payloads: readonly Payload[],
): Pick<PeerFacts, 'natLocal' | 'natRemote' | 'seenAs'> | undefined {
  const { path } = turn.sa;
  const destination = pickNotify(payloads, NotifyType.NAT_DETECTION_DESTINATION_IP);
  const sources = payloads.filter((payload) => payload.kind === 'N' && payload.type === NotifyType.NAT_DETECTION_SOURCE_IP);
  if (!destination || sources.length === 0) return undefined;
  const local = natHash(turn, spiI, spiR, path.local, path.localPort);
  const remote = natHash(turn, spiI, spiR, path.remote, path.remotePort);
  return {
    natLocal: !equal(destination.data, local),
    seenAs: { association: id, hash: destination.data.slice() },
    natRemote: !sources.some((payload) => payload.kind === 'N' && equal(payload.data, remote)),
  };
}

const nowhere = { local: { bytes: new Uint8Array(4) }, localPort: 0 };

function natHash(turn: Turn, spiI: Uint8Array, spiR: Uint8Array, address: Pick<IpAddress, 'bytes'>, port: number): Uint8Array {
  return turn.crypto.sha1(concat(spiI, spiR, address.bytes, Uint8Array.of(port >> 8, port & 0xff)));
}
