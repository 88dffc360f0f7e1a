import type { IpFamily } from '@aovpn/bytes';
import { check, closeDescriptor, constant, libc, openRawSocket, watchReadable } from '../sys/index.ts';

/** Of which family and ports the flow is whose errors are wanted. */
export interface ErrorFlow {
  readonly family: IpFamily;
  readonly localPort: number;
  readonly remotePort: number;
}

export interface PathError {
  /** An errno's name, as a socket would have told it. `EMSGSIZE`: the path carries less than believed. */
  readonly code: string;
  /** With `EMSGSIZE`: what it carries, octets. */
  readonly mtu?: number;
}

export interface IcmpErrorSocket {
  close(): void;
}

/** Messages that are looked at before others get their turn; a flood costs no more. */
const atATime = 32;

/**
 * Listens to ICMP "destination unreachable" about a UDP flow. The kernel keeps such errors to itself where it takes ESP out of the socket
 * (`UDP_ENCAP`). Whatever a stranger writes here is a hint and no more.
 * @throws {SysError} where raw sockets are not allowed
 */
export function openIcmpErrorSocket(flow: ErrorFlow, onError: (error: PathError) => void): IcmpErrorSocket {
  const four = flow.family === 4;
  const fd = openRawSocket(flow.family, four ? constant.IPPROTO_ICMP : constant.IPPROTO_ICMPV6);
  // A bit for each type that is not wanted; all but "destination unreachable" (3; 1 with ICMPv6) and "packet too big" (2).
  const filter = new Uint32Array(four ? [~(1 << 3)] : [~((1 << 1) | (1 << 2)), ~0, ~0, ~0, ~0, ~0, ~0, ~0]);
  const [level, name] = four ? [constant.SOL_RAW, constant.ICMP_FILTER] : [constant.IPPROTO_ICMPV6, constant.ICMPV6_FILTER];
  const set = libc.setsockopt(fd, level, name, libc.addressOf(filter), filter.byteLength);
  if (set < 0) {
    closeDescriptor(fd);
    check('setsockopt ICMP filter', set);
  }
  const buffer = new Uint8Array(2048);
  const watch = watchReadable(fd, () => {
    for (let i = 0; i < atATime; i++) {
      const length = libc.recvfrom(fd, libc.addressOf(buffer), buffer.length, constant.MSG_DONTWAIT, 0, 0);
      if (length < 0) return;
      const error = unreachable(buffer.subarray(0, length), flow);
      if (error) onError(error);
    }
  });
  watch.unref();
  return {
    close: () => {
      watch.close();
      closeDescriptor(fd);
    },
  };
}

/** RFC 792, RFC 1122 §3.2.2.1 */
const codes4: Readonly<Record<number, string>> = {
  0: 'ENETUNREACH',
  1: 'EHOSTUNREACH',
  3: 'ECONNREFUSED',
  4: 'EMSGSIZE',
  9: 'ENETUNREACH',
  10: 'EHOSTUNREACH',
  13: 'EHOSTUNREACH',
};
/** RFC 4443 §3.1 */
const codes6: Readonly<Record<number, string>> = { 0: 'ENETUNREACH', 1: 'EACCES', 3: 'EHOSTUNREACH', 4: 'ECONNREFUSED' };

/** What an ICMP message says about a flow; undefined for others' flows and for what is no error of the path. */
export function unreachable(message: Uint8Array, flow: ErrorFlow): PathError | undefined {
  const four = flow.family === 4;
  // With IPv4 a raw socket gets the IP header too.
  const icmp = four ? (message[0]! & 15) * 4 : 0;
  const quoted = icmp + 8;
  if (message.length < quoted + (four ? 28 : 48)) return undefined;
  const code = message[icmp + 1]!;
  const type = message[icmp];
  if (type !== (four ? 3 : 1) && (four || type !== 2)) return undefined;
  const protocol = message[quoted + (four ? 9 : 6)];
  const udp = quoted + (four ? (message[quoted]! & 15) * 4 : 40);
  if (protocol !== 17 || message.length < udp + 4) return undefined;
  const port = (at: number): number => (message[at]! << 8) | message[at + 1]!;
  if (port(udp) !== flow.localPort || port(udp + 2) !== flow.remotePort) return undefined;
  const name = four ? codes4[code] : type === 2 ? 'EMSGSIZE' : codes6[code];
  if (name === undefined) return undefined;
  if (name !== 'EMSGSIZE') return { code: name };
  // RFC 1191 §4, RFC 4443 §3.2. What is below any sensible path is nothing to go by.
  const mtu = port(icmp + 6) + (four ? 0 : port(icmp + 4) * 0x10000);
  return mtu < (four ? 552 : 1280) ? undefined : { code: name, mtu };
}
