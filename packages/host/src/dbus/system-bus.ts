import { existsSync } from 'node:fs';
import process from 'node:process';

/** Where the system bus listens, if there is one. */
export function systemBusSocket(): string | undefined {
  const named = /^unix:path=([^,;]+)/.exec(process.env['DBUS_SYSTEM_BUS_ADDRESS'] ?? '')?.[1];
  return [named, '/run/dbus/system_bus_socket', '/var/run/dbus/system_bus_socket'].find(
    (path) => path !== undefined && existsSync(path),
  );
}
