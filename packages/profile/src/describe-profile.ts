import { isDeviceTunnel, isLockDown } from './check/check.ts';
import { describeEap } from './eap/describe-eap.ts';
import type { Located, NumberRange, Position, Profile, ServerAddress, TrafficFilter } from './profile.ts';
import { visible } from './quote.ts';

/**
 * What a profile says, for people: one line for each statement, with the line of the file that makes it. Says nothing about
 * defaults (that is the plan's business), and shows no secrets.
 */
export function describeProfile(profile: Profile): string {
  const sections = [
    tunnel(profile),
    connection(profile),
    authentication(profile),
    suite(profile),
    routes(profile),
    names(profile),
    triggers(profile),
    filters(profile),
    others(profile),
  ].filter((section) => section.rows.length > 0);
  const width = Math.max(...sections.flatMap(({ rows }) => rows.map(([label]) => label.length)), 0);
  return sections
    .map(({ title, rows }) => {
      const lines = rows.map(
        ([label, value, at]) => `  ${label.padEnd(width)}  ${visible(value)}${at ? `  (line ${at.line})` : ''}`,
      );
      return `${title}\n${lines.join('\n')}\n`;
    })
    .join('\n');
}

type Row = readonly [label: string, value: string, at?: Position];

interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

function row<T>(label: string, found: Located<T> | undefined, say: (value: T) => string = String): readonly Row[] {
  return found ? [[label, say(found.value), found.at]] : [];
}

const yesNo = (value: boolean): string => (value ? 'yes' : 'no');
const joined = (values: readonly string[]): string => (values.length === 0 ? 'none' : values.join(', '));

function tunnel(profile: Profile): Section {
  const kind = isLockDown(profile)
    ? 'lockdown: always connected, nothing outside of the tunnel'
    : isDeviceTunnel(profile)
      ? 'device tunnel: up before anybody signs in'
      : 'user tunnel';
  const at = (isLockDown(profile) ? profile.lockDown : profile.deviceTunnel)?.at;
  return {
    title: 'Tunnel',
    rows: [
      ...row('name', profile.profileName),
      at ? ['kind', kind, at] : ['kind', kind],
      ...row('always on', profile.alwaysOn, yesNo),
      ...row('always on, active', profile.alwaysOnActive, yesNo),
      ...row('trusted networks', profile.trustedNetworkDetection, joined),
      ...row('network outage', profile.networkOutageTime, (seconds) => (seconds === 0 ? 'no limit' : `${seconds} s`)),
      ...row('remember credentials', profile.rememberCredentials, yesNo),
    ],
  };
}

function connection({ nativeProfile: native, pluginProfile: plugin, ...profile }: Profile): Section {
  const pluginRows: readonly Row[] = plugin
    ? [
        ...row('plug-in', plugin.pluginPackageFamilyName),
        ...row('servers', plugin.serverUrlList, serverList),
        ...row('configuration', plugin.customConfiguration, (text) => `${text.length} characters of the vendor's own`),
      ]
    : [];
  const list = native?.protocolList;
  return {
    title: 'Connection',
    rows: [
      ...pluginRows,
      ...row('servers', native?.servers, serverList),
      ...row('protocol', native?.nativeProtocolType),
      ...(list ? [['protocols', list.protocols.map(({ value }) => value).join(', then '), list.at] as const] : []),
      ...row('retry after', list?.retryTimeInHours, (hours) => `${hours} h`),
      ...row('pre-shared key', native?.l2tpPsk, () => 'given (not shown)'),
      ...row('routing', native?.routingPolicyType, (policy) =>
        policy === 'ForceTunnel' ? 'force tunnel: everything' : 'split tunnel',
      ),
      ...row('IKEv2 fragmentation', profile.disableIkev2Fragmentation, (disabled) => (disabled ? 'off' : 'on')),
    ],
  };
}

function authentication({ nativeProfile, deviceCompliance: compliance }: Profile): Section {
  const found = nativeProfile?.authentication;
  const at = found?.eap?.at;
  const eap = found?.eap ? describeEap(found.eap.value) : [];
  return {
    title: 'Authentication',
    rows: [
      ...row('user', found?.userMethod),
      ...row('machine', found?.machineMethod),
      ...eap.map(([label, value]): Row => (at ? [label, value, at] : [label, value])),
      ...row('device compliance', compliance?.enabled, yesNo),
      ...row('single sign-on', compliance?.ssoEnabled, yesNo),
      ...row('single sign-on issuer', compliance?.ssoIssuerHash, joined),
      ...row('single sign-on EKU', compliance?.ssoEku, joined),
    ],
  };
}

function suite({ nativeProfile }: Profile): Section {
  const found = nativeProfile?.cryptographySuite;
  return {
    title: 'Cryptography suite',
    rows: [
      ...row('IKE encryption', found?.encryptionMethod),
      ...row('IKE integrity', found?.integrityCheckMethod),
      ...row('IKE key exchange', found?.dhGroup),
      ...row('ESP encryption', found?.cipherTransformConstants),
      ...row('ESP integrity', found?.authenticationTransformConstants),
      ...row('ESP key exchange', found?.pfsGroup, (group) => (group === 'PFSMM' ? 'PFSMM (that of IKE)' : group)),
    ],
  };
}

function routes(profile: Profile): Section {
  const native = profile.nativeProfile;
  return {
    title: 'Routes',
    rows: [
      ...profile.routes.map((route): Row => {
        const metric = route.metric ? ` metric ${route.metric.value}` : '';
        const kind = route.exclusionRoute?.value === true ? 'excluded' : 'routed';
        return [kind, `${route.address.value}/${route.prefixSize.value}${metric}`, route.at];
      }),
      ...row('class-based route', native?.disableClassBasedDefaultRoute, (disabled) => (disabled ? 'no' : 'yes')),
      ...row('traffic selectors', native?.plumbIkev2TsAsRoutes, (plumbed) =>
        plumbed ? 'become routes' : 'do not become routes',
      ),
      ...row('IPv4 metric', profile.ipv4InterfaceMetric),
      ...row('IPv6 metric', profile.ipv6InterfaceMetric),
      ...row('local subnet', profile.byPassForLocal, (bypass) => (bypass ? 'stays reachable directly' : 'goes into the tunnel')),
    ],
  };
}

function names(profile: Profile): Section {
  const rules = profile.domainNameInformation.map((rule): Row => {
    const { value } = rule.domainName;
    const scope = value === '.' ? 'all names' : value.startsWith('.') ? `*${value}` : value;
    const servers = rule.dnsServers?.value ?? [];
    const how = servers.length > 0 ? `through ${servers.join(', ')}` : 'through the usual resolver (exempt)';
    const more = [
      ...(rule.webProxyServers ? [`proxy ${rule.webProxyServers.value}`] : []),
      ...(rule.autoTrigger?.value === true ? ['brings the tunnel up'] : []),
      ...(rule.persistent?.value === true ? ['also while the tunnel is down'] : []),
    ];
    return ['rule', [`${scope} ${how}`, ...more].join('; '), rule.at];
  });
  return {
    title: 'Names',
    rows: [
      ...row('suffixes', profile.dnsSuffix, joined),
      ...rules,
      ...row('register address', profile.registerDns, yesNo),
      ...row('proxy', profile.proxy?.manualServer),
      ...row('proxy script', profile.proxy?.autoConfigUrl),
    ],
  };
}

function triggers(profile: Profile): Section {
  return {
    title: 'Triggers',
    rows: [
      ...profile.appTriggers.map(({ app, at }): Row => ['app', app.value.id, at]),
      ...row('enterprise id', profile.edpModeId),
    ],
  };
}

function filters(profile: Profile): Section {
  return {
    title: 'Traffic filters',
    rows: profile.trafficFilters.map((filter): Row => ['allow', filterWords(filter), filter.at]),
  };
}

function filterWords(filter: TrafficFilter): string {
  const { app, claims, protocol, localPortRanges, remotePortRanges, localAddressRanges, remoteAddressRanges } = filter;
  const ports = (ranges: readonly NumberRange[]): string =>
    ranges.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(',');
  const numbers = new Map([
    [1, 'ICMP'],
    [6, 'TCP'],
    [17, 'UDP'],
    [58, 'ICMPv6'],
  ]);
  const words = [
    filter.direction?.value === 'Inbound' ? 'inbound' : 'outbound',
    ...(app ? [app.value.type === 'System' ? 'of the system' : `of ${app.value.id}`] : []),
    ...(claims ? [`for ${claims.value}`] : []),
    ...(protocol ? [numbers.get(protocol.value) ?? `protocol ${protocol.value}`] : []),
    ...(localPortRanges ? [`local ports ${ports(localPortRanges.value)}`] : []),
    ...(remotePortRanges ? [`remote ports ${ports(remotePortRanges.value)}`] : []),
    ...(localAddressRanges ? [`local addresses ${localAddressRanges.value.join(',')}`] : []),
    ...(remoteAddressRanges ? [`remote addresses ${remoteAddressRanges.value.join(',')}`] : []),
    ...(filter.routingPolicyType
      ? [filter.routingPolicyType.value === 'ForceTunnel' ? 'all its traffic tunnelled' : 'split']
      : []),
  ];
  return words.join(', ');
}

function others(profile: Profile): Section {
  return {
    title: 'Without meaning here',
    rows: [
      ...row('RAS credentials', profile.useRasCredentials, yesNo),
      ...row('data encryption', profile.dataEncryption),
      ...row('private network', profile.privateNetwork, yesNo),
      ...row('edit button off', profile.disableAdvancedOptionsEditButton, yesNo),
      ...row('disconnect button off', profile.disableDisconnectButton, yesNo),
      ...row('client app UI', profile.requireVpnClientAppUi, yesNo),
      ...row('APN binding', profile.apnBinding, (record) => Object.keys(record).join(', ')),
      ...profile.unknown.map(({ parent, name, at }): Row => ['unknown', `${parent}/${name}`, at]),
    ],
  };
}

function serverList(servers: readonly ServerAddress[]): string {
  const one = ({ host, friendlyName }: ServerAddress): string =>
    friendlyName === undefined || friendlyName === host ? host : `${host} ("${friendlyName}")`;
  return joined(servers.map(one));
}
