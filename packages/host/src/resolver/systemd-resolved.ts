import { addressFromBytes, type IpAddress } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import type { ResolvedLink } from './resolved-links.ts';
import { busctl, busReason, isOnBus } from './system-bus.ts';

/** What systemd-resolved has about one link (0: for the whole machine). */
interface ResolvedState {
  readonly servers: readonly { readonly index: number; readonly address: IpAddress }[];
  readonly domains: readonly { readonly index: number; readonly domain: string; readonly routingOnly: boolean }[];
}

/** org.freedesktop.resolve1(5), through busctl with argument lists; the bus is found by DBUS_SYSTEM_BUS_ADDRESS or its standard place. */
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
const manager = [service, '/org/freedesktop/resolve1', `${service}.Manager`] as const;

export function openSystemdResolved(): SystemdResolved {
  const call = async (method: string, ...parameters: string[]): Promise<void> => {
    try {
      await busctl('call', ...manager, method, ...parameters);
    } catch (error) {
      throw new HostError('AOV-HOST-313', `${method}: ${busReason(error)}`, networkCure('AOV-HOST-313'), error);
    }
  };
  return {
    isRunning: () => isOnBus(service),
    read: async () => {
      let output: string;
      try {
        output = await busctl('--json=short', 'get-property', ...manager, 'DNS', 'Domains');
      } catch (error) {
        throw new HostError('AOV-HOST-313', `reading back: ${busReason(error)}`, networkCure('AOV-HOST-313'), error);
      }
      const [servers, domains] = output
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { data: unknown[][] }).data);
      return {
        servers: (servers ?? []).map(([index, , octets]) => ({
          index: Number(index),
          address: addressFromBytes(Uint8Array.from(octets as number[])),
        })),
        domains: (domains ?? []).map(([index, domain, routingOnly]) => ({
          index: Number(index),
          domain: String(domain),
          routingOnly: routingOnly === true,
        })),
      };
    },
    set: async (index, { servers, domains, defaultRoute }) => {
      const addresses = servers.flatMap(({ family, bytes }) => [
        family === 4 ? '2' : '10',
        String(bytes.length),
        ...[...bytes].map(String),
      ]);
      await call('SetLinkDNS', 'ia(iay)', String(index), String(servers.length), ...addresses);
      const pairs = domains.flatMap(({ domain, routingOnly }) => [domain, String(routingOnly)]);
      await call('SetLinkDomains', 'ia(sb)', String(index), String(domains.length), ...pairs);
      await call('SetLinkDefaultRoute', 'ib', String(index), String(defaultRoute));
    },
    revert: async (index) => {
      try {
        await call('RevertLink', 'i', String(index));
      } catch (error) {
        if (!/NoSuchLink|not known|Unknown link/i.test(error instanceof Error ? error.message : '')) throw error;
      }
    },
  };
}
