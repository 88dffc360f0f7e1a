import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { withoutPositions, writeEapHostConfig } from '../../src/index.ts';
import { arbitraryEapSettings } from '../arbitrary-profile.ts';
import {
  codes,
  eapProfile,
  filter,
  hostConfig,
  methodProfile,
  mschapv2,
  parse,
  peap,
  root,
  tls,
  validation,
} from '../profile-text.ts';

function settings(text: string) {
  return parse(text).understood?.nativeProfile?.authentication?.eap?.value;
}

suite('EAP configuration', () => {
  test('settings written and read again are the same', () => {
    fc.assert(
      fc.property(arbitraryEapSettings, (eap) => {
        assert.deepEqual(withoutPositions(settings(eapProfile(writeEapHostConfig(eap)))), withoutPositions(eap));
      }),
    );
  });

  test('literal, escaped and CDATA say the same', () => {
    const literal = hostConfig(
      25,
      `<Config>${peap(tls(`${validation}${filter('<AllPurposeEnabled>true</AllPurposeEnabled>')}`))}</Config>`,
    );
    const escaped = literal.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    const ways = [
      literal,
      escaped,
      `<![CDATA[${literal}]]>`,
      `\n<!-- x -->${escaped}`,
      `<![CDATA[<?xml version="1.0"?>\n${literal}]]>`,
    ];
    for (const way of ways) {
      const { profile } = parse(eapProfile(way));
      assert.deepEqual(profile?.nativeProfile?.authentication?.eap?.value, settings(eapProfile(literal)));
      assert.equal(profile?.nativeProfile?.authentication?.eapXml, literal);
    }
  });

  test('EAP-TLS with everything', () => {
    const found = settings(
      methodProfile(
        13,
        tls(
          `<CredentialsSource><CertificateStore><SimpleCertSelection>false</SimpleCertSelection></CertificateStore></CredentialsSource>${validation}` +
            '<DifferentUsername>true</DifferentUsername><PerformServerValidation>true</PerformServerValidation><AcceptServerName>true</AcceptServerName>' +
            filter(
              `<CAHashList Enabled="true"><IssuerHash>${root.toUpperCase()} </IssuerHash></CAHashList>` +
                '<EKUMapping><EKUMap><EKUName>VPN</EKUName><EKUOID>1.2.3</EKUOID></EKUMap></EKUMapping>' +
                '<ClientAuthEKUList Enabled="true"><EKUMapInList><EKUName>VPN</EKUName></EKUMapInList></ClientAuthEKUList>' +
                '<AnyPurposeEKUList Enabled="true"><EKUMapInList><EKUName>VPN</EKUName></EKUMapInList></AnyPurposeEKUList>',
            ),
        ),
      ),
    );
    assert.deepEqual(found, {
      method: 'tls',
      credentialsSource: 'certificate-store',
      simpleCertSelection: false,
      differentUsername: true,
      serverValidation: {
        serverNames: ['radius.example.com'],
        trustedRootCa: [root],
        disableUserPrompt: true,
        performServerValidation: true,
        acceptServerName: true,
      },
      filter: {
        allPurposeEnabled: false,
        caHashList: { enabled: true, issuerHashes: [root] },
        ekuMapping: [{ name: 'VPN', oid: '1.2.3' }],
        clientAuthEkuList: { enabled: true, names: ['VPN'] },
        anyPurposeEkuList: { enabled: true, names: ['VPN'] },
      },
    });
  });

  test('what is absent has the default of the schema', () => {
    assert.deepEqual(settings(methodProfile(13, tls(''))), {
      method: 'tls',
      credentialsSource: 'certificate-store',
      simpleCertSelection: true,
      differentUsername: false,
      serverValidation: { serverNames: [], trustedRootCa: [], disableUserPrompt: false },
    });
    assert.deepEqual(settings(methodProfile(25, peap(mschapv2(), '', ''))), {
      method: 'peap',
      serverValidation: { serverNames: [], trustedRootCa: [], disableUserPrompt: false },
      fastReconnect: true,
      innerEapOptional: false,
      enableQuarantineChecks: false,
      requireCryptoBinding: false,
      inner: { method: 'mschapv2', useWinLogonCredentials: false },
    });
  });

  test('server names: separators, quotes, regular expressions', () => {
    const names = (written: string): unknown => {
      const found = settings(methodProfile(13, tls(validation.replace('radius.example.com', written))));
      return found?.method === 'tls' ? found.serverValidation.serverNames : undefined;
    };
    assert.deepEqual(names('a.x;b.x'), ['a.x', 'b.x']);
    assert.deepEqual(names(' a.x ; b.x ;'), ['a.x', 'b.x']);
    assert.deepEqual(names('a.x, b.x'), ['a.x', 'b.x']);
    assert.deepEqual(names('"a.x;b.x"'), ['a.x', 'b.x']);
    assert.deepEqual(names('"a.x";"b.x"'), ['a.x', 'b.x']);
    assert.deepEqual(names('nps\\d{1,2}\\.x'), ['nps\\d{1,2}\\.x'], 'a comma of a regular expression separates nothing');
    assert.deepEqual(names('   '), []);
  });

  test('an unsupported method is told by its number', () => {
    for (const type of [4, 55, 254]) {
      assert.deepEqual(
        settings(methodProfile(type, '<Eap xmlns="http://www.microsoft.com/provisioning/BaseEapConnectionPropertiesV1"/>')),
        {
          method: 'unsupported',
          type,
        },
      );
    }
    const nested = settings(methodProfile(25, peap(peap())));
    assert.ok(nested?.method === 'peap' && nested.inner?.method === 'unsupported');
  });

  test('a wrong namespace is told once, however many elements are in it', () => {
    const text = methodProfile(13, tls().replaceAll('EapTlsConnectionPropertiesV1', 'EapTlsConnectionPropertiesV9'));
    assert.deepEqual(codes(parse(text)), ['153']);
  });

  test('places inside of escaped text are places of the file', () => {
    const escaped = hostConfig(13, '\n<Config>\n<Eap/></Config>').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
    const { diagnostics } = parse(eapProfile(escaped));
    const found = diagnostics.find(({ path }) => path.endsWith('/Config/Eap'));
    assert.deepEqual(found?.at, { line: 3, column: 1 });
  });

  test('what else stands in Configuration is kept', () => {
    const { profile } = parse(eapProfile(`${hostConfig(26, `<Config>${mschapv2()}</Config>`)}<Other/>`));
    assert.deepEqual(
      profile?.unknown.map(({ parent, xml }) => [parent, xml]),
      [['VPNProfile/NativeProfile/Authentication/Eap/Configuration', '<Other/>']],
    );
  });
});
