import { formatPrefix, hasHostBits, networkOf, parseAddress, type IpPrefix } from '@aovpn/bytes';
import type { Route } from '../profile.ts';
import { isForceTunnel, isLockDown, isUnread, type CheckContext } from './check.ts';

/** Split or force, routes, proxy. */
export function checkRouting(context: CheckContext): void {
  const { profile, report } = context;
  const native = profile.nativeProfile;
  checkRoutes(context);
  const force = isForceTunnel(profile);
  const path = 'VPNProfile/NativeProfile';
  if (native && !native.routingPolicyType && !isLockDown(profile) && !isUnread(profile, path, 'RoutingPolicyType')) {
    const count = profile.routes.length;
    const routes = count === 0 ? 'no routes' : count === 1 ? 'one route' : `${count} routes`;
    report(
      'routingPolicyAbsent',
      native.at,
      `${path}/RoutingPolicyType`,
      `there is no RoutingPolicyType; the profile has ${routes}`,
    );
  }
  const noClassBased = native?.disableClassBasedDefaultRoute;
  if (noClassBased?.value === true) {
    const at = noClassBased.at;
    if (force) report('classBasedWithForce', at, `${path}/DisableClassBasedDefaultRoute`, 'the profile is a force tunnel');
    else if (
      native?.plumbIkev2TsAsRoutes?.value !== true &&
      !profile.routes.some((route) => route.exclusionRoute?.value !== true) &&
      !isUnread(profile, 'VPNProfile', 'Route')
    ) {
      report('nothingRouted', at, `${path}/DisableClassBasedDefaultRoute`, 'there is no Route');
    }
  }
  const { proxy } = profile;
  if (proxy) {
    if (!force && (native?.routingPolicyType?.value === 'SplitTunnel' || profile.routes.length > 0)) {
      report('proxyWithSplitTunnel', proxy.at, 'VPNProfile/Proxy', 'the profile is a split tunnel');
    }
    if (proxy.manualServer && proxy.autoConfigUrl) {
      report(
        'twoProxies',
        proxy.autoConfigUrl.at,
        'VPNProfile/Proxy/AutoConfigUrl',
        `the manual proxy is in line ${proxy.manualServer.at.line}`,
      );
    }
  }
}

function checkRoutes({ profile, report }: CheckContext): void {
  const force = isForceTunnel(profile);
  const seen = new Map<string, Route>();
  let ipv6Reported = false;
  let forceReported = false;
  for (const [i, route] of profile.routes.entries()) {
    const path = `VPNProfile/Route[${i + 1}]`;
    const prefix = prefixOf(route);
    if (!prefix) {
      const size = route.prefixSize;
      report('prefixTooLong', size.at, `${path}/PrefixSize`, `${route.address.value} has no prefix of ${size.value} bits`);
      continue;
    }
    if (hasHostBits(prefix)) {
      const network = formatPrefix(networkOf(prefix));
      const message = `${route.address.value}/${prefix.length} lies in the network ${network}`;
      report('routeHostBits', route.address.at, `${path}/Address`, message, {
        cure: `Write <Address>${network.slice(0, network.indexOf('/'))}</Address>.`,
      });
    }
    if (prefix.address.family === 6 && !ipv6Reported) {
      ipv6Reported = true;
      report('routeIpv6', route.at, path, `${formatPrefix(prefix)} is an IPv6 route`);
    }
    const exclusion = route.exclusionRoute?.value === true;
    if (force && !exclusion && !forceReported && !isLockDown(profile)) {
      forceReported = true;
      report('routeUnderForce', route.at, path, `${formatPrefix(prefix)} is an ordinary route`);
    }
    if (route.metric && route.metric.value > 9999)
      report('metricTooLarge', route.metric.at, `${path}/Metric`, `the metric is ${route.metric.value}`);
    const key = formatPrefix(networkOf(prefix));
    const before = seen.get(key);
    if (!before) seen.set(key, route);
    else if ((before.exclusionRoute?.value === true) === exclusion)
      report('routeTwice', route.at, path, `${key} is already in line ${before.at.line}`);
    else
      report(
        'routeBothWays',
        route.at,
        path,
        `${key} is ${exclusion ? 'excluded' : 'routed'} here and ${exclusion ? 'routed' : 'excluded'} in line ${before.at.line}`,
      );
  }
}

function prefixOf(route: Route): IpPrefix | undefined {
  const address = parseAddress(route.address.value);
  const length = route.prefixSize.value;
  return address && length <= address.bytes.length * 8 ? { address, length } : undefined;
}
