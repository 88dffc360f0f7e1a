import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { codes, eapAuthentication, hostConfig, mschapv2, parse, profileText } from '../profile-text.ts';

const split = '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>';
const noClassBased = '<DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>';
const password = eapAuthentication(hostConfig(26, `<Config>${mschapv2()}</Config>`));
const rule =
  '<DomainNameInformation><DomainName>.a.example</DomainName><DnsServers>10.0.0.53</DnsServers></DomainNameInformation>';

/** What single codes of the catalogue do not say: when a check stays silent. */
suite('checks that stay silent', () => {
  const silent = (what: string, text: string): void => {
    test(what, () => assert.deepEqual(codes(parse(text)), []));
  };
  silent('a lockdown profile needs no routing policy', profileText({ top: '<LockDown>true</LockDown>', policy: '' }));
  silent(
    'a remembered password',
    profileText({ top: '<RememberCredentials>true</RememberCredentials>', authentication: password }),
  );
  silent(
    'a rule for all names implies no trusted network',
    profileText({ top: `<AlwaysOn>true</AlwaysOn>${rule.replace('.a.example', '.')}` }),
  );
  silent(
    'an exemption implies no trusted network',
    profileText({ top: `<AlwaysOn>true</AlwaysOn>${rule.replace(/<DnsServers>.*<\/DnsServers>/, '')}` }),
  );
  silent('a profile that does not connect by itself needs no trusted network', profileText({ top: rule }));
  silent(
    'an empty list of trusted networks is one',
    profileText({ top: `<AlwaysOn>true</AlwaysOn><TrustedNetworkDetection/>${rule}` }),
  );
  silent(
    'selectors as routes',
    profileText({ policy: split, more: `${noClassBased}<PlumbIKEv2TSAsRoutes>true</PlumbIKEv2TSAsRoutes>` }),
  );
  silent(
    'SHA-1 as the PRF of an AEAD cipher',
    profileText({
      suite:
        '<CryptographySuite><AuthenticationTransformConstants>GCMAES128</AuthenticationTransformConstants><CipherTransformConstants>GCMAES128</CipherTransformConstants><PfsGroup>ECP256</PfsGroup><DHGroup>Group14</DHGroup><IntegrityCheckMethod>SHA196</IntegrityCheckMethod><EncryptionMethod>AES_GCM_128</EncryptionMethod></CryptographySuite>',
    }),
  );
  silent(
    'false is not true',
    profileText({
      top: '<AlwaysOn>false</AlwaysOn><RememberCredentials>false</RememberCredentials><LockDown>false</LockDown><DeviceTunnel>false</DeviceTunnel><DeviceCompliance><Enabled>false</Enabled></DeviceCompliance>',
      policy: split,
      more: '<DisableClassBasedDefaultRoute>false</DisableClassBasedDefaultRoute>',
    }),
  );
});

suite('checks and unread values', () => {
  const once = (what: string, text: string, code: string): void => {
    test(what, () => assert.deepEqual(codes(parse(text)), [code]));
  };
  once('unread servers are not missing', profileText({ servers: '<Servers>a b</Servers>' }), '052');
  once('an unread policy is not missing', profileText({ policy: '<RoutingPolicyType>x</RoutingPolicyType>' }), '043');
  once(
    'an unread method is not missing',
    profileText({ authentication: '<Authentication><MachineMethod>x</MachineMethod></Authentication>' }),
    '043',
  );
  once('an unread configuration is not missing', profileText({ authentication: eapAuthentication('&lt;a') }), '150');
  once(
    'an unread route is one',
    profileText({ policy: split, more: noClassBased, top: '<Route><Address>x</Address><PrefixSize>8</PrefixSize></Route>' }),
    '045',
  );
  once('an unread condition is one', profileText({ top: '<TrafficFilter><Protocol>x</Protocol></TrafficFilter>' }), '044');
});

test('errors of values do not hide contradictions', () => {
  const text = profileText({ top: '<AlwaysOn>x</AlwaysOn><LockDown>true</LockDown>', policy: split });
  assert.deepEqual(codes(parse(text)), ['041', '070']);
});
