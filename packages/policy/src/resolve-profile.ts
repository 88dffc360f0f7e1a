import { formatAddress, formatPrefix, hasHostBits, networkOf, parseAddress, type IpAddress } from '@aovpn/bytes';
import {
  asciiNameOf,
  isInternational,
  type DomainNameInformation,
  type Position,
  type Profile,
  type Route,
} from '@aovpn/profile';
import type { DivergenceNote, PolicyDivergenceId } from './divergence.ts';
import { normaliseDomain, normaliseRuleName } from './domain-name.ts';
import type { Because, Sourced } from './facts.ts';
import { FilterProblems, quoted } from './filter/problem.ts';
import { resolveFilters } from './filter/resolve-filters.ts';
import { parseProxyServer, parseScriptUrl } from './proxy/proxy-server.ts';
import type { Intent, IntentRoute, NameRule } from './intent.ts';
import { reviewExclusions } from './route/review-exclusions.ts';
import { automaticInterfaceMetric, defaultRouteMetric, highestMetric } from './linux-number.ts';

/** Seconds; what RAS writes into its phonebook when the profile says nothing. */
const defaultNetworkOutage = 1800;

/**
 * Turns a profile as written into what is meant. Never fails: what cannot be used is left out, with a note.
 * @param name the name under which the profile is known (it is the identity, ProfileName inside the XML is not)
 */
export function resolveProfile(
  name: string,
  profile: Profile,
): { readonly intent: Intent; readonly notes: readonly DivergenceNote[] } {
  const notes: DivergenceNote[] = [];
  const note = (id: PolicyDivergenceId, at: Position | undefined, text: string): void => {
    notes.push(at ? { id, at, text } : { id, text });
  };
  const because = (why: string, at?: Position): Because => (at ? { profile: name, at, why } : { profile: name, why });
  /** The written value with its line, or the default. */
  const sourced = <T>(written: { value: T; at: Position } | undefined, fallback: T, element: string): Sourced<T> =>
    written
      ? { value: written.value, because: because(`${element} ${String(written.value)}`, written.at) }
      : { value: fallback, because: because(`${element} is absent, ${String(fallback)} by default`) };

  const native = profile.nativeProfile;
  const device = profile.deviceTunnel?.value === true;
  const lockDown = profile.lockDown?.value === true;
  const routing = resolveRouting();
  const force = routing.value === 'ForceTunnel';

  const routes: IntentRoute[] = [];
  const inside: IntentRoute[] = [];
  const excluded: IntentRoute[] = [];
  for (const route of profile.routes) {
    const isExclusion = route.exclusionRoute?.value === true;
    const resolved = resolveRoute(route, isExclusion);
    if (!resolved) continue;
    if (isExclusion) {
      excluded.push(resolved);
      continue;
    }
    inside.push(resolved);
    if (force) {
      note(
        'force-ignores-routes',
        route.at,
        `Route ${formatPrefix(resolved.prefix)} is not used: the force tunnel carries everything.`,
      );
    } else routes.push(resolved);
  }
  const { exclusions, problems: exclusionProblems } = force
    ? reviewExclusions(name, excluded)
    : { exclusions: excluded, problems: [] };

  const disableClassBased = native?.disableClassBasedDefaultRoute;
  const classBased: Sourced<boolean> = force
    ? { value: false, because: because('force tunnel needs no class-based default route', routing.because.at) }
    : disableClassBased
      ? {
          value: !disableClassBased.value,
          because: because(`DisableClassBasedDefaultRoute ${disableClassBased.value}`, disableClassBased.at),
        }
      : { value: true, because: because('class-based default route, DisableClassBasedDefaultRoute is absent', native?.at) };
  if (classBased.value) {
    note(
      'class-based-default-route',
      classBased.because.at,
      'The class A, B or C network of the assigned IPv4 address is routed into the tunnel.',
    );
  }
  const bypass: Sourced<boolean> = lockDown
    ? { value: false, because: because('LockDown lets nothing past the tunnel, local networks included', profile.lockDown?.at) }
    : sourced(profile.byPassForLocal, false, 'ByPassForLocal');
  if (lockDown) {
    note(
      'lockdown',
      profile.lockDown?.at,
      'LockDown: in every state nothing leaves but through the tunnel, and what it takes to get there.',
    );
  }
  if (force) {
    note(
      'local-subnet-force',
      bypass.because.at ?? routing.because.at,
      bypass.value
        ? 'Directly attached private networks stay direct, unless they overlap what is known to be inside.'
        : `Local networks go into the tunnel too${lockDown ? '' : '; ByPassForLocal would keep private ones direct'}.`,
    );
    note('force-fails-closed', routing.because.at, 'What the tunnel cannot carry is unreachable, not sent in the clear.');
  } else
    note(
      'local-subnet-split',
      bypass.because.at ?? routing.because.at,
      bypass.value
        ? 'Directly attached private networks that are more specific than a tunnel route stay direct.'
        : 'A directly attached network inside a tunnel route is reached through the tunnel; ByPassForLocal would keep private ones direct.',
    );

  const proxyProblems = new FilterProblems(name);
  const nameRules = profile.domainNameInformation.map(resolveNameRule).filter((rule) => rule !== undefined);
  const suffixes: Sourced<string>[] = [];
  for (const text of profile.dnsSuffix?.value ?? []) {
    const domain = normaliseDomain(asciiNameOf(profile, text));
    if (domain === undefined) {
      note(
        'unusable-name-rule',
        profile.dnsSuffix?.at,
        `DnsSuffix entry ${JSON.stringify(text)} is not a DNS name and is left out.`,
      );
    } else if (suffixes.every(({ value }) => value !== domain))
      suffixes.push({ value: domain, because: because(`DnsSuffix${asWritten(text, domain)}`, profile.dnsSuffix?.at) });
  }
  if (nameRules.length > 0 || suffixes.length > 0) {
    note(
      'name-rules-for-all-programs',
      nameRules[0]?.because.at ?? profile.dnsSuffix?.at,
      'Name rules bind every program that uses the system resolver.',
    );
  }
  const { filters, triggers, problems, notes: filterNotes } = resolveFilters(name, profile);
  notes.push(...filterNotes);
  if (profile.edpModeId)
    note('edp-mode-id', profile.edpModeId.at, 'EdpModeId has no effect: name the applications by AppTrigger and TrafficFilter.');

  const proxy = resolveProxy();
  const outage = profile.networkOutageTime;
  const intent: Intent = {
    name,
    tunnel: device || lockDown ? 'device' : 'user',
    alwaysOn: resolveAlwaysOn(),
    routing,
    routes,
    inside,
    exclusions,
    classBasedDefaultRoute: classBased,
    selectorsAsRoutes: sourced(native?.plumbIkev2TsAsRoutes, false, 'PlumbIKEv2TSAsRoutes'),
    byPassForLocal: bypass,
    ...(lockDown && { lockdown: because('LockDown', profile.lockDown?.at) }),
    interfaceMetric: {
      v4: resolveMetric(profile.ipv4InterfaceMetric, 'IPv4InterfaceMetric'),
      v6: resolveMetric(profile.ipv6InterfaceMetric, 'IPv6InterfaceMetric'),
    },
    nameRules,
    suffixes,
    trustedNetworks: resolveTrustedNetworks(),
    registerDns: sourced(profile.registerDns, false, 'RegisterDNS'),
    networkOutageSeconds: outage
      ? { value: outage.value === 0 ? undefined : outage.value, because: because(`NetworkOutageTime ${outage.value}`, outage.at) }
      : { value: defaultNetworkOutage, because: because(`NetworkOutageTime is absent, ${defaultNetworkOutage} s by default`) },
    filters,
    triggers,
    proxy,
    filterProblems: [...problems, ...exclusionProblems, ...proxyProblems.list],
  };
  return { intent, notes };

  function resolveRouting(): Intent['routing'] {
    const written = native?.routingPolicyType;
    if (lockDown && written?.value !== 'ForceTunnel') {
      return { value: 'ForceTunnel', because: because('LockDown means force tunnel', profile.lockDown?.at) };
    }
    if (written) {
      if (device && written.value === 'ForceTunnel' && !lockDown) {
        note(
          'device-tunnel-force',
          written.at,
          'Windows allows only split tunnel for a device tunnel; ForceTunnel is honoured here.',
        );
      }
      return { value: written.value, because: because(`RoutingPolicyType ${written.value}`, written.at) };
    }
    const firstRoute = profile.routes.find((route) => route.exclusionRoute?.value !== true);
    const decided: Intent['routing'] = device
      ? {
          value: 'SplitTunnel',
          because: because('RoutingPolicyType is absent, a device tunnel is split', profile.deviceTunnel?.at),
        }
      : firstRoute
        ? { value: 'SplitTunnel', because: because('RoutingPolicyType is absent and there are Routes: split', firstRoute.at) }
        : { value: 'ForceTunnel', because: because('RoutingPolicyType is absent and there is no Route: force', native?.at) };
    note('routing-policy-default', decided.because.at, `RoutingPolicyType is absent: ${decided.value} (${decided.because.why}).`);
    return decided;
  }

  function resolveAlwaysOn(): Sourced<boolean> {
    if (device) return { value: true, because: because('DeviceTunnel implies AlwaysOn', profile.deviceTunnel?.at) };
    if (lockDown) return { value: true, because: because('LockDown implies AlwaysOn', profile.lockDown?.at) };
    if (profile.alwaysOn?.value === true && profile.alwaysOnActive?.value === false) {
      return { value: false, because: because('AlwaysOnActive 0', profile.alwaysOnActive.at) };
    }
    return sourced(profile.alwaysOn, false, 'AlwaysOn');
  }

  function resolveRoute(route: Route, excluded: boolean): IntentRoute | undefined {
    const address = parseAddress(route.address.value);
    const length = route.prefixSize.value;
    if (!address || length > address.bytes.length * 8) return undefined;
    const prefix = networkOf({ address, length });
    if (hasHostBits({ address, length })) {
      note(
        'route-host-bits',
        route.address.at,
        `${formatAddress(address)}/${length} has host bits set and is used as ${formatPrefix(prefix)}.`,
      );
    }
    const what = excluded ? 'ExclusionRoute' : 'Route';
    return { prefix, metric: capMetric(route.metric, defaultRouteMetric, 'Metric'), because: because(what, route.at) };
  }

  function resolveMetric(written: { value: number; at: Position } | undefined, element: string): Sourced<number> {
    const value = capMetric(written, automaticInterfaceMetric, element);
    return { value, because: because(written ? `${element} ${value}` : `${element} is absent, automatic`, written?.at) };
  }

  function capMetric(written: { value: number; at: Position } | undefined, fallback: number, element: string): number {
    if (!written) return fallback;
    if (written.value > highestMetric)
      note('metric-range', written.at, `${element} ${written.value} is above ${highestMetric} and is lowered to it.`);
    return Math.min(highestMetric, Math.max(1, written.value));
  }

  function resolveNameRule(rule: DomainNameInformation): NameRule | undefined {
    const named = rule.domainName.value.trim();
    const ruleName = normaliseRuleName(asciiNameOf(profile, named));
    if (ruleName === undefined) {
      note(
        'unusable-name-rule',
        rule.domainName.at,
        `${JSON.stringify(rule.domainName.value)} is not a DNS name; the rule is left out.`,
      );
      return undefined;
    }
    const written = (rule.dnsServers?.value ?? []).map((text) => text.trim()).filter((text) => text !== '');
    const servers = written.map(parseAddress).filter((address): address is IpAddress => address !== undefined);
    if (servers.length < written.length) {
      note(
        'unusable-name-rule',
        rule.dnsServers?.at,
        `DnsServers of ${ruleName} has entries that are no IP addresses; they are left out.`,
      );
      if (servers.length === 0) return undefined;
    }
    if (ruleName.startsWith('.') && ruleName !== '.')
      note('suffix-covers-apex', rule.domainName.at, `${ruleName} covers ${ruleName.slice(1)} too.`);
    return {
      name: ruleName,
      servers,
      autoTrigger: rule.autoTrigger?.value === true,
      persistent: rule.persistent?.value === true,
      ...resolveWebProxy(rule),
      because: because(
        `DomainNameInformation${asWritten(named, ruleName)}${servers.length > 0 ? '' : ' without DnsServers: exemption'}`,
        rule.at,
      ),
    };
  }

  function resolveWebProxy({ webProxyServers: written }: DomainNameInformation): Pick<NameRule, 'webProxy'> {
    if (!written || written.value.trim() === '') return {};
    const path = 'VPNProfile/DomainNameInformation/WebProxyServers';
    const value = parseProxyServer(written.value);
    if (value) return { webProxy: { value, because: because('WebProxyServers', written.at) } };
    proxyProblems.add('unusableProxy', written.at, path, quoted(written.value));
    return {};
  }

  function resolveProxy(): Intent['proxy'] {
    const { manualServer, autoConfigUrl } = profile.proxy ?? {};
    const server = manualServer && parseProxyServer(manualServer.value);
    const url = autoConfigUrl && parseScriptUrl(autoConfigUrl.value);
    if (manualServer && !server)
      proxyProblems.add('unusableProxy', manualServer.at, 'VPNProfile/Proxy/Manual/Server', quoted(manualServer.value));
    if (autoConfigUrl && url === undefined)
      proxyProblems.add('unusableProxy', autoConfigUrl.at, 'VPNProfile/Proxy/AutoConfigUrl', quoted(autoConfigUrl.value));
    if (server || url !== undefined)
      note(
        'proxy-sessions',
        (manualServer ?? autoConfigUrl)?.at,
        'Sessions of people are told of the proxy while the tunnel is up.',
      );
    return {
      ...(server && { manual: { value: server, because: because('Proxy', manualServer.at) } }),
      ...(url !== undefined && { autoConfigUrl: { value: url, because: because('AutoConfigUrl', autoConfigUrl!.at) } }),
    };
  }

  function resolveTrustedNetworks(): Intent['trustedNetworks'] {
    const written = profile.trustedNetworkDetection;
    if (written) {
      return written.value
        .map((text) => ({
          value: asciiNameOf(profile, text)
            .trim()
            .replace(/^\.+|\.+$/g, '')
            .toLowerCase(),
          because: because('TrustedNetworkDetection', written.at),
          implicit: false,
        }))
        .filter(({ value }) => value !== '');
    }
    const implied = nameRules.filter((rule) => rule.servers.length > 0 && rule.name !== '.');
    if (implied.length > 0) {
      note(
        'implicit-trusted-networks',
        implied[0]!.because.at,
        `TrustedNetworkDetection is absent: ${implied.map((rule) => rule.name).join(', ')} count as trusted networks.`,
      );
    }
    return implied.map((rule) => ({
      value: rule.name.replace(/^\./, ''),
      because: { ...rule.because, why: 'DomainNameInformation, as TrustedNetworkDetection is absent' },
      implicit: true,
    }));
  }
}

/** The profile's own words for a name that DNS writes differently. */
function asWritten(written: string, name: string): string {
  return isInternational(written) && written !== name ? ` ${written}` : '';
}
