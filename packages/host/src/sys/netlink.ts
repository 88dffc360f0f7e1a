import * as constant from './constant.ts';
import { closeDescriptor, watchReadable, type Watch } from './descriptor.ts';
import * as libc from './libc.ts';
import { encodeNetlinkAddress } from './socket-address.ts';
import { check, errno, SysError } from './sys-error.ts';

/** A non-blocking netlink socket; messages go in and out as the kernel writes them (`struct nlmsghdr` and what follows). */
export interface NetlinkSocket {
  readonly fd: number;
  /** @throws {SysError} */
  send(message: Uint8Array): void;
  /**
   * One datagram (any number of messages in it), a copy; undefined when none waits.
   * @throws {SysError} `ENOBUFS` when events were lost, so that the caller must ask for everything anew
   */
  receive(): Uint8Array | undefined;
  /** Calls back from the event loop while something waits. */
  watch(callback: () => void): Watch;
  close(): void;
}

/**
 * @param protocol such as NETLINK_ROUTE
 * @param groups multicast groups 1 to 32 as a bit mask (group n is bit n−1)
 * @throws {SysError}
 */
export function openNetlink(protocol: number, groups: number): NetlinkSocket {
  const type = constant.SOCK_RAW | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC;
  const fd = check('socket AF_NETLINK', libc.socket(constant.AF_NETLINK, type, protocol));
  const local = encodeNetlinkAddress(0, groups);
  const bound = libc.bindSocket(fd, libc.addressOf(local), local.length);
  if (bound < 0) {
    closeDescriptor(fd);
    throw new SysError('bind AF_NETLINK', -bound);
  }
  const kernel = encodeNetlinkAddress(0, 0);
  // The kernel never sends more than 32 KiB in one datagram (NLMSG_GOODSIZE, and dumps honour what we can take).
  const buffer = new Uint8Array(65536);
  const from = new Uint8Array(12);
  const fromLength = new Uint32Array(1);
  const watches = new Set<Watch>();
  let open = true;

  return {
    fd,
    send: (message) => {
      if (!open) throw new SysError('send AF_NETLINK', errno.EPIPE);
      // A copy with a buffer of its own: the address of a short typed array on V8's heap would not be stable.
      const copy = new Uint8Array(new ArrayBuffer(message.length));
      copy.set(message);
      const sent = libc.sendto(fd, libc.addressOf(copy), copy.length, 0, libc.addressOf(kernel), kernel.length);
      // It may have held the keys of an SA.
      copy.fill(0);
      check('send AF_NETLINK', sent);
    },
    receive: () => {
      for (;;) {
        if (!open) return undefined;
        fromLength[0] = from.length;
        const at = libc.addressOf(buffer);
        const flags = constant.MSG_DONTWAIT | constant.MSG_TRUNC;
        const length = libc.recvfrom(fd, at, buffer.length, flags, libc.addressOf(from), libc.addressOf(fromLength));
        if (length === -errno.EAGAIN) return undefined;
        if (length === -errno.EINTR) continue;
        check('recv AF_NETLINK', length);
        if (length > buffer.length) throw new SysError('recv AF_NETLINK', errno.EMSGSIZE);
        // Only the kernel (port 0) is believed: any local process may send to a netlink socket (CVE-2009-1185 class).
        if (from[4] || from[5] || from[6] || from[7]) continue;
        const copy = buffer.slice(0, length);
        // What the kernel says of an SA has its keys in it: whoever gets the copy overwrites it, and this one does not stay.
        buffer.fill(0, 0, length);
        return copy;
      }
    },
    watch: (callback) => {
      const watch = watchReadable(fd, callback);
      watches.add(watch);
      return watch;
    },
    close: () => {
      if (!open) return;
      open = false;
      for (const watch of watches) watch.close();
      closeDescriptor(fd);
    },
  };
}
