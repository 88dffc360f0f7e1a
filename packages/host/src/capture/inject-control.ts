import type { IpAddress } from '@aovpn/bytes';
import { check, constant, errno, libc } from '../sys/index.ts';
import { encodeLinkAddress, hardwareAddress, withDescriptor } from './link-address.ts';

/**
 * Puts one UDP datagram onto a link by AF_PACKET, below routes and filters: what a leak looks like on the wire, whatever holds
 * leaks back. It goes nowhere: it is addressed to the link's own hardware address, and its time to live is 1.
 * @param source of the same family as `destination`
 * @returns whether it went out: not while the device is down
 * @throws {SysError}
 */
export function injectControl(device: string, source: IpAddress, destination: IpAddress, payload: Uint8Array): boolean {
  if (source.family !== destination.family) throw new TypeError('a packet has addresses of one family');
  const type = constant.SOCK_DGRAM | constant.SOCK_CLOEXEC;
  return withDescriptor(check('socket AF_PACKET', libc.socket(constant.AF_PACKET, type, 0)), (fd) => {
    const packet = source.family === 4 ? packetV4(source, destination, payload) : packetV6(source, destination, payload);
    const etherType = source.family === 4 ? constant.ETH_P_IP : constant.ETH_P_IPV6;
    const to = encodeLinkAddress(etherType, libc.interfaceIndex(device), hardwareAddress(fd, device));
    const result = libc.sendto(fd, libc.addressOf(packet), packet.length, 0, libc.addressOf(to), to.length);
    if (result === -errno.ENETDOWN) return false;
    check(`sendto AF_PACKET ${device}`, result);
    return true;
  });
}

const discardPort = 9;
const udp = 17;

/** RFC 791 §3.1; UDP over IPv4 needs no checksum (RFC 768). */
function packetV4(source: IpAddress, destination: IpAddress, payload: Uint8Array): Uint8Array {
  const packet = room(28 + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  view.setUint16(2, packet.length);
  packet[8] = 1;
  packet[9] = udp;
  packet.set(source.bytes, 12);
  packet.set(destination.bytes, 16);
  view.setUint16(10, checksum(packet.subarray(0, 20), 0));
  writeUdp(view, 20, payload.length);
  packet.set(payload, 28);
  return packet;
}

/** RFC 8200 §3, with the checksum over the pseudo-header of §8.1. */
function packetV6(source: IpAddress, destination: IpAddress, payload: Uint8Array): Uint8Array {
  const packet = room(48 + payload.length);
  const view = new DataView(packet.buffer);
  const length = 8 + payload.length;
  packet[0] = 0x60;
  view.setUint16(4, length);
  packet[6] = udp;
  packet[7] = 1;
  packet.set(source.bytes, 8);
  packet.set(destination.bytes, 24);
  writeUdp(view, 40, payload.length);
  packet.set(payload, 48);
  view.setUint16(46, checksum(packet.subarray(8), length + udp) || 0xffff);
  return packet;
}

function writeUdp(view: DataView, at: number, length: number): void {
  view.setUint16(at, discardPort);
  view.setUint16(at + 2, discardPort);
  view.setUint16(at + 4, 8 + length);
}

/** RFC 1071, over octets and what is added to them. */
function checksum(octets: Uint8Array, initial: number): number {
  let sum = initial;
  for (let at = 0; at < octets.length; at += 2) sum += (octets[at]! << 8) | (octets[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function room(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(Math.max(128, length)), 0, length);
}
