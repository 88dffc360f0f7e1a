import * as constant from './constant.ts';
import { closeDescriptor, watchReadable, type Watch } from './descriptor.ts';
import * as libc from './libc.ts';
import { check } from './sys-error.ts';

/** Milliseconds of one of the kernel's clocks. @throws {SysError} */
export function readClock(clock: 'realtime' | 'monotonic' | 'boottime'): number {
  const number = {
    realtime: constant.CLOCK_REALTIME,
    monotonic: constant.CLOCK_MONOTONIC,
    boottime: constant.CLOCK_BOOTTIME,
  }[clock];
  const time = new BigInt64Array(2);
  check('clock_gettime', libc.clock_gettime(number, libc.addressOf(time)));
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/** Seconds since 1970 that no clock reaches: the timer only ever ends by being cancelled. */
const never = 1n << 40n;

/**
 * Calls back when the clock on the wall was set, or went on after the machine slept (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET): the kernel
 * wakes us, nothing is polled. @throws {SysError}
 */
export function watchClockSet(callback: () => void): Watch {
  const fd = check('timerfd_create', libc.timerfd_create(constant.CLOCK_REALTIME, constant.TFD_NONBLOCK | constant.TFD_CLOEXEC));
  const arm = (): void => {
    // Interval (none), then expiry.
    const when = new BigInt64Array([0n, 0n, never, 0n]);
    const flags = constant.TFD_TIMER_ABSTIME | constant.TFD_TIMER_CANCEL_ON_SET;
    check('timerfd_settime', libc.timerfd_settime(fd, flags, libc.addressOf(when), 0));
  };
  try {
    arm();
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  const expirations = new BigUint64Array(1);
  const watch = watchReadable(fd, () => {
    // ECANCELED says so; the read also takes the news away.
    libc.read(fd, libc.addressOf(expirations), 8);
    arm();
    callback();
  });
  return {
    ...watch,
    close: () => {
      watch.close();
      closeDescriptor(fd);
    },
  };
}
