import { connectBus, type DbusConnection } from './connection.ts';
import type { DbusValue } from './marshal.ts';
import { systemBusSocket } from './system-bus.ts';

/** A service of the system bus while it is being asked. */
export interface BusService {
  /** The values of the answer. @throws {Error} as {@link DbusConnection.call} does */
  call(path: string, of: string, member: string, signature?: string, body?: readonly DbusValue[]): Promise<readonly DbusValue[]>;
  /** What a property holds, without its type. @throws {Error} */
  get(path: string, of: string, property: string): Promise<DbusValue>;
}

/**
 * Asks a service of the system bus, over a connection of its own.
 * @param starts the bus may start the service for the question; otherwise one that does not run is not asked
 * @returns undefined when there is no such bus, or the service is not on it
 * @throws {Error} what `ask` throws, or why the bus does not let us in
 */
export async function askService<T>(
  name: string,
  ask: (service: BusService) => Promise<T>,
  { starts = false }: { readonly starts?: boolean } = {},
): Promise<T | undefined> {
  const socket = systemBusSocket();
  if (socket === undefined) return undefined;
  const bus = await connectBus(socket);
  try {
    if (!starts && !(await hasOwner(bus, name))) return undefined;
    const service: BusService = {
      call: (path, of, member, signature = '', body = []) =>
        bus.call({ destination: name, path, interface: of, member, signature, body }),
      get: async (path, of, property) => {
        const [value] = await service.call(path, 'org.freedesktop.DBus.Properties', 'Get', 'ss', [of, property]);
        if (typeof value !== 'object' || !('value' in value)) throw new Error(`${property} is no property`);
        return value.value;
      },
    };
    return await ask(service);
  } finally {
    bus.close();
  }
}

/** The strings of a list. */
export function stringsOf(value: DbusValue): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

/** Whether a service is on the system bus now. */
export async function isOnBus(name: string): Promise<boolean> {
  try {
    return (await askService(name, () => Promise.resolve(true))) === true;
  } catch {
    return false;
  }
}

async function hasOwner(bus: DbusConnection, name: string): Promise<boolean> {
  const [owned] = await bus.call({
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'NameHasOwner',
    signature: 's',
    body: [name],
  });
  return owned === true;
}
