import type { ParseOptions } from '../src/index.ts';
import { authenticationCases, eapCases } from './finding-case-eap.ts';
import { filter, mschapv2, methodProfile, profileText, tls, validation } from './profile-text.ts';

/** A profile that makes one finding. */
export interface FindingCase {
  readonly code: string;
  readonly what: string;
  readonly text?: string;
  readonly bytes?: Uint8Array;
  readonly options?: ParseOptions;
  /** False when other findings come with it. */
  readonly only?: false;
}

const force = '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>';
const split = '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>';
const protocol = (name: string): string => `<NativeProtocolType>${name}</NativeProtocolType>`;
const route = (address: string, size: number, more = ''): string =>
  `<Route><Address>${address}</Address><PrefixSize>${size}</PrefixSize>${more}</Route>`;
const excluded = '<ExclusionRoute>true</ExclusionRoute>';
const rule = (name: string, more = '<DnsServers>10.0.0.53</DnsServers>'): string =>
  `<DomainNameInformation><DomainName>${name}</DomainName>${more}</DomainNameInformation>`;
const filterOf = (content: string): string => `<TrafficFilter>${content}</TrafficFilter>`;
const trigger = (id: string): string => `<AppTrigger><App><Id>${id}</Id></App></AppTrigger>`;
const suiteOf = (choices: Readonly<Record<string, string>> = {}): string => {
  const all = {
    AuthenticationTransformConstants: 'SHA256128',
    CipherTransformConstants: 'AES256',
    PfsGroup: 'PFS2048',
    DHGroup: 'Group14',
    IntegrityCheckMethod: 'SHA256',
    EncryptionMethod: 'AES256',
    ...choices,
  };
  const elements = Object.entries(all).filter(([, value]) => value !== '');
  return `<CryptographySuite>${elements.map(([name, value]) => `<${name}>${value}</${name}>`).join('')}</CryptographySuite>`;
};
const device = '<DeviceTunnel>true</DeviceTunnel>';
const lock = '<LockDown>true</LockDown>';
const trusted = '<TrustedNetworkDetection>corp.example</TrustedNetworkDetection>';
const top = (elements: string): string => profileText({ top: elements });
const plugin =
  '<PluginProfile><ServerUrlList>vpn.example.com</ServerUrlList><PluginPackageFamilyName>Example.Vpn_0abcdefghjkmn</PluginPackageFamilyName></PluginProfile>';

const textCases: readonly FindingCase[] = [
  { code: '001', what: 'too large', text: profileText(), options: { limits: { size: 20 } } },
  { code: '002', what: 'UTF-32', bytes: Uint8Array.of(0xff, 0xfe, 0, 0, 0x3c, 0, 0, 0) },
  { code: '003', what: 'Latin-1', bytes: Uint8Array.of(0x3c, 0x61, 0xfc, 0x3e) },
  { code: '003', what: 'half a character of UTF-16', bytes: Uint8Array.of(0xff, 0xfe, 0x3c, 0, 0x61) },
  { code: '004', what: 'declared as another encoding', text: `<?xml version="1.0" encoding="utf-16"?>${profileText()}` },
  { code: '005', what: 'blank before the declaration', text: `\n<?xml version="1.0"?>${profileText()}` },
  { code: '006', what: 'unclosed element', text: '<VPNProfile><AlwaysOn>' },
  { code: '007', what: 'document type', text: `<!DOCTYPE VPNProfile>${profileText()}` },
  { code: '008', what: 'entity of HTML', text: '<VPNProfile><ProfileName>a&nbsp;b</ProfileName></VPNProfile>' },
  { code: '009', what: 'bare ampersand', text: '<VPNProfile><ProfileName>a & b</ProfileName></VPNProfile>' },
  { code: '010', what: 'too deep', text: '<VPNProfile><a><b/></a></VPNProfile>', options: { limits: { depth: 2 } } },
  { code: '011', what: 'too many elements', text: '<VPNProfile><a/><a/></VPNProfile>', options: { limits: { elements: 2 } } },
  { code: '011', what: 'too many attributes', text: '<VPNProfile a="" b=""/>', options: { limits: { attributes: 1 } } },
  { code: '012', what: 'wrong root', text: '<vpnprofile/>' },
  { code: '013', what: 'root in a namespace', text: '<VPNProfile xmlns="urn:x"/>' },
  { code: '014', what: 'nothing', text: '' },
  { code: '015', what: 'too many findings', text: top('<A/><B/><C/>'), options: { limits: { diagnostics: 2 } }, only: false },
  { code: '016', what: 'SyncML', text: '<SyncML xmlns="SYNCML:SYNCML1.2"/>' },
];

const structureCases: readonly FindingCase[] = [
  { code: '020', what: 'unknown element', text: top('<Colour>blue</Colour>') },
  { code: '021', what: 'wrong case', text: top('<alwaysOn>true</alwaysOn>') },
  {
    code: '021',
    what: 'small "in"',
    text: profileText({
      protocol: protocol('ProtocolList'),
      more: '<ProtocolList><NativeProtocol><Type>Ikev2</Type></NativeProtocol><RetryTimeinHours>1</RetryTimeinHours></ProtocolList>',
      authentication: methodAuthentication(),
    }),
  },
  { code: '021', what: 'upper-case DNSServers', text: top(rule('.corp.example', '<DNSServers>10.0.0.53</DNSServers>')) },
  { code: '022', what: 'misplaced', text: top('<DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>') },
  { code: '023', what: 'list node', text: top('<DomainNameInformationList/>') },
  { code: '024', what: 'lockdown in lower case', text: top('<lockdown>true</lockdown>') },
  { code: '024', what: 'unknown condition of a filter', text: top(filterOf('<RemotePort>1</RemotePort>')) },
  { code: '024', what: 'list node of filters', text: top('<TrafficFilterList/>') },
  { code: '025', what: 'twice, different', text: top('<AlwaysOn>true</AlwaysOn><AlwaysOn>false</AlwaysOn>') },
  { code: '026', what: 'twice, the same', text: top('<AlwaysOn>true</AlwaysOn><AlwaysOn>true</AlwaysOn>') },
  { code: '027', what: 'stray text', text: top('>') },
  { code: '028', what: 'attribute', text: top('<AlwaysOn x="1">true</AlwaysOn>') },
  { code: '029', what: 'read-only', text: top('<AppTrigger><App><Id>C:\\a.exe</Id><Type>FilePath</Type></App></AppTrigger>') },
  { code: '030', what: 'reserved', text: top('<APNBinding><ProviderId>x</ProviderId></APNBinding>') },
  { code: '031', what: 'missing', text: top('<Route><Address>10.0.0.0</Address></Route>') },
  { code: '031', what: 'missing below another', text: top('<AppTrigger/>') },
  { code: '032', what: 'App with text', text: top('<AppTrigger><App>C:\\a.exe</App></AppTrigger>') },
  { code: '033', what: 'element in a value', text: top('<AlwaysOn><b>true</b></AlwaysOn>') },
  { code: '034', what: 'empty', text: top('<AlwaysOn/>') },
  { code: '035', what: 'namespace', text: top('<x:AlwaysOn xmlns:x="urn:x">true</x:AlwaysOn>') },
];

const valueCases: readonly FindingCase[] = [
  { code: '040', what: 'True', text: top('<AlwaysOn>True</AlwaysOn>') },
  { code: '041', what: 'yes', text: top('<AlwaysOn>yes</AlwaysOn>') },
  { code: '041', what: 'two', text: top('<AlwaysOn>true</AlwaysOn><AlwaysOnActive>2</AlwaysOnActive>') },
  { code: '042', what: 'keyword case', text: profileText({ policy: '<RoutingPolicyType>forcetunnel</RoutingPolicyType>' }) },
  { code: '043', what: 'unknown keyword', text: profileText({ policy: '<RoutingPolicyType>Force</RoutingPolicyType>' }) },
  { code: '044', what: 'negative', text: top('<NetworkOutageTime>-1</NetworkOutageTime>') },
  { code: '044', what: 'too large', text: top('<IPv4InterfaceMetric>10000</IPv4InterfaceMetric>') },
  { code: '044', what: 'hexadecimal', text: top('<NetworkOutageTime>0x10</NetworkOutageTime>') },
  { code: '045', what: 'no address', text: top('<Route><Address>10.0.0</Address><PrefixSize>8</PrefixSize></Route>') },
  { code: '045', what: 'semicolons', text: top(rule('.a.example', '<DnsServers>10.0.0.1;10.0.0.2</DnsServers>')) },
  { code: '046', what: 'backward range', text: top(filterOf('<RemoteAddressRanges>10.0.0.2-10.0.0.1</RemoteAddressRanges>')) },
  { code: '046', what: 'only commas', text: top(filterOf('<RemoteAddressRanges>,</RemoteAddressRanges>')), only: false },
  { code: '047', what: 'port 65536', text: top(filterOf('<Protocol>6</Protocol><RemotePortRanges>65536</RemotePortRanges>')) },
  { code: '048', what: 'blank after comma', text: top(rule('.a.example', '<DnsServers>10.0.0.1, 10.0.0.2</DnsServers>')) },
  { code: '049', what: 'empty entry', text: top('<DnsSuffix>a.example,</DnsSuffix>') },
  {
    code: '050',
    what: 'hidden character',
    text: methodProfile(
      13,
      tls(validation.replace('<TrustedRootCA>', '<TrustedRootCA>\u200e') + filter('<AllPurposeEnabled>true</AllPurposeEnabled>')),
    ),
  },
  {
    code: '051',
    what: 'short hash',
    text: methodProfile(13, tls(`${validation}${filter('<CAHashList><IssuerHash>12</IssuerHash></CAHashList>')}`)),
  },
  { code: '052', what: 'URL as server', text: profileText({ servers: '<Servers>https://vpn.example.com</Servers>' }) },
  {
    code: '053',
    what: 'second server behind a semicolon',
    text: profileText({ servers: '<Servers>a.example.com;b.example.com</Servers>' }),
  },
  { code: '054', what: 'server twice', text: profileText({ servers: '<Servers>a.example.com,A.example.com</Servers>' }) },
  { code: '055', what: 'bare program name', text: top(trigger('notepad.exe')) },
  { code: '055', what: 'wildcard', text: top(trigger('C:\\Apps\\*.exe')) },
  { code: '056', what: 'wildcard domain', text: top(rule('*.a.example')) },
  { code: '056', what: 'suffix with a dot', text: top('<DnsSuffix>.a.example</DnsSuffix>') },
  { code: '067', what: 'not in DNS', text: profileText({ servers: '<Servers>xn--ü.example</Servers>' }) },
  { code: '057', what: 'two names', text: top(rule('a.example,b.example')) },
  {
    code: '058',
    what: 'two proxies of a rule',
    text: top(rule('.a.example', '<DnsServers>10.0.0.1</DnsServers><WebProxyServers>a:80,b:80</WebProxyServers>')),
  },
  { code: '059', what: 'no port', text: top('<Proxy><Manual><Server>proxy.example</Server></Manual></Proxy>') },
  { code: '059', what: 'http://', text: top('<Proxy><Manual><Server>http://proxy.example:80</Server></Manual></Proxy>') },
];

const contradictionCases: readonly FindingCase[] = [
  { code: '060', what: 'device tunnel with EAP', text: methodProfile(26, mschapv2(), device), only: false },
  {
    code: '061',
    what: 'device tunnel with Automatic',
    text: profileText({ top: device, policy: split, protocol: protocol('Automatic') }),
    only: false,
  },
  { code: '062', what: 'forced device tunnel', text: top(device) },
  {
    code: '063',
    what: 'device tunnel not always on',
    text: profileText({ top: `${device}<AlwaysOn>false</AlwaysOn>`, policy: split }),
  },
  {
    code: '064',
    what: 'device tunnel with rules',
    text: profileText({ top: device + trusted + rule('.a.example'), policy: split }),
  },
  {
    code: '065',
    what: 'device tunnel registers',
    text: profileText({ top: `${device}<RegisterDNS>true</RegisterDNS>`, policy: split }),
  },
  { code: '066', what: 'device tunnel with trigger', text: profileText({ top: device + trigger('C:\\a.exe'), policy: split }) },
  { code: '070', what: 'locked split tunnel', text: profileText({ top: lock, policy: split }) },
  { code: '071', what: 'locked with exclusion', text: top(lock + route('10.0.0.0', 8, excluded)) },
  { code: '072', what: 'locked without protocol', text: profileText({ top: lock, protocol: '' }), only: false },
  { code: '073', what: 'locked with trusted network', text: top(lock + trusted) },
  { code: '074', what: 'certificate without protocol', text: profileText({ protocol: '' }) },
  {
    code: '075',
    what: 'MSChapv2 over IKEv2',
    text: profileText({ authentication: '<Authentication><UserMethod>MSChapv2</UserMethod></Authentication>' }),
  },
  { code: '076', what: 'suite without protocol', text: profileText({ protocol: '', suite: suiteOf() }), only: false },
  { code: '077', what: 'unused list', text: profileText({ more: '<ProtocolList/>' }) },
  {
    code: '078',
    what: 'list missing',
    text: profileText({ protocol: protocol('ProtocolList'), authentication: methodAuthentication() }),
  },
  {
    code: '079',
    what: 'protocol twice',
    text: profileText({
      protocol: protocol('ProtocolList'),
      more: protocolList('Ikev2', 'Ikev2'),
      authentication: methodAuthentication(),
    }),
    only: false,
  },
  { code: '080', what: 'SSTP', text: profileText({ protocol: protocol('SSTP'), authentication: methodAuthentication() }) },
  {
    code: '080',
    what: 'list without IKEv2',
    text: profileText({ protocol: protocol('ProtocolList'), more: protocolList('Sstp'), authentication: methodAuthentication() }),
  },
  {
    code: '081',
    what: 'Automatic',
    text: profileText({ protocol: protocol('Automatic'), authentication: methodAuthentication() }),
  },
  {
    code: '082',
    what: 'proxy of a split tunnel',
    text: profileText({ policy: split, top: '<Proxy><AutoConfigUrl>http://a/b</AutoConfigUrl></Proxy>' }),
  },
  {
    code: '083',
    what: 'two proxies',
    text: top('<Proxy><Manual><Server>a:80</Server></Manual><AutoConfigUrl>http://a/b</AutoConfigUrl></Proxy>'),
  },
  { code: '084', what: 'ports without protocol', text: top(filterOf('<LocalPortRanges>1</LocalPortRanges>')) },
  { code: '084', what: 'ports of ICMP', text: top(filterOf('<Protocol>1</Protocol><RemotePortRanges>1</RemotePortRanges>')) },
  { code: '085', what: 'policy without app', text: top(filterOf(`<Protocol>6</Protocol>${split}`)) },
  { code: '086', what: 'filter on IPv6', text: top(filterOf('<RemoteAddressRanges>2001:db8::/32</RemoteAddressRanges>')) },
  {
    code: '086',
    what: 'filter beside an IPv6 route',
    text: top(filterOf('<Protocol>6</Protocol>') + route('2001:db8::', 32, excluded)),
    only: false,
  },
  {
    code: '087',
    what: 'local and remote',
    text: top(filterOf('<LocalAddressRanges>10.0.0.1</LocalAddressRanges><RemoteAddressRanges>10.0.0.2</RemoteAddressRanges>')),
  },
  { code: '088', what: 'empty filter', text: top('<TrafficFilter/>') },
  {
    code: '089',
    what: 'nothing routed',
    text: profileText({ policy: split, more: '<DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>' }),
  },
  {
    code: '090',
    what: 'class-based with force',
    text: profileText({ policy: force, more: '<DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>' }),
  },
  { code: '091', what: 'route with force', text: top(route('10.0.0.0', 8)) },
  {
    code: '092',
    what: 'enterprise id with filter',
    text: top(`<EdpModeId>corp.example</EdpModeId>${filterOf('<Protocol>6</Protocol>')}`),
  },
  { code: '093', what: 'native and plug-in', text: top(plugin), only: false },
  { code: '094', what: 'no connection', text: '<VPNProfile/>' },
  { code: '095', what: 'no policy', text: profileText({ policy: '' }) },
  { code: '096', what: 'implicit trusted network', text: top(`<AlwaysOn>true</AlwaysOn>${rule('.a.example')}`) },
  { code: '104', what: 'no servers', text: profileText({ servers: '' }) },
  { code: '104', what: 'empty servers', text: profileText({ servers: '<Servers/>' }) },
  { code: '105', what: 'host bits', text: profileText({ policy: split, top: route('10.1.0.0', 8) }) },
  { code: '106', what: 'prefix of 33', text: profileText({ policy: split, top: route('10.0.0.0', 33) }) },
  { code: '107', what: 'IPv6 route', text: profileText({ policy: split, top: route('2001:db8::', 32) }) },
  { code: '108', what: 'route twice', text: profileText({ policy: split, top: route('10.0.0.0', 8) + route('10.0.0.0', 8) }) },
  {
    code: '109',
    what: 'routed and excluded',
    text: profileText({ policy: split, top: route('10.0.0.0', 8) + route('10.0.0.0', 8, excluded) }),
  },
  { code: '110', what: 'rule twice', text: top(rule('.a.example') + rule('.A.example')) },
  { code: '111', what: 'trigger on an exemption', text: top(rule('.a.example', '<AutoTrigger>true</AutoTrigger>')) },
  { code: '112', what: 'active, not always on', text: top('<AlwaysOnActive>1</AlwaysOnActive>') },
  { code: '113', what: 'remembered certificate', text: top('<RememberCredentials>true</RememberCredentials>') },
  { code: '115', what: 'device compliance', text: top('<DeviceCompliance><Enabled>true</Enabled></DeviceCompliance>') },
  { code: '116', what: 'semicolons', text: top('<DeviceCompliance><Sso><Eku>1.2.3;1.2.4</Eku></Sso></DeviceCompliance>') },
  { code: '117', what: 'optional encryption', text: top('<DataEncryption>Optional</DataEncryption>') },
  { code: '118', what: 'no fragmentation', text: top('<DisableIKEv2Fragmentation>true</DisableIKEv2Fragmentation>') },
  { code: '119', what: 'incomplete suite', text: profileText({ suite: suiteOf({ PfsGroup: '' }) }) },
  { code: '120', what: 'GCM with SHA256', text: profileText({ suite: suiteOf({ CipherTransformConstants: 'GCMAES128' }) }) },
  {
    code: '121',
    what: 'GCM integrity alone',
    text: profileText({ suite: suiteOf({ AuthenticationTransformConstants: 'GCMAES128' }) }),
  },
  { code: '122', what: '3DES', text: profileText({ suite: suiteOf({ EncryptionMethod: 'DES3' }) }) },
  { code: '126', what: 'MD5', text: profileText({ suite: suiteOf({ IntegrityCheckMethod: 'MD5' }) }) },
  { code: '127', what: 'no PFS', text: profileText({ suite: suiteOf({ PfsGroup: 'None' }) }) },
  { code: '123', what: 'plug-in', text: profileText({ native: plugin }) },
  {
    code: '124',
    what: 'large metric',
    text: profileText({ policy: split, top: route('10.0.0.0', 8, '<Metric>10000</Metric>') }),
  },
  { code: '125', what: 'SYSTEM as a trigger', text: top(trigger('SYSTEM')) },
];

function methodAuthentication(): string {
  const text = methodProfile(26, mschapv2());
  return text.slice(text.indexOf('<Authentication>'), text.indexOf('</Authentication>') + '</Authentication>'.length);
}

function protocolList(...names: readonly string[]): string {
  return `<ProtocolList>${names.map((name) => `<NativeProtocol><Type>${name}</Type></NativeProtocol>`).join('')}</ProtocolList>`;
}

/** At least one for every code. */
export const findingCases: readonly FindingCase[] = [
  ...textCases,
  ...structureCases,
  ...valueCases,
  ...contradictionCases,
  ...authenticationCases,
  ...eapCases,
];
