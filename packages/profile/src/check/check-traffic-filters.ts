import { parseAddress } from '@aovpn/bytes';
import type { TrafficFilter } from '../profile.ts';
import type { CheckContext } from './check.ts';

/** The fields of traffic filters against each other. */
export function checkTrafficFilters({ profile, report }: CheckContext): void {
  const { trafficFilters: filters, routes } = profile;
  const unread = new Set(profile.unknown.map(({ parent }) => parent));
  let ipv6Reported = false;
  for (const [i, filter] of filters.entries()) {
    const path = `VPNProfile/TrafficFilter[${i + 1}]`;
    const ports = filter.localPortRanges ?? filter.remotePortRanges;
    const protocol = filter.protocol?.value;
    if (ports && protocol !== 6 && protocol !== 17) {
      report('portsWithoutProtocol', ports.at, path, protocol === undefined ? 'there is no Protocol' : `Protocol is ${protocol}`);
    }
    if (filter.routingPolicyType && !filter.app && !filter.claims) {
      report(
        'filterPolicyWithoutApp',
        filter.routingPolicyType.at,
        `${path}/RoutingPolicyType`,
        'there is neither App nor Claims',
      );
    }
    if (filter.localAddressRanges && filter.remoteAddressRanges) {
      report(
        'filterLocalAndRemote',
        filter.localAddressRanges.at,
        path,
        'both LocalAddressRanges and RemoteAddressRanges are given',
      );
    }
    if (!hasCondition(filter) && !unread.has(path) && !unread.has(`${path}/App`))
      report('emptyFilter', filter.at, path, 'the filter names nothing');
    const ranges = [...(filter.localAddressRanges?.value ?? []), ...(filter.remoteAddressRanges?.value ?? [])];
    if (!ipv6Reported && ranges.some((range) => range.includes(':'))) {
      ipv6Reported = true;
      report('filterAndIpv6', filter.at, path, 'the filter has an IPv6 address');
    }
  }
  const ipv6Route = routes.find(({ address }) => parseAddress(address.value)?.family === 6);
  if (filters[0] && !ipv6Reported && ipv6Route) {
    report('filterAndIpv6', filters[0].at, 'VPNProfile/TrafficFilter[1]', `there is an IPv6 route in line ${ipv6Route.at.line}`);
  }
}

function hasCondition(filter: TrafficFilter): boolean {
  const { app, claims, protocol, localPortRanges, remotePortRanges, localAddressRanges, remoteAddressRanges } = filter;
  const conditions = [app, claims, protocol, localPortRanges, remotePortRanges, localAddressRanges, remoteAddressRanges];
  return conditions.some((condition) => condition !== undefined);
}
