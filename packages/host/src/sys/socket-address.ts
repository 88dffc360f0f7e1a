import { addressFromBytes, type Endpoint, type IpAddress } from '@aovpn/bytes';
import { AF_INET, AF_INET6, AF_NETLINK } from './constant.ts';

/** Octets of a `sockaddr_storage` that any of ours fits in. */
export const socketAddressCapacity = 28;

/** `struct sockaddr_in` (16 octets) or `struct sockaddr_in6` (28). */
export function encodeSocketAddress(address: IpAddress, port: number): Uint8Array {
  const octets = new Uint8Array(address.family === 4 ? 16 : 28);
  const view = new DataView(octets.buffer);
  view.setUint16(0, address.family === 4 ? AF_INET : AF_INET6, littleEndian);
  view.setUint16(2, port);
  octets.set(address.bytes, address.family === 4 ? 4 : 8);
  return octets;
}

/** undefined for families other than IPv4 and IPv6. */
export function decodeSocketAddress(octets: Uint8Array): Endpoint | undefined {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const family = view.getUint16(0, littleEndian);
  if (family === AF_INET) return { address: addressFromBytes(octets.subarray(4, 8)), port: view.getUint16(2) };
  if (family === AF_INET6) return { address: addressFromBytes(octets.subarray(8, 24)), port: view.getUint16(2) };
  return undefined;
}

/** `struct sockaddr_nl`. */
export function encodeNetlinkAddress(portId: number, groups: number): Uint8Array {
  const octets = new Uint8Array(12);
  const view = new DataView(octets.buffer);
  view.setUint16(0, AF_NETLINK, littleEndian);
  view.setUint32(4, portId, littleEndian);
  view.setUint32(8, groups, littleEndian);
  return octets;
}

export const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
