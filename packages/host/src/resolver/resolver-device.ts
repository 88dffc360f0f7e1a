import { parsePrefix } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import { addressRequest, linkRequest, readLinks } from '../network/kernel-network.ts';
import type { RouteSocket } from '../network/route-socket.ts';
import { check, closeDescriptor, constant, libc, openFile } from '../sys/index.ts';

/** Name of the device that carries our name rules when systemd-resolved alone has no words for them. */
export const resolverDevice = 'aovdns';
/** RFC 7600 "IPv4 dummy address": systemd-resolved uses a link only when it has some address. */
const address = parsePrefix('192.0.0.8/32')!;

export interface ResolverDevice {
  readonly index: number;
  close(): void;
}

/**
 * A TUN device that never carries a packet: systemd-resolved hangs name rules on links only. It lives as long as its descriptor, so a
 * killed daemon leaves none behind, and systemd-resolved forgets what it knew about it.
 * @throws {HostError} AOV-HOST-302
 */
export function openResolverDevice(socket: RouteSocket): ResolverDevice {
  let fd = -1;
  try {
    fd = openFile('/dev/net/tun', constant.O_RDWR | constant.O_NONBLOCK);
    const request = new Uint8Array(40);
    request.set(new TextEncoder().encode(resolverDevice));
    new DataView(request.buffer).setUint16(16, constant.IFF_TUN | constant.IFF_NO_PI | constant.IFF_TUN_EXCL, true);
    check('ioctl TUNSETIFF', libc.ioctl(fd, constant.TUNSETIFF, libc.addressOf(request)));
    const index = readLinks(socket).find(({ name }) => name === resolverDevice)?.index;
    if (index === undefined) throw new Error('made, but not there');
    for (const answer of socket.request([linkRequest(index, { up: true }), addressRequest('add', index, address)])) {
      if (!answer.ok) throw new Error(answer.said);
    }
    return { index, close: () => closeDescriptor(fd) };
  } catch (error) {
    closeDescriptor(fd);
    throw new HostError(
      'AOV-HOST-302',
      `device ${resolverDevice}: ${(error as Error).message}`,
      networkCure('AOV-HOST-302'),
      error,
    );
  }
}
