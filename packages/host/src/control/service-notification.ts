import process from 'node:process';
import { closeDescriptor, constant, libc } from '../sys/index.ts';
import { unixAddress } from './unix-address.ts';

/**
 * Tells the service manager how we are (sd_notify(3): `READY=1`, `STATUS=…`, `STOPPING=1`). Without a service manager nothing
 * happens; a message that is lost is not worth an error.
 */
export function notifyService(message: string, socketPath = process.env['NOTIFY_SOCKET']): void {
  const address = socketPath ? unixAddress(socketPath) : undefined;
  if (!address) return;
  const fd = libc.socket(constant.AF_UNIX, constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const data = Buffer.from(message);
  libc.sendto(fd, libc.addressOf(data), data.length, 0, libc.addressOf(address), address.length);
  closeDescriptor(fd);
}

/**
 * Shows the service manager at half of its patience that the daemon still turns (sd_watchdog_enabled(3)), when it asked for that: one
 * that does not is killed and started again. A stopped daemon would otherwise hold the starts of watched programs for as long as it stands.
 * @returns ends it.
 */
export function keepServiceWatchdog(environment: NodeJS.ProcessEnv = process.env): () => void {
  const patience = Number(environment['WATCHDOG_USEC']) / 1000;
  const whom = environment['WATCHDOG_PID'];
  if (!(patience > 0) || (whom !== undefined && Number(whom) !== process.pid)) return () => {};
  const timer = setInterval(() => notifyService('WATCHDOG=1', environment['NOTIFY_SOCKET']), patience / 2);
  timer.unref();
  return () => clearInterval(timer);
}
