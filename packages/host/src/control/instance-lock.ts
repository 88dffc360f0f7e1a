import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import process from 'node:process';
import { HostError } from '../host-error.ts';
import { errno, libc } from '../sys/index.ts';
import { controlErrors } from './errors.ts';

/** <sys/file.h> */
const LOCK_EX = 2;
const LOCK_NB = 4;

export interface InstanceLock {
  release(): void;
}

/**
 * Makes this process the one daemon of a run directory. The kernel drops the lock with the process, however that ends,
 * so a stale file means nothing.
 * @throws {HostError} AOV-HOST-401 when another process has it
 */
export function lockInstance(path: string): InstanceLock {
  const cure = (code: string): string => controlErrors.find((entry) => entry.code === code)!.cure;
  let fd: number;
  try {
    fd = openSync(path, 'a+', 0o600);
  } catch (error) {
    throw new HostError(
      'AOV-HOST-403',
      `the lock file ${path} cannot be made: ${(error as Error).message}`,
      cure('AOV-HOST-403'),
      error,
    );
  }
  const result = libc.flock(fd, LOCK_EX | LOCK_NB);
  if (result < 0) {
    closeSync(fd);
    if (-result !== errno.EAGAIN)
      throw new HostError('AOV-HOST-403', `the lock file ${path} cannot be locked`, cure('AOV-HOST-403'));
    const holder = /^\d+/.exec(readFileSync(path, 'utf8'))?.[0];
    throw new HostError(
      'AOV-HOST-401',
      `another aovpnd is running${holder ? ` (process ${holder})` : ''}; it is left alone`,
      cure('AOV-HOST-401'),
    );
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return { release: () => closeSync(fd) };
}
