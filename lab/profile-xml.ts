import { eapHostConfig, type EapWish, type RadiusTrust } from './eap-xml.ts';
import { network } from './network.ts';

export interface ProfileRoute {
  readonly address: string;
  readonly prefixSize: number;
  readonly metric?: number;
  readonly exclusion?: boolean;
}

/** The values of ProfileXML's CryptographySuite, in its own words. */
export interface ProfileSuite {
  readonly encryption: 'AES128' | 'AES192' | 'AES256' | 'AES_GCM_128' | 'AES_GCM_256' | 'DES3';
  readonly integrity: 'SHA196' | 'SHA256' | 'SHA384';
  readonly group: 'Group2' | 'Group14' | 'ECP256' | 'ECP384' | 'Group24';
  readonly cipher: 'AES128' | 'AES192' | 'AES256' | 'GCMAES128' | 'GCMAES192' | 'GCMAES256' | 'DES3';
  readonly authentication: 'SHA196' | 'SHA256128' | 'GCMAES128' | 'GCMAES192' | 'GCMAES256';
  readonly pfs: 'None' | 'PFS2' | 'PFS2048' | 'ECP256' | 'ECP384' | 'PFSMM' | 'PFS24';
}

export interface ProfileOptions {
  readonly servers?: string;
  readonly routing?: 'SplitTunnel' | 'ForceTunnel';
  readonly routes?: readonly ProfileRoute[];
  /** NRPT: suffix (with a leading dot) or name → servers; an empty list is an exemption. */
  readonly names?: Readonly<Record<string, readonly string[]>>;
  /** All rules with servers bring the tunnel up (AutoTrigger). */
  readonly autoTrigger?: boolean;
  readonly dnsSuffix?: string;
  readonly suite?: ProfileSuite;
  readonly alwaysOn?: boolean;
  readonly classBasedRoute?: boolean;
  /** Raw elements to put in front of NativeProfile. */
  readonly extra?: string;
  /** EAP-TLS: thumbprints of accepted roots of the RADIUS server, and its names. */
  readonly radius?: RadiusTrust;
}

/** Routes and names of the corporate network of a world. */
export const corporate: Pick<ProfileOptions, 'routes' | 'names' | 'dnsSuffix'> = {
  routes: [
    { address: '10.20.0.0', prefixSize: 24 },
    { address: 'fd20::', prefixSize: 64 },
  ],
  names: { [`.${network.corp.zone}`]: [network.corp.dns4] },
  dnsSuffix: network.corp.zone,
};

/** A device tunnel with a machine certificate. */
export function deviceProfile(options: ProfileOptions = {}): string {
  return profile({ ...corporate, ...options }, true, '<MachineMethod>Certificate</MachineMethod>');
}

/** A tunnel of the user with a machine-style certificate; split or force. */
export function certificateProfile(options: ProfileOptions = {}): string {
  return profile({ ...corporate, ...options }, false, '<MachineMethod>Certificate</MachineMethod>');
}

/** A user tunnel with any EAP method. */
export function eapProfile(wish: EapWish, options: ProfileOptions = {}): string {
  return profile(
    { ...corporate, ...options },
    false,
    `<UserMethod>Eap</UserMethod><Eap><Configuration>${eapHostConfig(wish)}</Configuration></Eap>`,
  );
}

/** A user tunnel with EAP-MSCHAPv2. */
export function mschapv2Profile(options: ProfileOptions = {}): string {
  return eapProfile({ kind: 'mschapv2' }, options);
}

/** A user tunnel with EAP-TLS. */
export function eapTlsProfile(options: ProfileOptions = {}): string {
  return eapProfile({ kind: 'tls', trust: options.radius ?? { names: '', roots: [] } }, options);
}

function profile(options: ProfileOptions, device: boolean, authentication: string): string {
  const routing = options.routing ?? 'SplitTunnel';
  const routes = routing === 'ForceTunnel' ? (options.routes ?? []).filter((route) => route.exclusion) : (options.routes ?? []);
  const lines = [
    '<VPNProfile>',
    `  <AlwaysOn>${options.alwaysOn ?? true}</AlwaysOn>`,
    ...(options.dnsSuffix ? [`  <DnsSuffix>${options.dnsSuffix}</DnsSuffix>`] : []),
    ...(device ? ['  <DeviceTunnel>true</DeviceTunnel>'] : []),
    ...(options.extra ? [`  ${options.extra}`] : []),
    '  <NativeProfile>',
    `    <Servers>${options.servers ?? network.gateway.name}</Servers>`,
    `    <RoutingPolicyType>${routing}</RoutingPolicyType>`,
    '    <NativeProtocolType>IKEv2</NativeProtocolType>',
    ...(options.classBasedRoute || routing === 'ForceTunnel'
      ? []
      : ['    <DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>']),
    ...(options.suite ? [suiteElement(options.suite)] : []),
    `    <Authentication>${authentication}</Authentication>`,
    '  </NativeProfile>',
    ...Object.entries(options.names ?? {}).map(([name, servers]) => nameElement(name, servers, options.autoTrigger)),
    ...routes.map(routeElement),
    '</VPNProfile>',
    '',
  ];
  return lines.join('\n');
}

function suiteElement(suite: ProfileSuite): string {
  return [
    '    <CryptographySuite>',
    `      <AuthenticationTransformConstants>${suite.authentication}</AuthenticationTransformConstants>`,
    `      <CipherTransformConstants>${suite.cipher}</CipherTransformConstants>`,
    `      <PfsGroup>${suite.pfs}</PfsGroup>`,
    `      <DHGroup>${suite.group}</DHGroup>`,
    `      <IntegrityCheckMethod>${suite.integrity}</IntegrityCheckMethod>`,
    `      <EncryptionMethod>${suite.encryption}</EncryptionMethod>`,
    '    </CryptographySuite>',
  ].join('\n');
}

function nameElement(name: string, servers: readonly string[], autoTrigger = false): string {
  const trigger = autoTrigger ? '<AutoTrigger>true</AutoTrigger>' : '';
  const list = servers.length > 0 ? `<DnsServers>${servers.join(',')}</DnsServers>${trigger}` : '';
  return `  <DomainNameInformation><DomainName>${name}</DomainName>${list}</DomainNameInformation>`;
}

function routeElement(route: ProfileRoute): string {
  const metric = route.metric === undefined ? '' : `<Metric>${route.metric}</Metric>`;
  const exclusion = route.exclusion ? '<ExclusionRoute>true</ExclusionRoute>' : '';
  return `  <Route><Address>${route.address}</Address><PrefixSize>${route.prefixSize}</PrefixSize>${metric}${exclusion}</Route>`;
}
