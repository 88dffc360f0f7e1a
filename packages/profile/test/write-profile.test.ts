import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { withoutPositions, writeProfile, type Profile } from '../src/index.ts';
import { arbitraryProfile } from './arbitrary-profile.ts';
import { codes, eapAuthentication, hostConfig, mschapv2, parse, profileText } from './profile-text.ts';

const empty: Profile = { appTriggers: [], domainNameInformation: [], trafficFilters: [], routes: [], unknown: [] };
const at = { line: 1, column: 1 };
/** What would mean that a value was written in a form that is not read. */
const valueErrors = ['006', '025', '033', '041', '043', '044', '045', '046', '047', '051', '052', '057', '150', '157', '158'];

suite('writing a profile', () => {
  test('what is written and read again is the same profile, whatever it says', () => {
    fc.assert(
      fc.property(arbitraryProfile, (profile) => {
        const written = writeProfile(profile);
        const result = parse(written);
        const { understood } = result;
        assert.deepEqual(withoutPositions(understood), withoutPositions(profile), written);
        const unreadable = codes(result).filter((code) => valueErrors.includes(code));
        assert.deepEqual(unreadable, []);
        assert.equal(writeProfile(understood!), written, 'a fixed point');
      }),
      { numRuns: 300 },
    );
  });

  test('the order is the one that Windows 11 gives back', () => {
    const order = [
      'RememberCredentials',
      'AlwaysOn',
      'DeviceTunnel',
      'DnsSuffix',
      'TrustedNetworkDetection',
      'DeviceCompliance',
      'DisableAdvancedOptionsEditButton',
      'DisableDisconnectButton',
      'Proxy',
      'Manual',
      'AutoConfigUrl',
      'NativeProfile',
      'Servers',
      'RoutingPolicyType',
      'NativeProtocolType',
      'Authentication',
      'UserMethod',
      'MachineMethod',
      'Eap',
      'CryptographySuite',
      'AuthenticationTransformConstants',
      'CipherTransformConstants',
      'PfsGroup',
      'DHGroup',
      'IntegrityCheckMethod',
      'EncryptionMethod',
      'DisableClassBasedDefaultRoute',
      'Route',
      'Address',
      'PrefixSize',
      'ExclusionRoute',
      'Metric',
      'TrafficFilter',
      'DomainNameInformation',
      'RegisterDNS',
      'NetworkOutageTime',
      'IPv4InterfaceMetric',
      'IPv6InterfaceMetric',
      'UseRasCredentials',
      'DataEncryption',
      'PrivateNetwork',
      'DisableIKEv2Fragmentation',
    ];
    // Everything in the reverse of this order.
    const { understood } = parse(`<VPNProfile>
      <DisableIKEv2Fragmentation>false</DisableIKEv2Fragmentation><PrivateNetwork>true</PrivateNetwork>
      <DataEncryption>Max</DataEncryption><UseRasCredentials>true</UseRasCredentials>
      <IPv6InterfaceMetric>1</IPv6InterfaceMetric><IPv4InterfaceMetric>1</IPv4InterfaceMetric>
      <NetworkOutageTime>0</NetworkOutageTime><RegisterDNS>true</RegisterDNS>
      <DomainNameInformation><DomainName>.</DomainName></DomainNameInformation>
      <TrafficFilter><Claims>x</Claims></TrafficFilter>
      <Route><Metric>1</Metric><ExclusionRoute>false</ExclusionRoute><PrefixSize>8</PrefixSize><Address>10.0.0.0</Address></Route>
      <NativeProfile><DisableClassBasedDefaultRoute>false</DisableClassBasedDefaultRoute>
        <CryptographySuite><EncryptionMethod>AES128</EncryptionMethod><IntegrityCheckMethod>SHA256</IntegrityCheckMethod>
          <DHGroup>Group14</DHGroup><PfsGroup>PFS2048</PfsGroup><CipherTransformConstants>AES128</CipherTransformConstants>
          <AuthenticationTransformConstants>SHA256128</AuthenticationTransformConstants></CryptographySuite>
        <Authentication><Eap><Configuration>${hostConfig(26, `<Config>${mschapv2()}</Config>`)}</Configuration></Eap>
          <MachineMethod>EAP</MachineMethod><UserMethod>EAP</UserMethod></Authentication>
        <NativeProtocolType>IKEv2</NativeProtocolType><RoutingPolicyType>SplitTunnel</RoutingPolicyType>
        <Servers>vpn.example.com</Servers></NativeProfile>
      <Proxy><AutoConfigUrl>http://a/b</AutoConfigUrl><Manual><Server>a:80</Server></Manual></Proxy>
      <DisableDisconnectButton>true</DisableDisconnectButton>
      <DisableAdvancedOptionsEditButton>true</DisableAdvancedOptionsEditButton>
      <DeviceCompliance><Enabled>true</Enabled></DeviceCompliance>
      <TrustedNetworkDetection>a</TrustedNetworkDetection><DnsSuffix>a</DnsSuffix><DeviceTunnel>false</DeviceTunnel>
      <AlwaysOn>true</AlwaysOn><RememberCredentials>true</RememberCredentials>
    </VPNProfile>`);
    const written = writeProfile(understood!);
    const names = [...written.matchAll(/<(\w+)/g)].map(([, name]) => name!).filter((name) => order.includes(name));
    assert.deepEqual([...new Set(names)], order);
  });

  test('booleans are lower-case, keywords as documented', () => {
    const { profile } = parse(
      profileText({
        top: '<AlwaysOn>TRUE</AlwaysOn>',
        protocol: '<NativeProtocolType>Ikev2</NativeProtocolType>',
        authentication: eapAuthentication(hostConfig(26, `<Config>${mschapv2()}</Config>`)).replace('>EAP<', '>Eap<'),
      }),
    );
    const written = writeProfile(profile!);
    for (const element of ['<AlwaysOn>true<', '<NativeProtocolType>IKEv2<', '<UserMethod>EAP<'])
      assert.ok(written.includes(element));
  });

  test('unknown elements come back where they were, with the namespaces they need', () => {
    const text = `<VPNProfile xmlns:i="urn:i" xmlns:unused="urn:u">
      <i:Extra i:a="&quot;">x</i:Extra>
      <Route><Address>10.0.0.0</Address></Route>
      <Route><Address>10.0.0.0</Address><PrefixSize>8</PrefixSize><Comment>R &amp; D<!-- kept --></Comment></Route>
      <NativeProfile><Future><Deep/></Future></NativeProfile>
    </VPNProfile>`;
    const first = parse(text).understood!;
    assert.deepEqual(
      first.unknown.map(({ parent, name, xml }) => [parent, name, xml]),
      [
        ['VPNProfile/NativeProfile', 'Future', '<Future><Deep/></Future>'],
        ['VPNProfile/Route[1]', 'Comment', '<Comment>R &amp; D<!-- kept --></Comment>'],
        ['VPNProfile', 'i:Extra', '<i:Extra xmlns:i="urn:i" i:a="&quot;">x</i:Extra>'],
        ['VPNProfile', 'Route', '<Route><Address>10.0.0.0</Address></Route>'],
      ],
    );
    const second = parse(writeProfile(first)).understood!;
    assert.deepEqual(withoutPositions(second), withoutPositions(first));
  });

  test('an escaped EAP configuration is written as elements', () => {
    const escaped = hostConfig(26, `<Config>${mschapv2()}</Config>`).replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    const { profile } = parse(profileText({ authentication: eapAuthentication(escaped) }));
    const written = writeProfile(profile!);
    assert.ok(written.includes(hostConfig(26, `<Config>${mschapv2()}</Config>`)));
    assert.deepEqual(withoutPositions(parse(written).profile), withoutPositions(profile));
  });

  test('settings without their text are put into words', () => {
    const { profile } = parse(
      profileText({ authentication: eapAuthentication(hostConfig(26, `<Config>${mschapv2(true)}</Config>`)) }),
    );
    const { eapXml: _, ...rest } = profile!.nativeProfile!.authentication!;
    const written = writeProfile({ ...profile!, nativeProfile: { ...profile!.nativeProfile!, authentication: rest } });
    assert.deepEqual(
      withoutPositions(parse(written).profile?.nativeProfile?.authentication?.eap?.value),
      withoutPositions(rest.eap!.value),
    );
  });

  test('what XML cannot hold is refused', () => {
    for (const value of ['a\u0000b', '\ud800', 'a\ufffe']) {
      assert.throws(() => writeProfile({ ...empty, profileName: { value, at } }), RangeError);
    }
  });

  test('markup in values stays text', () => {
    const value = '</ProfileName><LockDown>true</LockDown><ProfileName>&amp; ]]>';
    const again = parse(writeProfile({ ...empty, profileName: { value, at } }));
    assert.equal(again.understood?.profileName?.value, value);
    assert.equal(again.understood?.lockDown, undefined);
    assert.deepEqual(codes(again), ['094']);
  });
});
