import { compareAddresses, rangeFromPrefix, type IpAddress, type IpRange } from '@aovpn/bytes';
import type { HostFacts } from '../facts.ts';
import type { AppKey, DnsRule, FilterOwner, FilterRule } from '../plan.ts';

/** {@link FilterRule.number} of rules that no filter of the profile asked for. */
export const impliedNumber = 0;

/**
 * The machine's resolver must reach the name servers of a tunnel that has filters, or no name inside would resolve; apps whose queries are
 * sent there as well. Nobody else gets in by it.
 * @param forced apps whose queries are led to `servers` of their way
 */
export function nameServerRules(
  device: string,
  names: readonly DnsRule[],
  host: HostFacts,
  forced: { readonly keys: readonly AppKey[]; readonly servers: readonly IpAddress[] },
): readonly FilterRule[] {
  const own = names.filter((rule) => rule.device === device && rule.servers.length > 0);
  const because = own[0]?.because;
  const rules: FilterRule[] = [];
  const open = (owner: FilterOwner, servers: readonly IpAddress[], protocol: number, port: number, why: string): void => {
    if (servers.length === 0) return;
    rules.push({
      number: impliedNumber,
      direction: 'out',
      owner,
      protocol,
      remote: rangesOf(servers),
      remotePorts: [{ from: port, to: port }],
      because: { ...(because ?? { profile: '' }), why },
    });
  };
  const add = (owner: FilterOwner, servers: readonly IpAddress[], why: string): void => {
    for (const protocol of [17, 6]) open(owner, servers, protocol, 53, why);
  };
  const clear = own.flatMap((rule) => (rule.encrypted ? (rule.clear ?? []) : rule.servers));
  const encrypted = own.flatMap((rule) => rule.encrypted ?? []);
  const ports = [...new Set(encrypted.map(({ port }) => port))];
  const why = 'name servers of the tunnel, for the resolver of this machine';
  const users = host.resolverUsers ?? [];
  const owners: FilterOwner[] = [{ system: true }];
  if (users.length > 0) owners.push({ access: [{ allow: true, users, groups: [] }] });
  for (const owner of owners) {
    add(owner, clear, why);
    for (const port of ports) {
      const there = encrypted.filter((server) => server.port === port).map(({ address }) => address);
      open(owner, there, 6, port, `${why}, by TLS`);
    }
  }
  if (forced.keys.length > 0) add({ apps: forced.keys }, forced.servers, 'name servers of the tunnel, for apps with ForceTunnel');
  return rules;
}

function rangesOf(addresses: readonly IpAddress[]): readonly IpRange[] {
  const ranges: IpRange[] = [];
  for (const address of addresses.toSorted(compareAddresses)) {
    const last = ranges.at(-1);
    if (last && compareAddresses(last.from, address) === 0) continue;
    ranges.push(rangeFromPrefix({ address, length: address.bytes.length * 8 }));
  }
  return ranges;
}
