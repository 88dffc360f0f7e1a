import type {
  AppTrigger,
  Authentication,
  CryptographySuite,
  DeviceCompliance,
  DomainNameInformation,
  Located,
  NativeProfile,
  PluginProfile,
  Profile,
  ProtocolList,
  Proxy,
  Route,
  TrafficFilter,
} from './profile.ts';
import { addresses, addressRanges, hashes, objectIdentifiers, portRanges, servers, serverUrls, suffixes } from './value/list.ts';
import { appId, domainName, manualProxy, ruleProxy } from './value/name.ts';
import { address, bit, boolean, integer, keyword, text, word } from './value/scalar.ts';
import type { ValueType } from './value/value-type.ts';

/*
 * What ProfileXML consists of: one table per element that has elements. The order of the keys is the order in which Windows 11
 * gives a profile back, and in which we write; reading takes any order. A property of the typed profile without a row here, or
 * with a row of the wrong type, does not compile. Source: VPNv2 CSP, the published XSD, and profiles in use.
 */

interface Row {
  /** Element below the element of the table; `Manual/Server` has an element in between. */
  readonly path: string;
  /** First Windows version in which the element has an effect; absent for Windows 10 1511. */
  readonly since?: string;
}

/** An element with a value. */
interface ValueRow<T> extends Row {
  readonly kind: 'value';
  readonly type: ValueType<T>;
}

/** An element with elements, at most once. */
interface GroupRow<G> extends Row {
  readonly kind: 'group';
  readonly table: Table<G>;
}

/** An element with elements, any number of times. */
interface ListRow<G> extends Row {
  readonly kind: 'list';
  readonly table: Table<G>;
}

/** An element with a value, any number of times. */
interface ValuesRow<T> extends Row {
  readonly kind: 'values';
  readonly type: ValueType<T>;
}

/** Elements whose content is kept in a form of its own. */
export interface SpecialRow extends Row {
  readonly kind: 'eap' | 'xml' | 'record';
  /** Names of the elements of a record. */
  readonly names?: readonly string[];
}

type RowFor<V> =
  V extends Located<infer T>
    ? ValueRow<T> | SpecialRow
    : V extends readonly Located<infer T>[]
      ? ValuesRow<T>
      : V extends readonly (infer G)[]
        ? ListRow<G>
        : GroupRow<V>;

/** Bookkeeping of the typed profile that is no element. */
type NotAnElement = 'at' | 'unknown' | 'internationalNames' | 'eapXml';

/** One row for every property of G; those that a G cannot be without say so. */
export type Table<G> = {
  readonly [K in Exclude<keyof G, NotAnElement>]-?: RowFor<NonNullable<G[K]>> &
    (undefined extends G[K]
      ? { readonly required?: never }
      : G[K] extends readonly { readonly at: unknown }[]
        ? { readonly required?: never }
        : { readonly required: true });
};

const routingPolicyType = keyword(['SplitTunnel', 'ForceTunnel'], {
  confusions: { split: 'SplitTunnel', splittunneling: 'SplitTunnel', force: 'ForceTunnel', forcetunneling: 'ForceTunnel' },
});

const proxy: Table<Proxy> = {
  manualServer: { kind: 'value', path: 'Manual/Server', type: manualProxy },
  autoConfigUrl: { kind: 'value', path: 'AutoConfigUrl', type: word },
};

const deviceCompliance: Table<DeviceCompliance> = {
  enabled: { kind: 'value', path: 'Enabled', type: boolean },
  ssoEnabled: { kind: 'value', path: 'Sso/Enabled', type: boolean },
  ssoIssuerHash: { kind: 'value', path: 'Sso/IssuerHash', type: hashes },
  ssoEku: { kind: 'value', path: 'Sso/Eku', type: objectIdentifiers },
};

const pluginProfile: Table<PluginProfile> = {
  serverUrlList: { kind: 'value', path: 'ServerUrlList', type: serverUrls },
  customConfiguration: { kind: 'xml', path: 'CustomConfiguration' },
  pluginPackageFamilyName: { kind: 'value', path: 'PluginPackageFamilyName', type: word },
};

const appTrigger: Table<AppTrigger> = {
  app: { kind: 'value', path: 'App/Id', type: appId, required: true },
};

const route: Table<Route> = {
  address: { kind: 'value', path: 'Address', type: address, required: true },
  prefixSize: { kind: 'value', path: 'PrefixSize', type: integer(0, 128), required: true },
  exclusionRoute: { kind: 'value', path: 'ExclusionRoute', type: boolean, since: 'Windows 10 1607' },
  metric: { kind: 'value', path: 'Metric', type: integer(0, 0xffff_ffff), since: 'Windows 10 1607' },
};

const trafficFilter: Table<TrafficFilter> = {
  app: { kind: 'value', path: 'App/Id', type: appId },
  claims: { kind: 'value', path: 'Claims', type: word },
  protocol: { kind: 'value', path: 'Protocol', type: integer(0, 255) },
  localPortRanges: { kind: 'value', path: 'LocalPortRanges', type: portRanges },
  remotePortRanges: { kind: 'value', path: 'RemotePortRanges', type: portRanges },
  localAddressRanges: { kind: 'value', path: 'LocalAddressRanges', type: addressRanges },
  remoteAddressRanges: { kind: 'value', path: 'RemoteAddressRanges', type: addressRanges },
  routingPolicyType: { kind: 'value', path: 'RoutingPolicyType', type: routingPolicyType },
  direction: { kind: 'value', path: 'Direction', type: keyword(['Outbound', 'Inbound']), since: 'Windows 10 2004' },
};

const domainNameInformation: Table<DomainNameInformation> = {
  domainName: { kind: 'value', path: 'DomainName', type: domainName, required: true },
  dnsServers: { kind: 'value', path: 'DnsServers', type: addresses },
  webProxyServers: { kind: 'value', path: 'WebProxyServers', type: ruleProxy },
  autoTrigger: { kind: 'value', path: 'AutoTrigger', type: boolean, since: 'Windows 10 1607' },
  persistent: { kind: 'value', path: 'Persistent', type: boolean, since: 'Windows 10 1607' },
};

const protocolList: Table<ProtocolList> = {
  protocols: {
    kind: 'values',
    path: 'NativeProtocol/Type',
    type: keyword(['Pptp', 'L2tp', 'Ikev2', 'Sstp'], { readBack: { PPTP: 'Pptp', L2TP: 'L2tp', IKEv2: 'Ikev2', SSTP: 'Sstp' } }),
  },
  retryTimeInHours: { kind: 'value', path: 'RetryTimeInHours', type: integer(0, 500_000) },
};

const authentication: Table<Authentication> = {
  userMethod: {
    kind: 'value',
    path: 'UserMethod',
    type: keyword(['EAP', 'MSChapv2'], { readBack: { Eap: 'EAP', Mschapv2: 'MSChapv2' } }),
  },
  machineMethod: {
    kind: 'value',
    path: 'MachineMethod',
    type: keyword(['Certificate', 'EAP'], { readBack: { Eap: 'EAP' }, confusions: { machinecertificate: 'Certificate' } }),
  },
  eap: { kind: 'eap', path: 'Eap/Configuration' },
  certificateIssuer: { kind: 'value', path: 'Certificate/Issuer', type: word },
  certificateEku: { kind: 'value', path: 'Certificate/Eku', type: word },
};

const cryptographySuite: Table<CryptographySuite> = {
  authenticationTransformConstants: {
    kind: 'value',
    path: 'AuthenticationTransformConstants',
    type: keyword(['MD596', 'SHA196', 'SHA256128', 'GCMAES128', 'GCMAES192', 'GCMAES256'], {
      confusions: {
        md5: 'MD596',
        sha1: 'SHA196',
        sha256: 'SHA256128',
        aes_gcm_128: 'GCMAES128',
        aes_gcm_192: 'GCMAES192',
        aes_gcm_256: 'GCMAES256',
      },
    }),
  },
  cipherTransformConstants: {
    kind: 'value',
    path: 'CipherTransformConstants',
    type: keyword(['DES', 'DES3', 'AES128', 'AES192', 'AES256', 'GCMAES128', 'GCMAES192', 'GCMAES256'], {
      confusions: {
        '3des': 'DES3',
        'aes-128': 'AES128',
        'aes-256': 'AES256',
        aes_gcm_128: 'GCMAES128',
        aes_gcm_192: 'GCMAES192',
        aes_gcm_256: 'GCMAES256',
      },
    }),
  },
  pfsGroup: {
    kind: 'value',
    path: 'PfsGroup',
    type: keyword(['None', 'PFS1', 'PFS2', 'PFS2048', 'ECP256', 'ECP384', 'PFSMM', 'PFS24'], {
      confusions: { group1: 'PFS1', group2: 'PFS2', group14: 'PFS2048', group24: 'PFS24', pfs14: 'PFS2048' },
    }),
  },
  dhGroup: {
    kind: 'value',
    path: 'DHGroup',
    type: keyword(['None', 'Group1', 'Group2', 'Group14', 'ECP256', 'ECP384', 'Group24'], {
      confusions: { pfs2048: 'Group14', pfs1: 'Group1', pfs2: 'Group2', pfs24: 'Group24', group19: 'ECP256', group20: 'ECP384' },
    }),
  },
  integrityCheckMethod: {
    kind: 'value',
    path: 'IntegrityCheckMethod',
    type: keyword(['MD5', 'SHA196', 'SHA256', 'SHA384'], { confusions: { sha1: 'SHA196', md596: 'MD5', sha256128: 'SHA256' } }),
  },
  encryptionMethod: {
    kind: 'value',
    path: 'EncryptionMethod',
    type: keyword(['DES', 'DES3', 'AES128', 'AES192', 'AES256', 'AES_GCM_128', 'AES_GCM_256'], {
      confusions: {
        '3des': 'DES3',
        'aes-128': 'AES128',
        'aes-256': 'AES256',
        gcmaes128: 'AES_GCM_128',
        gcmaes256: 'AES_GCM_256',
      },
    }),
  },
};

const nativeProfile: Table<NativeProfile> = {
  servers: { kind: 'value', path: 'Servers', type: servers },
  routingPolicyType: { kind: 'value', path: 'RoutingPolicyType', type: routingPolicyType },
  nativeProtocolType: {
    kind: 'value',
    path: 'NativeProtocolType',
    type: keyword(['PPTP', 'L2TP', 'IKEv2', 'Automatic', 'SSTP', 'ProtocolList'], {
      readBack: { Pptp: 'PPTP', L2tp: 'L2TP', Ikev2: 'IKEv2', Sstp: 'SSTP' },
    }),
  },
  protocolList: { kind: 'group', path: 'ProtocolList', table: protocolList, since: 'Windows 11' },
  l2tpPsk: { kind: 'value', path: 'L2tpPsk', type: text },
  authentication: { kind: 'group', path: 'Authentication', table: authentication },
  cryptographySuite: { kind: 'group', path: 'CryptographySuite', table: cryptographySuite, since: 'Windows 10 1607' },
  disableClassBasedDefaultRoute: {
    kind: 'value',
    path: 'DisableClassBasedDefaultRoute',
    type: boolean,
    since: 'Windows 10 1607',
  },
  plumbIkev2TsAsRoutes: { kind: 'value', path: 'PlumbIKEv2TSAsRoutes', type: boolean, since: 'Windows 10 2004' },
};

/** The root element's table. */
export const profileTable: Table<Profile> = {
  profileName: { kind: 'value', path: 'ProfileName', type: word },
  edpModeId: { kind: 'value', path: 'EdpModeId', type: word },
  rememberCredentials: { kind: 'value', path: 'RememberCredentials', type: boolean },
  alwaysOn: { kind: 'value', path: 'AlwaysOn', type: boolean },
  alwaysOnActive: { kind: 'value', path: 'AlwaysOnActive', type: bit, since: 'Windows 11' },
  lockDown: { kind: 'value', path: 'LockDown', type: boolean },
  deviceTunnel: { kind: 'value', path: 'DeviceTunnel', type: boolean, since: 'Windows 10 1709' },
  dnsSuffix: { kind: 'value', path: 'DnsSuffix', type: suffixes },
  trustedNetworkDetection: { kind: 'value', path: 'TrustedNetworkDetection', type: suffixes },
  byPassForLocal: { kind: 'value', path: 'ByPassForLocal', type: boolean },
  requireVpnClientAppUi: { kind: 'value', path: 'RequireVpnClientAppUI', type: boolean },
  deviceCompliance: { kind: 'group', path: 'DeviceCompliance', table: deviceCompliance, since: 'Windows 10 1607' },
  disableAdvancedOptionsEditButton: {
    kind: 'value',
    path: 'DisableAdvancedOptionsEditButton',
    type: boolean,
    since: 'Windows 11 22H2',
  },
  disableDisconnectButton: { kind: 'value', path: 'DisableDisconnectButton', type: boolean, since: 'Windows 11 22H2' },
  proxy: { kind: 'group', path: 'Proxy', table: proxy },
  apnBinding: {
    kind: 'record',
    path: 'APNBinding',
    names: ['ProviderId', 'AccessPointName', 'UserName', 'Password', 'IsCompressionEnabled', 'AuthenticationType'],
  },
  pluginProfile: { kind: 'group', path: 'PluginProfile', table: pluginProfile },
  nativeProfile: { kind: 'group', path: 'NativeProfile', table: nativeProfile },
  routes: { kind: 'list', path: 'Route', table: route },
  appTriggers: { kind: 'list', path: 'AppTrigger', table: appTrigger },
  trafficFilters: { kind: 'list', path: 'TrafficFilter', table: trafficFilter },
  domainNameInformation: { kind: 'list', path: 'DomainNameInformation', table: domainNameInformation },
  registerDns: { kind: 'value', path: 'RegisterDNS', type: boolean, since: 'Windows 10 1709' },
  networkOutageTime: { kind: 'value', path: 'NetworkOutageTime', type: integer(0, 0xffff_ffff), since: 'Windows 11 24H2' },
  ipv4InterfaceMetric: { kind: 'value', path: 'IPv4InterfaceMetric', type: integer(1, 9999), since: 'Windows 11 24H2' },
  ipv6InterfaceMetric: { kind: 'value', path: 'IPv6InterfaceMetric', type: integer(1, 9999), since: 'Windows 11 24H2' },
  useRasCredentials: { kind: 'value', path: 'UseRasCredentials', type: boolean, since: 'Windows 11 24H2' },
  dataEncryption: {
    kind: 'value',
    path: 'DataEncryption',
    type: keyword(['None', 'Optional', 'Require', 'Max'], {
      confusions: { noencryption: 'None', required: 'Require', maximum: 'Max' },
    }),
    since: 'Windows 11 24H2',
  },
  privateNetwork: { kind: 'value', path: 'PrivateNetwork', type: boolean, since: 'Windows 11 24H2' },
  disableIkev2Fragmentation: {
    kind: 'value',
    path: 'DisableIKEv2Fragmentation',
    type: boolean,
    since: 'Windows 11 24H2',
  },
};

/** Elements that exist, but that nobody's profile needs: path from the root, and why. */
export const elementsWithoutEffect: ReadonlyMap<string, 'readOnlyElement' | 'reservedElement'> = new Map([
  ['VPNProfile/AppTrigger/App/Type', 'readOnlyElement'],
  ['VPNProfile/TrafficFilter/App/Type', 'readOnlyElement'],
  ['VPNProfile/DomainNameInformation/DomainNameType', 'readOnlyElement'],
  ['VPNProfile/NativeProfile/Authentication/Eap/Type', 'readOnlyElement'],
  ['VPNProfile/PluginProfile/CustomStoreUrl', 'reservedElement'],
]);

/** List nodes of the configuration service provider, and the element that ProfileXML repeats instead. */
export const listNodes: ReadonlyMap<string, string> = new Map([
  ['AppTriggerList', 'AppTrigger'],
  ['RouteList', 'Route'],
  ['DomainNameInformationList', 'DomainNameInformation'],
  ['TrafficFilterList', 'TrafficFilter'],
  ['NativeProtocolList', 'NativeProtocol'],
]);
