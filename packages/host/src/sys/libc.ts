import koffi from 'koffi';
import './native-stack.ts';

/**
 * Every system call that this program makes by itself; everything else goes through Node.
 *
 * Pointers are plain numbers ({@link addressOf}): that is the cheapest way through koffi, and the caller keeps the memory alive.
 * Every function answers as the kernel does: 0 or more, or a negated errno, and never throws; `check()` turns that into a `SysError`.
 */

// The program itself: libc is already in it, and so are the EVP functions of Node's own OpenSSL.
const self = koffi.load(null);

type Call = (...args: (number | string)[]) => number;

function bind(definition: string): Call {
  const native = self.func(definition) as Call;
  return (...args) => {
    const result = native(...args);
    return result < 0 ? -koffi.errno() : result;
  };
}

// The calls of the packet loop: no rest arguments, nothing allocated.
const nativeRead = self.func('long read(int, size_t, size_t)') as (fd: number, at: number, length: number) => number;
const nativeWrite = self.func('long write(int, size_t, size_t)') as (fd: number, at: number, length: number) => number;
const nativeWritev = self.func('long writev(int, size_t, int)') as (fd: number, iov: number, count: number) => number;
const nativePoll = self.func('int poll(size_t, ulong, int)') as (fds: number, count: number, timeoutMs: number) => number;
const nativeSendmmsg = self.func('int sendmmsg(int, size_t, uint, int)') as (
  fd: number,
  at: number,
  count: number,
  flags: number,
) => number;
const nativeRecvmmsg = self.func('int recvmmsg(int, size_t, uint, int, size_t)') as (
  fd: number,
  at: number,
  count: number,
  flags: number,
  timeout: number,
) => number;

export function read(fd: number, at: number, length: number): number {
  const result = nativeRead(fd, at, length);
  return result < 0 ? -koffi.errno() : result;
}

export function write(fd: number, at: number, length: number): number {
  const result = nativeWrite(fd, at, length);
  return result < 0 ? -koffi.errno() : result;
}

/** `iov`: array of `struct iovec`. */
export function writev(fd: number, iov: number, count: number): number {
  const result = nativeWritev(fd, iov, count);
  return result < 0 ? -koffi.errno() : result;
}

/** `fds`: array of `struct pollfd`; `timeoutMs` −1 waits for ever, so something in `fds` must be able to end the wait. */
export function poll(fds: number, count: number, timeoutMs: number): number {
  const result = nativePoll(fds, count, timeoutMs);
  return result < 0 ? -koffi.errno() : result;
}

/** `at`: array of `struct mmsghdr`. */
export function sendmmsg(fd: number, at: number, count: number, flags: number): number {
  const result = nativeSendmmsg(fd, at, count, flags);
  return result < 0 ? -koffi.errno() : result;
}

/** `at`: array of `struct mmsghdr`; never waits, whatever the flags of the socket. */
export function recvmmsg(fd: number, at: number, count: number, flags: number): number {
  const result = nativeRecvmmsg(fd, at, count, flags, 0);
  return result < 0 ? -koffi.errno() : result;
}

export const open = bind('int open(const char *, int, int)') as (path: string, flags: number, mode: number) => number;
export const close = bind('int close(int)') as (fd: number) => number;
export const ioctl = bind('int ioctl(int, ulong, size_t)') as (fd: number, request: number, argument: number) => number;
export const eventfd = bind('int eventfd(uint, int)') as (initial: number, flags: number) => number;
/** `at`: `struct timespec`. */
export const clock_gettime = bind('int clock_gettime(int, size_t)') as (clock: number, at: number) => number;
export const timerfd_create = bind('int timerfd_create(int, int)') as (clock: number, flags: number) => number;
/** `at`: `struct itimerspec`. */
export const timerfd_settime = bind('int timerfd_settime(int, int, size_t, size_t)') as (
  fd: number,
  flags: number,
  at: number,
  old: number,
) => number;

export const socket = bind('int socket(int, int, int)') as (family: number, type: number, protocol: number) => number;
/** `pair`: address of two 32-bit descriptors to come. */
export const socketpair = bind('int socketpair(int, int, int, size_t)') as (
  family: number,
  type: number,
  protocol: number,
  pair: number,
) => number;
export const bindSocket = bind('int bind(int, size_t, uint)') as (fd: number, address: number, length: number) => number;
export const connect = bind('int connect(int, size_t, uint)') as (fd: number, address: number, length: number) => number;
/** `length`: address of a 32-bit in-out length. */
export const getsockname = bind('int getsockname(int, size_t, size_t)') as (
  fd: number,
  address: number,
  length: number,
) => number;
export const setsockopt = bind('int setsockopt(int, int, int, size_t, uint)') as (
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
) => number;
/** `length`: address of a 32-bit in-out length. */
export const getsockopt = bind('int getsockopt(int, int, int, size_t, size_t)') as (
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
) => number;
export const sendto = bind('long sendto(int, size_t, size_t, int, size_t, uint)') as (
  fd: number,
  data: number,
  length: number,
  flags: number,
  address: number,
  addressLength: number,
) => number;
/** `addressLength`: address of a 32-bit in-out length, or 0. */
export const recvfrom = bind('long recvfrom(int, size_t, size_t, int, size_t, size_t)') as (
  fd: number,
  data: number,
  length: number,
  flags: number,
  address: number,
  addressLength: number,
) => number;
export const recvmsg = bind('long recvmsg(int, size_t, int)') as (fd: number, message: number, flags: number) => number;

/** At an offset, without moving the descriptor's own. */
export const pread = bind('long pread(int, size_t, size_t, long)') as (
  fd: number,
  at: number,
  length: number,
  offset: number,
) => number;
export const unshare = bind('int unshare(int)') as (flags: number) => number;
export const setns = bind('int setns(int, int)') as (fd: number, type: number) => number;
export const prctl = bind('int prctl(int, ulong, ulong, ulong, ulong)') as (
  option: number,
  a: number,
  b: number,
  c: number,
  d: number,
) => number;
export const madvise = bind('int madvise(size_t, size_t, int)') as (at: number, length: number, advice: number) => number;
const nativeIfNameToIndex = self.func('uint if_nametoindex(const char *)') as (name: string) => number;

/** The index of a network interface, or 0 when there is none of that name. */
export function interfaceIndex(name: string): number {
  return nativeIfNameToIndex(name);
}

/**
 * Where these octets lie. The number is good for as long as the underlying buffer lives, so keep it referenced: by an object that lives, or up to a
 * call of {@link keepUntilHere}. A statement without effect keeps nothing: compilers and bundlers leave it out.
 */
export function addressOf(octets: ArrayBufferView | ArrayBufferLike): number {
  return Number(koffi.address(octets));
}

/** Comes after the last use of memory that was given away as a number. */
export function keepUntilHere(...memory: readonly (ArrayBufferView | ArrayBufferLike)[]): void {
  for (const octets of memory) koffi.address(octets);
}

/** `operation`: LOCK_* of <sys/file.h>. */
export const flock = bind('int flock(int, int)') as (fd: number, operation: number) => number;

/** Makes `target` another name of what `fd` is, in one step: no moment in which the number is free. */
export const dup3 = bind('int dup3(int, int, int)') as (fd: number, target: number, flags: number) => number;

const syscall = bind('long syscall(long, int, uint)') as (number: number, a: number, b: number) => number;
/** By number, the same on every machine: C libraries before 2.36 have no name for it. */
/** x86-64 has numbers of its own, every newer architecture the generic ones. */
export const membarrier = (command: number): number => syscall(process.arch === 'x64' ? 324 : 283, command, 0);
export const pidfdOpen = (pid: number): number => syscall(434, pid, 0);
