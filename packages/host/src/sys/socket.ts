import type { Endpoint, IpAddress } from '@aovpn/bytes';
import * as constant from './constant.ts';
import { closeDescriptor } from './descriptor.ts';
import * as libc from './libc.ts';
import { decodeSocketAddress, encodeSocketAddress, socketAddressCapacity } from './socket-address.ts';
import { check, errno } from './sys-error.ts';

/** @throws {SysError} */
export function openUdpSocket(family: 4 | 6): number {
  const domain = family === 4 ? constant.AF_INET : constant.AF_INET6;
  const fd = check('socket', libc.socket(domain, constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0));
  if (family === 6) {
    try {
      setOption(fd, constant.SOL_IPV6, constant.IPV6_V6ONLY, 1);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }
  return fd;
}

/** @throws {SysError} */
export function openTcpSocket(family: 4 | 6): number {
  const domain = family === 4 ? constant.AF_INET : constant.AF_INET6;
  return check('socket', libc.socket(domain, constant.SOCK_STREAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0));
}

/** Gets every packet of a protocol (`IPPROTO_*`); with IPv4 from its IP header on. Needs CAP_NET_RAW. @throws {SysError} */
export function openRawSocket(family: 4 | 6, protocol: number): number {
  const domain = family === 4 ? constant.AF_INET : constant.AF_INET6;
  return check('socket', libc.socket(domain, constant.SOCK_RAW | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, protocol));
}

/** Two sockets joined to each other that keep the bounds of what is written (`SOCK_SEQPACKET`). @throws {SysError} */
export function openPacketPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  const type = constant.SOCK_SEQPACKET | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC;
  check('socketpair', libc.socketpair(constant.AF_UNIX, type, 0, libc.addressOf(pair)));
  return [pair[0]!, pair[1]!];
}

/** @throws {SysError} */
export function bindTo(fd: number, address: IpAddress, port: number): void {
  const octets = encodeSocketAddress(address, port);
  check('bind', libc.bindSocket(fd, libc.addressOf(octets), octets.length));
}

/** @throws {SysError} */
export function connectTo(fd: number, address: IpAddress, port: number): void {
  const octets = encodeSocketAddress(address, port);
  check('connect', libc.connect(fd, libc.addressOf(octets), octets.length));
}

/** Begins to connect a socket that does not block; that it is connected, or why not, shows once it is writable. @throws {SysError} */
export function beginConnect(fd: number, address: IpAddress, port: number): void {
  const octets = encodeSocketAddress(address, port);
  const result = libc.connect(fd, libc.addressOf(octets), octets.length);
  if (result !== -errno.EINPROGRESS) check('connect', result);
}

/** The local end. @throws {SysError} */
export function localEnd(fd: number): Endpoint {
  const octets = new Uint8Array(socketAddressCapacity);
  const length = new Uint32Array([octets.length]);
  check('getsockname', libc.getsockname(fd, libc.addressOf(octets), libc.addressOf(length)));
  const end = decodeSocketAddress(octets);
  if (!end) throw new TypeError('not an IP socket');
  return end;
}

/** Sets an option that is an `int`. @throws {SysError} */
export function setOption(fd: number, level: number, name: number, value: number): void {
  const octets = new Int32Array([value]);
  check(`setsockopt ${level}/${name}`, libc.setsockopt(fd, level, name, libc.addressOf(octets), 4));
}

/** Sets an option where the kernel may refuse it; tells whether it took it. */
export function trySetOption(fd: number, level: number, name: number, value: number): boolean {
  const octets = new Int32Array([value]);
  return libc.setsockopt(fd, level, name, libc.addressOf(octets), 4) >= 0;
}

/** Room for what waits in a socket: as much as is wished, or without CAP_NET_ADMIN what the machine lets everybody have (net.core.rmem_max, wmem_max). */
export function setBuffer(fd: number, direction: 'receive' | 'send', octets: number): void {
  const [force, plain] =
    direction === 'receive' ? [constant.SO_RCVBUFFORCE, constant.SO_RCVBUF] : [constant.SO_SNDBUFFORCE, constant.SO_SNDBUF];
  if (!trySetOption(fd, constant.SOL_SOCKET, force, octets)) trySetOption(fd, constant.SOL_SOCKET, plain, octets);
}

/** Packets of this socket leave by that device or not at all. @throws {SysError} */
export function bindToDevice(fd: number, device: string): void {
  const octets = new TextEncoder().encode(device);
  check(
    `setsockopt SO_BINDTODEVICE ${device}`,
    libc.setsockopt(fd, constant.SOL_SOCKET, constant.SO_BINDTODEVICE, libc.addressOf(octets), octets.length),
  );
}

/** Reads an option that is an `int`. @throws {SysError} */
export function getOption(fd: number, level: number, name: number): number {
  const octets = new Int32Array(1);
  const length = new Uint32Array([4]);
  check(`getsockopt ${level}/${name}`, libc.getsockopt(fd, level, name, libc.addressOf(octets), libc.addressOf(length)));
  return octets[0]!;
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who is at the other end of a Unix socket, by the kernel's word (`SO_PEERCRED`). @throws {SysError} */
export function peerCredentials(fd: number): PeerCredentials {
  const octets = new Uint32Array(3);
  const length = new Uint32Array([12]);
  const name = constant.SO_PEERCRED;
  check('getsockopt SO_PEERCRED', libc.getsockopt(fd, constant.SOL_SOCKET, name, libc.addressOf(octets), libc.addressOf(length)));
  if (length[0] !== 12) throw new TypeError('SO_PEERCRED: not a Unix socket');
  return { pid: octets[0]!, uid: octets[1]!, gid: octets[2]! };
}
