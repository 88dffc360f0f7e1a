import * as constant from './constant.ts';
import { closeDescriptor, openFile } from './descriptor.ts';
import * as libc from './libc.ts';
import { check } from './sys-error.ts';

/** No child ever gains privileges by a set-uid program. Per thread: call it before any worker starts. @throws {SysError} */
export function setNoNewPrivileges(): void {
  check('prctl PR_SET_NO_NEW_PRIVS', libc.prctl(constant.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/** No core dump, no ptrace by the same user: keys stay in this process. @throws {SysError} */
export function setUndumpable(): void {
  check('prctl PR_SET_DUMPABLE', libc.prctl(constant.PR_SET_DUMPABLE, 0, 0, 0, 0));
}

/** Moves this thread into a network namespace named by a file, such as `/run/netns/<name>`. @throws {SysError} */
export function enterNetworkNamespace(path: string): void {
  const fd = openFile(path, constant.O_RDONLY);
  try {
    check('setns', libc.setns(fd, constant.CLONE_NEWNET));
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * Waits until every processor has left what it was doing when this was called with interruptions by others off, such as the way of a packet through
 * the kernel: 5 to 20 ms of blocking. That is how the kernel carries out MEMBARRIER_CMD_GLOBAL of membarrier(2): by waiting for a grace period of RCU.
 * False where it does not do it: on machines with processors that have no timer tick (`nohz_full`).
 */
export function waitForPacketsUnderWay(): boolean {
  return libc.membarrier(constant.MEMBARRIER_CMD_GLOBAL) >= 0;
}
