import type { Socket } from 'node:net';
import { constant, libc, peerCredentials, type PeerCredentials } from '../sys/index.ts';

/** Who is at the other end of a Unix socket, by the kernel's word at the time of connect(2). */
export interface Peer extends PeerCredentials {
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/** <asm-generic/socket.h>; Linux 4.13 */
const SO_PEERGROUPS = 59;
/** NGROUPS_MAX */
const mostGroups = 65_536;

/** Undefined when the kernel cannot tell: not a Unix socket, or closed already. */
export function peerOf(socket: Socket): Peer | undefined {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  try {
    return { ...peerCredentials(fd), groups: peerGroups(fd) };
  } catch {
    return undefined;
  }
}

function peerGroups(fd: number): readonly number[] {
  for (let room = 64; room <= mostGroups; room *= 32) {
    const octets = new Uint32Array(room);
    const length = new Uint32Array([octets.byteLength]);
    if (libc.getsockopt(fd, constant.SOL_SOCKET, SO_PEERGROUPS, libc.addressOf(octets), libc.addressOf(length)) >= 0) {
      return [...octets.subarray(0, length[0]! / 4)];
    }
  }
  return [];
}
