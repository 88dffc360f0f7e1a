import fc from 'fast-check';
import type {
  Authentication,
  CertificateFilter,
  EapGtcSettings,
  EapMschapv2Settings,
  EapPeapSettings,
  EapSettings,
  EapTlsSettings,
  EapTtlsSettings,
  Located,
  NativeProfile,
  Profile,
  ServerValidation,
} from '../src/index.ts';
import { writeEapHostConfig } from '../src/index.ts';

/*
 * Any profile that a file can say: every value in its canonical form, every combination of them, contradictory or not.
 */

const at = { line: 1, column: 1 };

function located<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<Located<T>> {
  return arbitrary.map((value) => ({ value, at }));
}

/** Every property may be absent. */
function some<T extends object>(properties: {
  readonly [K in keyof T]-?: fc.Arbitrary<Exclude<T[K], undefined>>;
}): fc.Arbitrary<T> {
  return fc.record(properties, { requiredKeys: [] }) as unknown as fc.Arbitrary<T>;
}

const boolean = located(fc.boolean());
const trimmed = (text: string): string => text.replaceAll(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
const isXml = (text: string): boolean => /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(text);
/** What only matters as text: markup, line ends and other scripts included. */
const text = fc
  .array(
    fc.constantFrom(
      'a',
      'B',
      '7',
      ' ',
      '<',
      '>',
      '&',
      '"',
      "'",
      ']]>',
      '&amp;',
      '<x/>',
      '\t',
      '\n',
      '\r',
      'ü',
      '東',
      '𝔙',
      '<!--',
      '-->',
      '\u200b',
    ),
    {
      maxLength: 12,
    },
  )
  .map((parts) => trimmed(parts.join('')))
  .filter(isXml);
const word = fc
  .array(fc.constantFrom('a', 'B', '7', ' ', '<', '>', '&', '"', ';', 'ü', '東', '𝔙', '.'), { minLength: 1, maxLength: 12 })
  .map((parts) => trimmed(parts.join('')))
  .filter((value) => value !== '');
const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter((value) => !value.includes('.')),
);
const port = fc.integer({ min: 0, max: 65535 });
const range = fc.tuple(port, port).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
const addressRange = fc.oneof(
  address,
  fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([a, length]) => `${a}/${length}`),
  fc.ipV4().map((a) => `${a}-255.255.255.255`),
  fc.constant('2001:db8::-2001:db8::ff'),
);
const hash = fc.stringMatching(/^[0-9a-f]{40}$/);
const oid = fc.array(fc.nat(99_999), { minLength: 1, maxLength: 8 }).map((arcs) => `1.${arcs.join('.')}`);
const app = located(
  fc.oneof(
    fc.constant({ id: 'SYSTEM', type: 'System' as const }),
    label.map((name) => ({ id: `C:\\Program Files\\${name}.exe`, type: 'FilePath' as const })),
    label.map((name) => ({ id: `Example.${name}_8wekyb3d8bbwe`, type: 'PackageFamilyName' as const })),
  ),
);
const server = fc.record(
  { host: fc.oneof(domain, address), friendlyName: word.filter((name) => !/[;,]/.test(name)) },
  { requiredKeys: ['host'] },
);
const routingPolicyType = located(fc.constantFrom('SplitTunnel' as const, 'ForceTunnel' as const));

const serverValidation: fc.Arbitrary<ServerValidation> = fc.record(
  {
    serverNames: fc.array(domain, { maxLength: 3 }),
    trustedRootCa: fc.array(hash, { maxLength: 3 }),
    disableUserPrompt: fc.boolean(),
    performServerValidation: fc.boolean(),
    acceptServerName: fc.boolean(),
  },
  { requiredKeys: ['serverNames', 'trustedRootCa', 'disableUserPrompt'] },
);

const certificateFilter: fc.Arbitrary<CertificateFilter> = fc.uniqueArray(word, { maxLength: 3 }).chain((names) => {
  const list = fc.record({ enabled: fc.boolean(), names: fc.subarray(names) });
  return fc.record(
    {
      allPurposeEnabled: fc.boolean(),
      caHashList: fc.record({ enabled: fc.boolean(), issuerHashes: fc.array(hash, { maxLength: 2 }) }),
      ekuMapping: fc.tuple(...names.map((name) => oid.map((found) => ({ name, oid: found })))),
      clientAuthEkuList: list,
      anyPurposeEkuList: list,
    },
    { requiredKeys: ['allPurposeEnabled', 'ekuMapping'] },
  );
});

const tls: fc.Arbitrary<EapTlsSettings> = fc
  .record(
    {
      method: fc.constant('tls' as const),
      credentialsSource: fc.constantFrom('smart-card' as const, 'certificate-store' as const),
      simpleCertSelection: fc.boolean(),
      differentUsername: fc.boolean(),
      serverValidation,
      filter: certificateFilter,
    },
    { requiredKeys: ['method', 'credentialsSource', 'simpleCertSelection', 'differentUsername', 'serverValidation'] },
  )
  // A smart card has no selection to be simple.
  .map((settings) => (settings.credentialsSource === 'smart-card' ? { ...settings, simpleCertSelection: true } : settings));

const mschapv2: fc.Arbitrary<EapMschapv2Settings> = fc.record({
  method: fc.constant('mschapv2' as const),
  useWinLogonCredentials: fc.boolean(),
});

const gtc: fc.Arbitrary<EapGtcSettings> = fc.constant({ method: 'gtc' as const });

const peap: fc.Arbitrary<EapPeapSettings> = fc
  .record(
    {
      method: fc.constant('peap' as const),
      serverValidation: fc.tuple(serverValidation, fc.option(fc.boolean(), { nil: undefined })).map(([validation, allowed]) => ({
        ...validation,
        ...(allowed !== undefined && { allowPromptingWhenServerCaNotFound: allowed }),
      })),
      fastReconnect: fc.boolean(),
      innerEapOptional: fc.boolean(),
      enableQuarantineChecks: fc.boolean(),
      requireCryptoBinding: fc.boolean(),
      anonymousUserName: text,
      inner: fc.oneof(tls, mschapv2, gtc),
    },
    {
      requiredKeys: [
        'method',
        'serverValidation',
        'fastReconnect',
        'innerEapOptional',
        'enableQuarantineChecks',
        'requireCryptoBinding',
      ],
    },
  )
  // A password in clear for a server that nobody checks is refused.
  .filter(
    ({ inner, serverValidation: { performServerValidation } }) => inner?.method !== 'gtc' || performServerValidation !== false,
  );

const ttls: fc.Arbitrary<EapTtlsSettings> = fc.record(
  {
    method: fc.constant('ttls' as const),
    serverValidation: serverValidation.map(({ serverNames, trustedRootCa, disableUserPrompt }) => ({
      serverNames,
      trustedRootCa,
      disableUserPrompt,
    })),
    phase2: fc.oneof(
      fc.constantFrom({ kind: 'pap' as const }, { kind: 'chap' as const }, { kind: 'mschap' as const }),
      fc.boolean().map((useWinLogonCredentials) => ({ kind: 'mschapv2' as const, useWinLogonCredentials })),
      fc.oneof(tls, mschapv2, gtc).map((inner) => ({ kind: 'eap' as const, inner })),
    ),
    anonymousIdentity: text,
  },
  { requiredKeys: ['method', 'serverValidation', 'phase2'] },
);

export const arbitraryEapSettings: fc.Arbitrary<EapSettings> = fc.oneof(tls, mschapv2, peap, ttls);

const authentication: fc.Arbitrary<Authentication> = fc
  .tuple(
    some<Omit<Authentication, 'at' | 'eap' | 'eapXml'>>({
      userMethod: located(fc.constantFrom('EAP' as const, 'MSChapv2' as const)),
      machineMethod: located(fc.constantFrom('Certificate' as const, 'EAP' as const)),
      certificateIssuer: located(word),
      certificateEku: located(word),
    }),
    fc.option(arbitraryEapSettings, { nil: undefined }),
  )
  .map(([methods, eap]) => ({
    ...methods,
    at,
    ...(eap ? { eap: { value: eap, at }, eapXml: writeEapHostConfig(eap) } : {}),
  }));

const native: fc.Arbitrary<NativeProfile> = some<Omit<NativeProfile, 'at'>>({
  servers: located(fc.array(server, { maxLength: 3 })),
  routingPolicyType,
  nativeProtocolType: located(
    fc.constantFrom(
      'PPTP' as const,
      'L2TP' as const,
      'IKEv2' as const,
      'Automatic' as const,
      'SSTP' as const,
      'ProtocolList' as const,
    ),
  ),
  protocolList: fc
    .record(
      {
        protocols: fc.array(located(fc.constantFrom('Pptp' as const, 'L2tp' as const, 'Ikev2' as const, 'Sstp' as const)), {
          maxLength: 5,
        }),
        retryTimeInHours: located(fc.nat(500_000)),
      },
      { requiredKeys: ['protocols'] },
    )
    .map((list) => ({ ...list, at })),
  l2tpPsk: located(text),
  disableClassBasedDefaultRoute: boolean,
  plumbIkev2TsAsRoutes: boolean,
  cryptographySuite: some<Omit<NonNullable<NativeProfile['cryptographySuite']>, 'at'>>({
    authenticationTransformConstants: located(
      fc.constantFrom('MD596', 'SHA196', 'SHA256128', 'GCMAES128', 'GCMAES192', 'GCMAES256'),
    ),
    cipherTransformConstants: located(
      fc.constantFrom('DES', 'DES3', 'AES128', 'AES192', 'AES256', 'GCMAES128', 'GCMAES192', 'GCMAES256'),
    ),
    pfsGroup: located(fc.constantFrom('None', 'PFS1', 'PFS2', 'PFS2048', 'ECP256', 'ECP384', 'PFSMM', 'PFS24')),
    dhGroup: located(fc.constantFrom('None', 'Group1', 'Group2', 'Group14', 'ECP256', 'ECP384', 'Group24')),
    integrityCheckMethod: located(fc.constantFrom('MD5', 'SHA196', 'SHA256', 'SHA384')),
    encryptionMethod: located(fc.constantFrom('DES', 'DES3', 'AES128', 'AES192', 'AES256', 'AES_GCM_128', 'AES_GCM_256')),
  }).map((suite) => ({ ...suite, at })),
  authentication,
}).map((profile) => ({ ...profile, at }));

const unknownElement = fc.record({
  parent: fc.constant('VPNProfile'),
  name: fc.constant('Future'),
  xml: fc.constantFrom(
    '<Future/>',
    '<Future a="1">\n  <b>x &amp; y</b><!-- kept --></Future>',
    '<Future xmlns="urn:x"><y/></Future>',
  ),
  at: fc.constant(at),
});

export const arbitraryProfile: fc.Arbitrary<Profile> = fc
  .tuple(
    some<Omit<Profile, 'routes' | 'appTriggers' | 'trafficFilters' | 'domainNameInformation' | 'internationalNames' | 'unknown'>>(
      {
        profileName: located(word),
        edpModeId: located(word),
        rememberCredentials: boolean,
        alwaysOn: boolean,
        alwaysOnActive: boolean,
        dnsSuffix: located(fc.array(domain, { maxLength: 3 })),
        trustedNetworkDetection: located(fc.array(domain, { maxLength: 3 })),
        disableAdvancedOptionsEditButton: boolean,
        disableDisconnectButton: boolean,
        lockDown: boolean,
        deviceTunnel: boolean,
        registerDns: boolean,
        byPassForLocal: boolean,
        requireVpnClientAppUi: boolean,
        dataEncryption: located(fc.constantFrom('None', 'Optional', 'Require', 'Max')),
        disableIkev2Fragmentation: boolean,
        ipv4InterfaceMetric: located(fc.integer({ min: 1, max: 9999 })),
        ipv6InterfaceMetric: located(fc.integer({ min: 1, max: 9999 })),
        networkOutageTime: located(fc.integer({ min: 0, max: 0xffff_ffff })),
        useRasCredentials: boolean,
        privateNetwork: boolean,
        proxy: some<{ manualServer: Located<string>; autoConfigUrl: Located<string> }>({
          manualServer: located(fc.tuple(domain, port).map(([host, number]) => `${host}:${number}`)),
          autoConfigUrl: located(fc.webUrl()),
        }).map((proxy) => ({ ...proxy, at })),
        apnBinding: located(
          fc.dictionary(fc.constantFrom('ProviderId', 'AccessPointName', 'UserName', 'Password'), text, {
            noNullPrototype: true,
          }),
        ),
        deviceCompliance: some<Omit<NonNullable<Profile['deviceCompliance']>, 'at'>>({
          enabled: boolean,
          ssoEnabled: boolean,
          ssoIssuerHash: located(fc.array(hash, { maxLength: 2 })),
          ssoEku: located(fc.array(oid, { maxLength: 2 })),
        }).map((compliance) => ({ ...compliance, at })),
        pluginProfile: some<Omit<NonNullable<Profile['pluginProfile']>, 'at'>>({
          serverUrlList: located(
            fc.array(
              fc
                .oneof(
                  domain,
                  domain.map((host) => `https://${host}/vpn`),
                )
                .map((host) => ({ host })),
              { maxLength: 3 },
            ),
          ),
          pluginPackageFamilyName: located(word),
          customConfiguration: located(
            fc.oneof(text, fc.constantFrom('<xml/>', '<a xmlns="urn:x"><b c="1">&amp;</b></a>', '<?xml version="1.0"?><a/>')),
          ),
        }).map((plugin) => ({ ...plugin, at })),
        nativeProfile: native,
      },
    ),
    fc.record({
      routes: fc.array(
        fc
          .record(
            {
              address: located(address),
              prefixSize: located(fc.nat(128)),
              metric: located(fc.integer({ min: 0, max: 0xffff_ffff })),
              exclusionRoute: boolean,
            },
            { requiredKeys: ['address', 'prefixSize'] },
          )
          .map((route) => ({ ...route, at })),
        { maxLength: 4 },
      ),
      appTriggers: fc.array(
        app.map((found) => ({ app: found, at })),
        { maxLength: 2 },
      ),
      trafficFilters: fc.array(
        some<Omit<Profile['trafficFilters'][number], 'at'>>({
          app,
          claims: located(word),
          protocol: located(fc.nat(255)),
          localPortRanges: located(fc.array(range, { minLength: 1, maxLength: 3 })),
          remotePortRanges: located(fc.array(range, { minLength: 1, maxLength: 3 })),
          localAddressRanges: located(fc.array(addressRange, { minLength: 1, maxLength: 3 })),
          remoteAddressRanges: located(fc.array(addressRange, { minLength: 1, maxLength: 3 })),
          routingPolicyType,
          direction: located(fc.constantFrom('Inbound' as const, 'Outbound' as const)),
        }).map((filter) => ({ ...filter, at })),
        { maxLength: 3 },
      ),
      domainNameInformation: fc.array(
        fc
          .record(
            {
              domainName: located(
                fc.oneof(
                  domain,
                  domain.map((name) => `.${name}`),
                  fc.constant('.'),
                ),
              ),
              dnsServers: located(fc.array(address, { maxLength: 3 })),
              webProxyServers: located(fc.tuple(domain, port).map(([host, number]) => `${host}:${number}`)),
              autoTrigger: boolean,
              persistent: boolean,
            },
            { requiredKeys: ['domainName'] },
          )
          .map((rule) => ({ ...rule, at })),
        { maxLength: 3 },
      ),
      unknown: fc.array(unknownElement, { maxLength: 2 }),
    }),
  )
  .map(([single, lists]) => ({ ...single, ...lists }));
