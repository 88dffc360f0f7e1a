import { connectBus, type DbusConnection } from '../dbus/connection.ts';
import type { DbusValue } from '../dbus/marshal.ts';
import { systemBusSocket } from '../dbus/system-bus.ts';

const service = 'org.freedesktop.NetworkManager';
const properties = 'org.freedesktop.DBus.Properties';
const maxDevices = 64;

/** The DNS suffixes that NetworkManager has for its devices, from DHCP, router advertisements and its own settings. */
export async function readNetworkManagerDomains(): Promise<readonly { readonly device: string; readonly domain: string }[]> {
  const socket = systemBusSocket();
  if (socket === undefined) return [];
  let bus: DbusConnection | undefined;
  try {
    bus = await connectBus(socket);
    const call = bus.call.bind(bus);
    const [running] = await call({
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member: 'NameHasOwner',
      signature: 's',
      body: [service],
    });
    if (running !== true) return [];
    const get = async (path: string, of: string, property: string): Promise<DbusValue> => {
      const body = [of, property];
      const [value] = await call({ destination: service, path, interface: properties, member: 'Get', signature: 'ss', body });
      return valueOf(value);
    };
    const found: { device: string; domain: string }[] = [];
    const devices = await get('/org/freedesktop/NetworkManager', service, 'Devices');
    for (const path of strings(devices).slice(0, maxDevices)) {
      const device = await get(path, `${service}.Device`, 'Interface');
      for (const family of ['4', '6']) {
        const config = await get(path, `${service}.Device`, `Ip${family}Config`);
        if (typeof device !== 'string' || typeof config !== 'string' || config === '/') continue;
        for (const property of ['Domains', 'Searches'])
          for (const domain of strings(await get(config, `${service}.IP${family}Config`, property)))
            found.push({ device, domain });
      }
    }
    return found;
  } catch {
    // It went away meanwhile, or speaks another dialect; other sources may know.
    return [];
  } finally {
    bus?.close();
  }
}

function strings(value: DbusValue): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

/** A variant comes as what is in it, with its type. */
function valueOf(value: DbusValue | undefined): DbusValue {
  return typeof value === 'object' && value !== null && 'value' in value ? (value as { value: DbusValue }).value : (value ?? '');
}
