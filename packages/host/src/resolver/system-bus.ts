import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** `busctl` with an argument list; the bus is found by DBUS_SYSTEM_BUS_ADDRESS or its standard place. @throws as execFile does */
export async function busctl(...args: string[]): Promise<string> {
  const { stdout } = await run('busctl', ['--system', '--timeout=5', ...args], { timeout: 10_000, maxBuffer: 4 * 1024 * 1024 });
  return stdout;
}

/** Whether a service is on the bus now; it is not started. Machines without a system bus are told apart without starting a program. */
export async function isOnBus(service: string): Promise<boolean> {
  if (!hasBus()) return false;
  const bus = 'org.freedesktop.DBus';
  try {
    const answer = await busctl('call', bus, '/org/freedesktop/DBus', bus, 'NameHasOwner', 's', service);
    return answer.trim() === 'b true';
  } catch {
    return false;
  }
}

/** What `busctl` said went wrong. */
export function busReason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  return (stderr?.trim() || message) ?? String(error);
}

function hasBus(): boolean {
  return (
    process.env['DBUS_SYSTEM_BUS_ADDRESS'] !== undefined ||
    existsSync('/run/dbus/system_bus_socket') ||
    existsSync('/var/run/dbus/system_bus_socket')
  );
}
