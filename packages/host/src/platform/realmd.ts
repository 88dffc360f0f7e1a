import type { JoinedRealm } from '@aovpn/policy';
import { connectBus } from '../dbus/connection.ts';
import type { DbusValue } from '../dbus/marshal.ts';
import { systemBusSocket } from '../dbus/system-bus.ts';

const service = 'org.freedesktop.realmd';
const maxRealms = 16;

/**
 * What realmd knows of memberships (`realm list`): it is started for the question, as for that command, and ends by itself. None where there
 * is no realmd or no bus.
 */
export async function askRealmd(socket = systemBusSocket()): Promise<readonly JoinedRealm[]> {
  if (socket === undefined) return [];
  const bus = await connectBus(socket).catch(() => undefined);
  if (!bus) return [];
  try {
    const get = async (path: string, of: string, property: string): Promise<DbusValue | undefined> => {
      const call = { destination: service, path, interface: 'org.freedesktop.DBus.Properties', member: 'Get' };
      const [value] = await bus.call({ ...call, signature: 'ss', body: [`${service}.${of}`, property] });
      return typeof value === 'object' && 'value' in value ? value.value : undefined;
    };
    const text = async (path: string, of: string, property: string): Promise<string> => {
      const value = await get(path, of, property);
      return typeof value === 'string' ? value : '';
    };
    const paths = await get('/org/freedesktop/realmd', 'Provider', 'Realms');
    const found: JoinedRealm[] = [];
    for (const path of strings(paths).slice(0, maxRealms)) {
      // The interface by which it is a member; empty: it is not.
      if ((await text(path, 'Realm', 'Configured')) === '') continue;
      const details = await get(path, 'Realm', 'Details');
      const software = (Array.isArray(details) ? details : []).find(
        (pair): pair is readonly [string, string] =>
          Array.isArray(pair) && pair[0] === 'client-software' && typeof pair[1] === 'string',
      )?.[1];
      const domain = (await text(path, 'Kerberos', 'DomainName')) || (await text(path, 'Realm', 'Name'));
      const realm = await text(path, 'Kerberos', 'RealmName');
      if (domain === '') continue;
      found.push({ domain, ...(realm !== '' && { realm }), ...(software !== undefined && { software }) });
    }
    return found;
  } catch {
    // No realmd here, or one of another dialect: the files say the same.
    return [];
  } finally {
    bus.close();
  }
}

function strings(value: DbusValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
