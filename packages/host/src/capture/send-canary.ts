import type { IpAddress } from '@aovpn/bytes';
import { bindTo, check, closeDescriptor, constant, encodeSocketAddress, errnoName, errno, libc, SysError } from '../sys/index.ts';

/** What a program might send; see {@link sendCanary}. */
export interface Canary {
  readonly kind: 'udp' | 'tcp' | 'icmp';
  readonly destination: IpAddress;
  /** UDP and TCP only. */
  readonly port: number;
  /** Not with TCP: nothing is sent before somebody answers. */
  readonly payload: Uint8Array;
  /** As a program does that was told to use this device (SO_BINDTODEVICE). */
  readonly device?: string;
  /** As a program does that bound itself to this address. */
  readonly source?: IpAddress;
}

/** `sent`: the kernel took it, and may still have thrown it away; otherwise the errno's name. */
export interface CanaryOutcome {
  readonly result: string;
  /** A connection under way, whose SYN the kernel repeats; whoever asked closes it. */
  readonly fd?: number;
}

/** Sends one packet the way any program of this machine does. Never throws for what the network says. */
export function sendCanary(canary: Canary): CanaryOutcome {
  let fd = -1;
  try {
    fd = openSocket(canary);
    if (canary.device !== undefined) bindToDevice(fd, canary.device);
    if (canary.source) bindTo(fd, canary.source, 0);
    const to = encodeSocketAddress(canary.destination, canary.kind === 'icmp' ? 0 : canary.port);
    if (canary.kind === 'tcp') {
      const result = libc.connect(fd, libc.addressOf(to), to.length);
      if (result < 0 && result !== -errno.EINPROGRESS) throw new SysError('connect', -result);
      return { result: 'sent', fd };
    }
    const payload = canary.kind === 'icmp' ? echoRequest(canary) : own(canary.payload);
    const length = payload.length;
    check('sendto', libc.sendto(fd, libc.addressOf(payload), length, constant.MSG_DONTWAIT, libc.addressOf(to), to.length));
    closeDescriptor(fd);
    return { result: 'sent' };
  } catch (error) {
    closeDescriptor(fd);
    if (error instanceof SysError) return { result: errnoName(error.errno) };
    throw error;
  }
}

/** Gives up a connection under way. */
export function closeCanary(fd: number): void {
  closeDescriptor(fd);
}

function openSocket({ kind, destination }: Canary): number {
  const family = destination.family === 4 ? constant.AF_INET : constant.AF_INET6;
  const flags = constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC;
  const open = (type: number, protocol: number): number => check('socket', libc.socket(family, type | flags, protocol));
  switch (kind) {
    case 'udp':
      return open(constant.SOCK_DGRAM, 0);
    case 'tcp':
      return open(constant.SOCK_STREAM, 0);
    case 'icmp':
      return open(constant.SOCK_RAW, destination.family === 4 ? constant.IPPROTO_ICMP : constant.IPPROTO_ICMPV6);
  }
}

function bindToDevice(fd: number, device: string): void {
  const name = own(new TextEncoder().encode(`${device}\0`));
  check(
    'setsockopt SO_BINDTODEVICE',
    libc.setsockopt(fd, constant.SOL_SOCKET, constant.SO_BINDTODEVICE, libc.addressOf(name), device.length + 1),
  );
}

/** RFC 792 and RFC 4443 §4.1; the kernel fills in the checksum of ICMPv6. */
function echoRequest({ destination, payload }: Canary): Uint8Array {
  const message = own(new Uint8Array(8 + payload.length));
  message[0] = destination.family === 4 ? 8 : 128;
  message.set(payload, 8);
  if (destination.family === 6) return message;
  let sum = 0;
  for (let at = 0; at < message.length; at += 2) sum += (message[at]! << 8) | (message[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  message[2] = (~sum >> 8) & 0xff;
  message[3] = ~sum & 0xff;
  return message;
}

/** A copy in memory of its own: the address of a short array on V8's heap would not be stable. */
function own(octets: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(Math.max(128, octets.length)), 0, octets.length);
  copy.set(octets);
  return copy;
}
