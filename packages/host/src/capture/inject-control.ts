import type { IpAddress } from '@aovpn/bytes';
import { check, constant, errno, libc } from '../sys/index.ts';
import { encodeUdp } from './encode-packet.ts';
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
    const packet = encodeUdp(source, discardPort, destination, discardPort, payload, 1);
    const etherType = source.family === 4 ? constant.ETH_P_IP : constant.ETH_P_IPV6;
    const to = encodeLinkAddress(etherType, libc.interfaceIndex(device), hardwareAddress(fd, device));
    const result = libc.sendto(fd, libc.addressOf(packet), packet.length, 0, libc.addressOf(to), to.length);
    if (result === -errno.ENETDOWN) return false;
    check(`sendto AF_PACKET ${device}`, result);
    return true;
  });
}

const discardPort = 9;
