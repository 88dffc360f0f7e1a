import koffi from 'koffi';

/** A system call that failed. `code` is the errno's name (`EPERM`), as in Node's own errors. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;

  constructor(syscall: string, errno: number) {
    const code = errnoName(errno);
    super(`${syscall}: ${code}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

/** Such as `EAGAIN`; numbers unknown here come back as `E<number>`. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** Linux errno numbers that code compares with (asm-generic). */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EPIPE: 32,
  EBADFD: 77,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
} as const;

// Some numbers have two names (EAGAIN, EWOULDBLOCK): ours win.
const names = new Map([...Object.entries(koffi.os.errno), ...Object.entries(errno)].map(([name, number]) => [number, name]));

/** Passes a result through, or throws when it is a negated errno. @throws {SysError} */
export function check(syscall: string, result: number): number {
  if (result < 0) throw new SysError(syscall, -result);
  return result;
}
