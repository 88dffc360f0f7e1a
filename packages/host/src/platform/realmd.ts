import type { JoinedRealm } from '@aovpn/policy';
import { askService, stringsOf } from '../dbus/bus-service.ts';

const service = 'org.freedesktop.realmd';
const maxRealms = 16;

/**
 * What realmd knows of memberships (`realm list`): it is started for the question, as for that command, and ends by itself. None where there
 * is no realmd or no bus.
 */
export async function askRealmd(): Promise<readonly JoinedRealm[]> {
  try {
    const found = await askService(
      service,
      async (realmd) => {
        const text = async (path: string, of: string, property: string): Promise<string> => {
          const value = await realmd.get(path, `${service}.${of}`, property);
          return typeof value === 'string' ? value : '';
        };
        const realms: JoinedRealm[] = [];
        const paths = await realmd.get('/org/freedesktop/realmd', `${service}.Provider`, 'Realms');
        for (const path of stringsOf(paths).slice(0, maxRealms)) {
          // The interface by which it is a member; empty: it is not.
          if ((await text(path, 'Realm', 'Configured')) === '') continue;
          const details = await realmd.get(path, `${service}.Realm`, 'Details');
          const software = (Array.isArray(details) ? details : []).find(
            (pair): pair is readonly [string, string] =>
              Array.isArray(pair) && pair[0] === 'client-software' && typeof pair[1] === 'string',
          )?.[1];
          const domain = (await text(path, 'Kerberos', 'DomainName')) || (await text(path, 'Realm', 'Name'));
          const realm = await text(path, 'Kerberos', 'RealmName');
          if (domain === '') continue;
          realms.push({ domain, ...(realm !== '' && { realm }), ...(software !== undefined && { software }) });
        }
        return realms;
      },
      { starts: true },
    );
    return found ?? [];
  } catch {
    // No realmd here, or one of another dialect: the files say the same.
    return [];
  }
}
