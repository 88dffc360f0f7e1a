import process from 'node:process';
import { closeDescriptor, constant, libc } from '../sys/index.ts';

/** <sys/socket.h> */
const AF_UNIX = 1;

/**
 * Tells the service manager how we are (sd_notify(3): `READY=1`, `STATUS=…`, `STOPPING=1`). Without a service manager nothing
 * happens; a message that is lost is not worth an error.
 */
export function notifyService(message: string, socketPath = process.env['NOTIFY_SOCKET']): void {
  if (!socketPath || !/^[@/]/.test(socketPath) || Buffer.byteLength(socketPath) > 107) return;
  const name = Buffer.from(socketPath);
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  // "@" stands for the abstract namespace, whose names begin with a zero octet and have no end mark.
  const abstract = socketPath.startsWith('@');
  if (abstract) address[2] = 0;
  const fd = libc.socket(AF_UNIX, constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const data = Buffer.from(message);
  libc.sendto(fd, libc.addressOf(data), data.length, 0, libc.addressOf(address), abstract ? 2 + name.length : address.length);
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
