import { closeDescriptor, constant, libc, littleEndian } from '../sys/index.ts';

/** `struct sockaddr_ll` of <linux/if_packet.h>. */
export const linkAddressLength = 20;

export function encodeLinkAddress(etherType: number, index: number, hardware: Uint8Array = new Uint8Array()): Uint8Array {
  const octets = new Uint8Array(linkAddressLength);
  const view = new DataView(octets.buffer);
  view.setUint16(0, constant.AF_PACKET, littleEndian);
  view.setUint16(2, etherType);
  view.setInt32(4, index, littleEndian);
  octets[11] = hardware.length;
  octets.set(hardware, 12);
  return octets;
}

/** The hardware address of a device of Ethernet's kind; undefined for any other. */
export function hardwareAddress(socket: number, device: string): Uint8Array | undefined {
  const request = new Uint8Array(new ArrayBuffer(128));
  request.set(new TextEncoder().encode(device).subarray(0, 15));
  if (libc.ioctl(socket, constant.SIOCGIFHWADDR, libc.addressOf(request)) < 0) return undefined;
  const family = new DataView(request.buffer).getUint16(16, littleEndian);
  return family === constant.ARPHRD_ETHER ? request.slice(18, 24) : undefined;
}

/** Runs with a descriptor that is closed in any case. */
export function withDescriptor<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    closeDescriptor(fd);
  }
}
