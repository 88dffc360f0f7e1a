import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { profileElements } from '../src/index.ts';
import { elementsWithoutEffect } from '../src/schema.ts';
import { knownPlaces } from '../src/compiled-schema.ts';

suite('the schema', () => {
  test('has every element of the VPNv2 documentation', () => {
    const paths = new Set([...profileElements.map(({ path }) => path), ...elementsWithoutEffect.keys()]);
    const documented = `
      ProfileName EdpModeId RememberCredentials AlwaysOn AlwaysOnActive DnsSuffix TrustedNetworkDetection LockDown DeviceTunnel
      RegisterDNS ByPassForLocal RequireVpnClientAppUI DataEncryption DisableAdvancedOptionsEditButton DisableDisconnectButton
      DisableIKEv2Fragmentation IPv4InterfaceMetric IPv6InterfaceMetric NetworkOutageTime UseRasCredentials PrivateNetwork APNBinding
      Proxy/Manual/Server Proxy/AutoConfigUrl AppTrigger/App/Id AppTrigger/App/Type
      DomainNameInformation/DomainName DomainNameInformation/DomainNameType DomainNameInformation/DnsServers
      DomainNameInformation/WebProxyServers DomainNameInformation/AutoTrigger DomainNameInformation/Persistent
      TrafficFilter/App/Id TrafficFilter/App/Type TrafficFilter/Claims TrafficFilter/Protocol TrafficFilter/LocalPortRanges
      TrafficFilter/RemotePortRanges TrafficFilter/LocalAddressRanges TrafficFilter/RemoteAddressRanges
      TrafficFilter/RoutingPolicyType TrafficFilter/Direction
      Route/Address Route/PrefixSize Route/Metric Route/ExclusionRoute
      NativeProfile/Servers NativeProfile/RoutingPolicyType NativeProfile/NativeProtocolType NativeProfile/L2tpPsk
      NativeProfile/ProtocolList/NativeProtocol/Type NativeProfile/ProtocolList/RetryTimeInHours
      NativeProfile/DisableClassBasedDefaultRoute NativeProfile/PlumbIKEv2TSAsRoutes
      NativeProfile/CryptographySuite/EncryptionMethod NativeProfile/CryptographySuite/IntegrityCheckMethod
      NativeProfile/CryptographySuite/DHGroup NativeProfile/CryptographySuite/CipherTransformConstants
      NativeProfile/CryptographySuite/AuthenticationTransformConstants NativeProfile/CryptographySuite/PfsGroup
      NativeProfile/Authentication/UserMethod NativeProfile/Authentication/MachineMethod
      NativeProfile/Authentication/Eap/Configuration NativeProfile/Authentication/Eap/Type
      NativeProfile/Authentication/Certificate/Issuer NativeProfile/Authentication/Certificate/Eku
      PluginProfile/ServerUrlList PluginProfile/PluginPackageFamilyName PluginProfile/CustomConfiguration PluginProfile/CustomStoreUrl
      DeviceCompliance/Enabled DeviceCompliance/Sso/Enabled DeviceCompliance/Sso/IssuerHash DeviceCompliance/Sso/Eku`;
    const expected = documented
      .trim()
      .split(/\s+/)
      .map((path) => `VPNProfile/${path}`);
    assert.deepEqual([...paths].toSorted(), expected.toSorted());
  });

  test('knows where a name belongs', () => {
    assert.deepEqual(knownPlaces.get('DisableClassBasedDefaultRoute'), ['VPNProfile/NativeProfile']);
    assert.deepEqual(knownPlaces.get('RoutingPolicyType'), ['VPNProfile/NativeProfile', 'VPNProfile/TrafficFilter']);
    assert.equal(knownPlaces.get('constructor'), undefined);
  });
});
