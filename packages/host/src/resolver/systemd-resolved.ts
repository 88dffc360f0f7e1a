import { addressFromBytes, type IpAddress } from '@aovpn/bytes';
import { askService, isOnBus, type BusService } from '../dbus/bus-service.ts';
import type { DbusValue } from '../dbus/marshal.ts';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import type { ResolvedLink } from './resolved-links.ts';

/** What systemd-resolved has about one link (0: for the whole machine). */
interface ResolvedState {
  readonly servers: readonly { readonly index: number; readonly address: IpAddress }[];
  readonly domains: readonly { readonly index: number; readonly domain: string; readonly routingOnly: boolean }[];
}

/** org.freedesktop.resolve1(5). */
export interface SystemdResolved {
  isRunning(): Promise<boolean>;
  /** @throws {HostError} AOV-HOST-313 */
  read(): Promise<ResolvedState>;
  /** Idempotent. @throws {HostError} AOV-HOST-313 */
  set(index: number, link: ResolvedLink): Promise<void>;
  /** A link that is gone counts as reverted. @throws {HostError} AOV-HOST-313 */
  revert(index: number): Promise<void>;
}

const service = 'org.freedesktop.resolve1';
const place = '/org/freedesktop/resolve1';
const manager = `${service}.Manager`;
/** Address families of Linux, as the service wants them. */
const afInet = 2;
const afInet6 = 10;

export function openSystemdResolved(): SystemdResolved {
  const ask = async <T>(what: string, question: (resolved: BusService) => Promise<T>): Promise<T> => {
    try {
      const answer = await askService(service, async (resolved) => ({ value: await question(resolved) }));
      if (!answer) throw new Error('it is not on the bus');
      return answer.value;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new HostError('AOV-HOST-313', `${what}: ${why}`, networkCure('AOV-HOST-313'), error);
    }
  };
  return {
    isRunning: () => isOnBus(service),
    read: () =>
      ask('reading back', async (resolved) => {
        const [servers, domains] = [await resolved.get(place, manager, 'DNS'), await resolved.get(place, manager, 'Domains')];
        return {
          servers: rows(servers).map(([index, , octets]) => ({
            index: Number(index),
            address: addressFromBytes(octets as Uint8Array),
          })),
          domains: rows(domains).map(([index, domain, routingOnly]) => ({
            index: Number(index),
            domain: domain as string,
            routingOnly: routingOnly === true,
          })),
        };
      }),
    set: (index, { servers, domains, defaultRoute }) =>
      ask('setting a link', async (resolved) => {
        const addresses = servers.map(({ family, bytes }) => [family === 4 ? afInet : afInet6, bytes]);
        await resolved.call(place, manager, 'SetLinkDNS', 'ia(iay)', [index, addresses]);
        const pairs = domains.map(({ domain, routingOnly }) => [domain, routingOnly]);
        await resolved.call(place, manager, 'SetLinkDomains', 'ia(sb)', [index, pairs]);
        await resolved.call(place, manager, 'SetLinkDefaultRoute', 'ib', [index, defaultRoute]);
      }),
    revert: async (index) => {
      try {
        await ask('RevertLink', (resolved) => resolved.call(place, manager, 'RevertLink', 'i', [index]));
      } catch (error) {
        if (!/NoSuchLink|not known|Unknown link/i.test(error instanceof Error ? error.message : '')) throw error;
      }
    },
  };
}

function rows(value: DbusValue): readonly (readonly DbusValue[])[] {
  return Array.isArray(value) ? (value as readonly (readonly DbusValue[])[]) : [];
}
