import { closeSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constant, libc, peerCredentials, type PeerCredentials } from '../sys/index.ts';

/** Who is at the other end of a Unix socket, by the kernel's word at the time of connect(2). */
export interface Peer extends PeerCredentials {
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** The process that connected; undefined when it has ended. */
  readonly process?: PeerProcess;
}

export interface PeerProcess {
  /** Clock ticks after the machine's start (proc_pid_stat(5)). */
  readonly startTime: bigint;
  isAlive(): boolean;
}

/** <asm-generic/socket.h>; Linux 4.13 */
const SO_PEERGROUPS = 59;
/** Linux 6.5 */
const SO_PEERPIDFD = 77;
/** NGROUPS_MAX */
const mostGroups = 65_536;

/** Undefined when the kernel cannot tell: not a Unix socket, or closed already. */
export function peerOf(socket: Socket): Peer | undefined {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  try {
    const credentials = peerCredentials(fd);
    const process = credentials.uid === 0 ? undefined : peerProcess(fd, credentials, socket);
    return { ...credentials, groups: peerGroups(fd), ...(process && { process }) };
  } catch {
    return undefined;
  }
}

/**
 * A number of a process is no identity: it is free again once the process has ended, and somebody waits for that. The kernel's descriptor of the very
 * process that connected is; what /proc says of the number is believed only while that process lives. Before Linux 6.5 the descriptor is of whatever has
 * the number now, which counts when it is the same user's: that user gets nothing by it that they could not have asked for from there. Lives as long as the socket.
 */
function peerProcess(fd: number, { pid, uid }: PeerCredentials, socket: Socket): PeerProcess | undefined {
  const pidfd = peerDescriptor(fd) ?? libc.pidfdOpen(pid);
  if (pidfd < 0) return undefined;
  let open = true;
  socket.once('close', () => {
    open = false;
    closeSync(pidfd);
  });
  const isAlive = (): boolean => open && !hasEnded(pidfd);
  const startTime = userOf(pid) === uid ? startTimeOf(pid) : undefined;
  return startTime !== undefined && isAlive() ? { startTime, isAlive } : undefined;
}

function peerDescriptor(fd: number): number | undefined {
  const octets = new Int32Array([-1]);
  const length = new Uint32Array([4]);
  const got = libc.getsockopt(fd, constant.SOL_SOCKET, SO_PEERPIDFD, libc.addressOf(octets), libc.addressOf(length));
  return got < 0 || octets[0]! < 0 ? undefined : octets[0]!;
}

/** pidfd_open(2): it can be read from when the process has ended. */
function hasEnded(pidfd: number): boolean {
  const POLLIN = 1;
  // struct pollfd
  const octets = new Int32Array([pidfd, POLLIN]);
  return libc.poll(libc.addressOf(octets), 1, 0) !== 0;
}

/** proc_pid_status(5): the real user, who stays while a set-uid program runs. */
function userOf(pid: number): number | undefined {
  try {
    const found = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** The name of the program is in parentheses and may hold anything, also parentheses. */
function startTimeOf(pid: number): bigint | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc_pid_stat(5): field 22; the name is field 2.
    return BigInt(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]!);
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
