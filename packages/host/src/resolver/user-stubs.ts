import { parseAddress, type IpAddress } from '@aovpn/bytes';
import type { DnsPlan, UserNames } from '@aovpn/policy';
import { hasIpv6 } from '../network/kernel-network.ts';
import type { EncryptedResolverState } from './encrypted-upstream.ts';
import { openStubResolver, type StubEvents, type StubResolver } from './stub-resolver.ts';

/** Our stub resolver once more for each user who has names of their own: the kernel leads the user's queries there, and nobody else's. */
export interface UserStubs {
  /** @throws {HostError} AOV-HOST-310 */
  apply(dns: DnsPlan, done: string[]): Promise<void>;
  readonly encrypted: () => readonly EncryptedResolverState[];
  close(): Promise<void>;
}

const loopback6 = parseAddress('::1')!;

export function openUserStubs(address: IpAddress, events: StubEvents): UserStubs {
  const open = new Map<number, readonly StubResolver[]>();
  const close = async (port: number): Promise<void> => {
    const stubs = open.get(port) ?? [];
    open.delete(port);
    for (const stub of stubs) await stub.close();
  };
  const listen = async (port: number): Promise<readonly StubResolver[]> => {
    const stubs = [await openStubResolver(address, port, events)];
    try {
      if (hasIpv6()) stubs.push(await openStubResolver(loopback6, port, events));
      return stubs;
    } catch (error) {
      for (const stub of stubs) await stub.close();
      throw error;
    }
  };
  return {
    apply: async (dns, done) => {
      const { users = [], physical, mark } = dns;
      for (const port of open.keys()) if (!users.some((names) => names.port === port)) await close(port);
      for (const names of users) {
        let stubs = open.get(names.port);
        if (!stubs) {
          stubs = await listen(names.port);
          open.set(names.port, stubs);
          done.push(`stub resolver listens for user ${names.user}`);
        }
        for (const stub of stubs) stub.configure({ rules: rulesOf(names), physical, mark });
      }
    },
    encrypted: () => [...open.values()].flatMap((stubs) => stubs.flatMap((stub) => stub.encrypted())),
    close: async () => {
      for (const port of open.keys()) await close(port);
    },
  };
}

function rulesOf({ rules, devices, mark }: UserNames) {
  return rules.map((rule) => (rule.device !== undefined && devices.includes(rule.device) ? { ...rule, mark } : rule));
}
