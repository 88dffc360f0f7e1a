import { sortOf, type Capture } from '../lab/capture.ts';
import { network } from '../lab/network.ts';

/** When the client's first IKE datagram after `since` was on the wire. Both in milliseconds since the epoch, to the microsecond. */
export async function firstIkeDatagram(capture: Capture, since: number, timeoutMs = 20_000): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = (await capture.packets()).find(
      (packet) => packet.at * 1000 >= since && packet.destination === network.gateway.v4 && sortOf(packet) === 'ike',
    );
    if (found) return found.at * 1000;
    if (performance.now() > deadline) throw new Error('no IKE datagram on the wire');
  }
}
