import { parseAddress } from '@aovpn/bytes';

/** An IPv4 or IPv6 packet around a payload, with as much of a header as the reader looks at. */
export function ipPacket(
  source: string,
  destination: string,
  protocol: number,
  payload: Uint8Array,
  options: { readonly hops?: number; readonly fragment?: { readonly offset: number; readonly more: boolean } } = {},
): { readonly etherType: number; readonly octets: Uint8Array } {
  const from = parseAddress(source)!;
  const to = parseAddress(destination)!;
  const { hops = 64, fragment } = options;
  if (from.family === 4) {
    const octets = new Uint8Array(20 + payload.length);
    const view = new DataView(octets.buffer);
    octets[0] = 0x45;
    view.setUint16(2, octets.length);
    if (fragment) view.setUint16(6, fragment.offset | (fragment.more ? 0x2000 : 0));
    octets[8] = hops;
    octets[9] = protocol;
    octets.set(from.bytes, 12);
    octets.set(to.bytes, 16);
    octets.set(payload, 20);
    return { etherType: 0x0800, octets };
  }
  const extension = fragment ? 8 : 0;
  const octets = new Uint8Array(40 + extension + payload.length);
  const view = new DataView(octets.buffer);
  octets[0] = 0x60;
  view.setUint16(4, extension + payload.length);
  octets[6] = fragment ? 44 : protocol;
  octets[7] = hops;
  octets.set(from.bytes, 8);
  octets.set(to.bytes, 24);
  if (fragment) {
    octets[40] = protocol;
    view.setUint16(42, (fragment.offset << 3) | (fragment.more ? 1 : 0));
  }
  octets.set(payload, 40 + extension);
  return { etherType: 0x86dd, octets };
}

export function udp(sourcePort: number, destinationPort: number, payload: Uint8Array): Uint8Array {
  const octets = new Uint8Array(8 + payload.length);
  const view = new DataView(octets.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, octets.length);
  octets.set(payload, 8);
  return octets;
}

export function tcp(sourcePort: number, destinationPort: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const octets = new Uint8Array(20 + payload.length);
  const view = new DataView(octets.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  octets[12] = 0x50;
  octets.set(payload, 20);
  return octets;
}

/** RFC 7296 §3.1: a header of IKE_SA_INIT and nothing behind it. */
export function ike(): Uint8Array {
  const octets = new Uint8Array(28);
  octets.fill(1, 0, 8);
  octets[17] = 0x20;
  octets[18] = 34;
  new DataView(octets.buffer).setUint32(24, 28);
  return octets;
}

/** RFC 4303 §2: an SPI, a sequence number, and something encrypted. */
export function esp(): Uint8Array {
  const octets = new Uint8Array(60).fill(0xa5);
  new DataView(octets.buffer).setUint32(0, 0xc0ffee);
  return octets;
}

/** RFC 1035 §4: a question for the address of a name. */
export function query(name: string): Uint8Array {
  const labels = name.split('.').flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return Uint8Array.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}
