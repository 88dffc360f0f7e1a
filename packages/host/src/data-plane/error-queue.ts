import { constant, errno, libc } from '../sys/index.ts';

export interface QueuedError {
  readonly errno: number;
  /** What the path carries, when that is what the error says; else 0. */
  readonly pathMtu: number;
}

const data = new Uint8Array(2048);
const control = new Uint8Array(512);
const vector = new BigUint64Array(2);
const message = new BigUint64Array(7);

/** Takes what ICMP and the kernel say about datagrams sent earlier (`IP_RECVERR`), at most 64 at a time. */
export function readErrorQueue(fd: number): QueuedError[] {
  const errors: QueuedError[] = [];
  while (errors.length < 64) {
    vector[0] = BigInt(libc.addressOf(data));
    vector[1] = BigInt(data.length);
    message.fill(0n);
    message[2] = BigInt(libc.addressOf(vector));
    message[3] = 1n;
    message[4] = BigInt(libc.addressOf(control));
    message[5] = BigInt(control.length);
    const result = libc.recvmsg(fd, libc.addressOf(message), constant.MSG_ERRQUEUE | constant.MSG_DONTWAIT);
    if (result < 0) break;
    const error = extendedError(control.subarray(0, Number(message[5])));
    if (error) errors.push(error);
  }
  return errors;
}

/** Finds `struct sock_extended_err` (<linux/errqueue.h>) among control messages. */
function extendedError(octets: Uint8Array): QueuedError | undefined {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  for (let at = 0; at + 32 <= octets.length;) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > octets.length) return undefined;
    const level = view.getInt32(at + 8, true);
    const type = view.getInt32(at + 12, true);
    const ours =
      (level === constant.SOL_IP && type === constant.IP_RECVERR) ||
      (level === constant.SOL_IPV6 && type === constant.IPV6_RECVERR);
    if (ours && length >= 32) {
      const code = view.getUint32(at + 16, true);
      return { errno: code, pathMtu: code === errno.EMSGSIZE ? view.getUint32(at + 24, true) : 0 };
    }
    at += Math.ceil(length / 8) * 8;
  }
  return undefined;
}
