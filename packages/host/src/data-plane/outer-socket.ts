import { formatAddress, type IpAddress } from '@aovpn/bytes';
import {
  bindTo,
  closeDescriptor,
  connectTo,
  constant,
  getOption,
  localEnd,
  openUdpSocket,
  setBuffer,
  setOption,
  SysError,
  trySetOption,
} from '../sys/index.ts';
import type { TcpFlow } from './tcp-flow.ts';
import { dataPlaneError } from './data-plane-error.ts';

export interface OuterSocket {
  readonly fd: number;
  readonly local: IpAddress;
  readonly localPort: number;
  /** Whether the kernel splits one send into datagrams (Linux 4.18). */
  readonly segmentation: boolean;
  /** The connection that is behind `fd` instead of UDP. */
  readonly tcp?: TcpFlow;
}

export function closeOuter({ fd, tcp }: OuterSocket): void {
  if (tcp) tcp.close();
  else closeDescriptor(fd);
}

/** Enough for a burst of several milliseconds at full speed: without it the kernel drops where nobody counts. */
const bufferOctets = 7 << 20;

/**
 * Opens the outer socket for a route: bound to the local address that the kernel picks now, not connected, so that it hears the gateway
 * also from behind a NAT that changed its mapping. Path MTU discovery is "want": datagrams carry DF while they fit, and are sent in
 * fragments when somebody's path is smaller; see `docs/divergences.md`.
 * @throws {HostError}
 */
export function openOuterSocket(route: OuterRoute, mark: number, allowOffload: boolean): OuterSocket {
  const { local } = route;
  const { family } = local;
  let fd = -1;
  try {
    fd = openUdpSocket(family);
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    setBuffer(fd, 'receive', bufferOctets);
    setBuffer(fd, 'send', bufferOctets);
    if (family === 4) {
      setOption(fd, constant.SOL_IP, constant.IP_MTU_DISCOVER, constant.IP_PMTUDISC_WANT);
      setOption(fd, constant.SOL_IP, constant.IP_RECVERR, 1);
      setOption(fd, constant.SOL_IP, constant.IP_RECVTOS, 1);
    } else {
      setOption(fd, constant.SOL_IPV6, constant.IPV6_MTU_DISCOVER, constant.IPV6_PMTUDISC_WANT);
      setOption(fd, constant.SOL_IPV6, constant.IPV6_RECVERR, 1);
      setOption(fd, constant.SOL_IPV6, constant.IPV6_RECVTCLASS, 1);
    }
    if (allowOffload) trySetOption(fd, constant.SOL_UDP, constant.UDP_GRO, 1);
    // Setting 0 changes nothing but tells whether the option exists.
    const segmentation = allowOffload && trySetOption(fd, constant.SOL_UDP, constant.UDP_SEGMENT, 0);
    bindTo(fd, local, 0);
    return { fd, local, localPort: localEnd(fd).port, segmentation };
  } catch (error) {
    closeDescriptor(fd);
    throw error instanceof SysError ? dataPlaneError('socketFailed', `opening the outer socket: ${error.message}`, error) : error;
  }
}

export interface OuterRoute {
  readonly local: IpAddress;
  /** What the route, and ICMP so far, say that the path carries. */
  readonly pathMtu: number;
}

/** Asks the kernel which way it would go now, by connecting a socket that sends nothing. @throws {HostError} */
export function probeRoute(remote: IpAddress, remotePort: number, mark: number): OuterRoute {
  let fd = -1;
  try {
    fd = openUdpSocket(remote.family);
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    connectTo(fd, remote, remotePort);
    const pathMtu =
      remote.family === 4 ? getOption(fd, constant.SOL_IP, constant.IP_MTU) : getOption(fd, constant.SOL_IPV6, constant.IPV6_MTU);
    return { local: localEnd(fd).address, pathMtu };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.syscall === 'connect') throw dataPlaneError('noRoute', `no way to ${formatAddress(remote)}: ${error.code}`, error);
    throw dataPlaneError('socketFailed', `opening the outer socket: ${error.message}`, error);
  } finally {
    closeDescriptor(fd);
  }
}

/** Octets of an IP packet that the way to a gateway carries, as far as the kernel knows now; undefined where there is none. */
export function readPathMtu(remote: IpAddress, remotePort: number, mark: number): number | undefined {
  try {
    return probeRoute(remote, remotePort, mark).pathMtu;
  } catch {
    return undefined;
  }
}
