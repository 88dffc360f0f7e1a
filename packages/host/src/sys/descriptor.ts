import koffi from 'koffi';
import * as constant from './constant.ts';
import * as libc from './libc.ts';
import { check } from './sys-error.ts';

/** @throws {SysError} */
export function openFile(path: string, flags: number): number {
  return check(`open ${path}`, libc.open(path, flags | constant.O_CLOEXEC, 0));
}

/** Closing twice, or something never opened, is not an error worth a message. */
export function closeDescriptor(fd: number): void {
  if (fd >= 0) libc.close(fd);
}

/** A counter that wakes a thread out of `poll`. Non-blocking. @throws {SysError} */
export function openEventfd(): number {
  return check('eventfd', libc.eventfd(0, constant.EFD_NONBLOCK | constant.EFD_CLOEXEC));
}

const one = new BigUint64Array([1n]);
const sink = new BigUint64Array(1);

/** Wakes whoever polls this eventfd. */
export function wakeEventfd(fd: number): void {
  libc.write(fd, libc.addressOf(one), 8);
}

/** Forgets all wake-ups that came so far. */
export function drainEventfd(fd: number): void {
  libc.read(fd, libc.addressOf(sink), 8);
}

/** Stops a watch; the descriptor stays open. */
export interface Watch {
  close(): void;
  /** Whether the watch keeps the process alive; it does until told otherwise. */
  ref(): void;
  unref(): void;
}

// A poll handle that is garbage-collected falls silent without an error: every live one is held here.
const watches = new Set<ReturnType<typeof koffi.node.poll>>();

/** Calls back from the event loop as often as the descriptor is readable (level-triggered) or in error. */
export function watchReadable(fd: number, callback: () => void): Watch {
  const handle = koffi.node.poll(fd, { readable: true, disconnect: true }, callback);
  watches.add(handle);
  return {
    close: () => {
      if (watches.delete(handle)) handle.close();
    },
    ref: () => handle.ref(),
    unref: () => handle.unref(),
  };
}

/** Calls back once, when the descriptor is writable or in error. */
export function watchWritable(fd: number, callback: () => void): Watch {
  const handle = koffi.node.poll(fd, { writable: true, disconnect: true }, () => {
    if (!watches.delete(handle)) return;
    handle.close();
    callback();
  });
  watches.add(handle);
  return {
    close: () => {
      if (watches.delete(handle)) handle.close();
    },
    ref: () => handle.ref(),
    unref: () => handle.unref(),
  };
}

/** Waits at most `timeoutMs` until the descriptor is readable, blocking this thread: for tests and one-shot requests only. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const entry = new Int32Array([fd, constant.POLLIN]);
  return libc.poll(libc.addressOf(entry), 1, timeoutMs) > 0;
}
