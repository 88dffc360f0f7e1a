import koffi from 'koffi';
import './native-stack.ts';
import { check, SysError } from './sys-error.ts';

/** fanotify(7): permission to execute a file, asked of us while `execve` waits. Numbers of <linux/fanotify.h>. */

const self = koffi.load(null);
const nativeInit = self.func('int fanotify_init(uint, uint)') as (flags: number, eventFlags: number) => number;
const nativeMark = self.func('int fanotify_mark(int, uint, uint64_t, int, const char *)') as (
  fd: number,
  flags: number,
  mask: number,
  directory: number,
  path: string,
) => number;

const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_CLASS_CONTENT = 0x4;
const FAN_UNLIMITED_QUEUE = 0x10;
const FAN_UNLIMITED_MARKS = 0x20;
const FAN_MARK_ADD = 0x1;
const FAN_MARK_REMOVE = 0x2;
const FAN_OPEN_EXEC_PERM = 0x40000;
const AT_FDCWD = -100;
const O_LARGEFILE = 0o100000;
const O_CLOEXEC = 0o2000000;

/** `struct fanotify_event_metadata`, version 3: length 24, mask at 8, fd at 16, pid at 20. */
export const execEvent = { length: 24, eventLength: 0, version: 4, mask: 8, fd: 16, pid: 20, knownVersion: 3 } as const;
/** `struct fanotify_response`: the event's fd, then the answer. */
export const execResponse = { length: 8, fd: 0, answer: 4, allow: 1 } as const;

/** A group that is asked before any marked file is executed. Non-blocking. @throws {SysError} EPERM without CAP_SYS_ADMIN */
export function openExecPermission(): number {
  const flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
  const fd = nativeInit(flags, O_CLOEXEC | O_LARGEFILE);
  return check('fanotify_init', fd < 0 ? -koffi.errno() : fd);
}

/**
 * Asks to be asked about the file at `path` (symbolic links are followed), by inode.
 * @throws {SysError} EINVAL on a kernel without FAN_OPEN_EXEC_PERM (before 5.0, or without CONFIG_FANOTIFY_ACCESS_PERMISSIONS)
 */
export function markExecutable(fd: number, path: string): void {
  if (nativeMark(fd, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, path) < 0)
    throw new SysError(`fanotify_mark ${path}`, koffi.errno());
}

/** Takes a mark away; tells whether there was one. */
export function unmarkExecutable(fd: number, path: string): boolean {
  return nativeMark(fd, FAN_MARK_REMOVE, FAN_OPEN_EXEC_PERM, AT_FDCWD, path) >= 0;
}
