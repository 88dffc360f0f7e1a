import { askService, stringsOf } from '../dbus/bus-service.ts';

const service = 'org.freedesktop.NetworkManager';
const maxDevices = 64;

/** The DNS suffixes that NetworkManager has for its devices, from DHCP, router advertisements and its own settings. */
export async function readNetworkManagerDomains(): Promise<readonly { readonly device: string; readonly domain: string }[]> {
  try {
    const found = await askService(service, async (manager) => {
      const domains: { device: string; domain: string }[] = [];
      const devices = await manager.get('/org/freedesktop/NetworkManager', service, 'Devices');
      for (const path of stringsOf(devices).slice(0, maxDevices)) {
        const device = await manager.get(path, `${service}.Device`, 'Interface');
        for (const family of ['4', '6']) {
          const config = await manager.get(path, `${service}.Device`, `Ip${family}Config`);
          if (typeof device !== 'string' || typeof config !== 'string' || config === '/') continue;
          for (const property of ['Domains', 'Searches'])
            for (const domain of stringsOf(await manager.get(config, `${service}.IP${family}Config`, property)))
              domains.push({ device, domain });
        }
      }
      return domains;
    });
    return found ?? [];
  } catch {
    // It went away meanwhile, or speaks another dialect; other sources may know.
    return [];
  }
}
