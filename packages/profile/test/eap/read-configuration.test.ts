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
  someFilter,
  tls,
  ttls,
  validation,
} from '../profile-text.ts';

function located(text: string) {
  return parse(text).understood?.nativeProfile?.authentication?.eap?.value;
}

function settings(text: string) {
  return withoutPositions(located(text));
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
      assert.deepEqual(withoutPositions(profile?.nativeProfile?.authentication?.eap?.value), settings(eapProfile(literal)));
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

  test('a name that is not understood stays in the list: leaving it out could come to mean any name', () => {
    const found = settings(methodProfile(13, tls(validation.replace('radius.example.com', '(?=x);*'))));
    assert.ok(found?.method === 'tls');
    assert.deepEqual(found.serverValidation.serverNames, ['(?=x)', '*']);
  });

  test('the column of a regular expression that is not understood is that of the mistake', () => {
    const text = methodProfile(13, tls(validation.replace('radius.example.com', 'a.x; nps[.x') + someFilter));
    const found = parse(text).diagnostics.find(({ code }) => code === 'AOV-PROFILE-181');
    const line = text.split('\n')[found!.at.line - 1]!;
    assert.equal(line.slice(found!.at.column - 1).slice(0, 3), '[.x');
  });

  test('places of what the profile wants of a certificate', () => {
    const text = methodProfile(
      13,
      tls(
        `${validation}\n${filter(
          `\n<CAHashList Enabled="true"><IssuerHash>${root}</IssuerHash></CAHashList>\n<ClientAuthEKUList Enabled="true"/>`,
        )}`,
      ),
    );
    const found = located(text);
    assert.ok(found?.method === 'tls');
    const lineOf = (part: string): number => text.slice(0, text.indexOf(part)).split('\n').length;
    assert.equal(found.filter?.at?.line, lineOf('<FilteringInfo'));
    assert.equal(found.filter?.caHashList?.at?.line, lineOf('<CAHashList'));
    assert.equal(found.filter?.clientAuthEkuList?.at?.line, lineOf('<ClientAuthEKUList'));
    assert.equal(found.serverValidation.at?.line, lineOf('<ServerValidation'));
  });

  test('EAP-TTLS with its own names for things', () => {
    const found = settings(
      ttls('<MSCHAPv2Authentication><UseWinlogonCredentials>true</UseWinlogonCredentials></MSCHAPv2Authentication>'),
    );
    assert.deepEqual(found, {
      method: 'ttls',
      serverValidation: { serverNames: ['radius.example.com'], trustedRootCa: [root], disableUserPrompt: true },
      phase2: { kind: 'mschapv2', useWinLogonCredentials: true },
      anonymousIdentity: 'guest',
    });
    for (const [element, kind] of [
      ['PAPAuthentication', 'pap'],
      ['CHAPAuthentication', 'chap'],
      ['MSCHAPAuthentication', 'mschap'],
    ] as const) {
      const read = settings(ttls(`<${element}/>`));
      assert.deepEqual(read?.method === 'ttls' && read.phase2, { kind });
    }
  });

  test('EAP-TTLS hides the user name unless told otherwise', () => {
    const identity = (phase1: string): unknown => {
      const found = settings(ttls('<PAPAuthentication/>', phase1));
      return found?.method === 'ttls' ? found.anonymousIdentity : 'unread';
    };
    assert.equal(identity(''), '');
    assert.equal(identity('<Phase1Identity/>'), '');
    assert.equal(identity('<Phase1Identity><AnonymousIdentity>a</AnonymousIdentity></Phase1Identity>'), 'a');
    assert.equal(
      identity(
        '<Phase1Identity><IdentityPrivacy>false</IdentityPrivacy><AnonymousIdentity>a</AnonymousIdentity></Phase1Identity>',
      ),
      undefined,
    );
  });

  test('EAP inside of EAP-TTLS, as Eap and as EapHostConfig', () => {
    const inner = (text: string): unknown => {
      const found = settings(ttls(text));
      return found?.method === 'ttls' && found.phase2.kind === 'eap' ? found.phase2.inner : undefined;
    };
    const wanted = { method: 'mschapv2', useWinLogonCredentials: false };
    assert.deepEqual(inner(mschapv2()), wanted);
    assert.deepEqual(inner(hostConfig(26, `<Config>${mschapv2()}</Config>`)), wanted);
    assert.deepEqual(inner(hostConfig(6, '<Config/>')), { method: 'gtc' });
    assert.deepEqual(inner(peap()), { method: 'unsupported', type: 25 });
    assert.ok(codes(parse(ttls(hostConfig(13, `<Config>${mschapv2()}</Config>`)))).includes('154'));
  });

  test('EAP-GTC is read inside of a tunnel only, and only behind a server that is checked', () => {
    const gtc = '<Eap xmlns="http://www.microsoft.com/provisioning/BaseEapConnectionPropertiesV1"><Type>6</Type></Eap>';
    const more = '<RequireCryptoBinding>true</RequireCryptoBinding>';
    const inPeap = settings(methodProfile(25, peap(gtc)));
    assert.deepEqual(inPeap?.method === 'peap' && inPeap.inner, { method: 'gtc' });
    assert.deepEqual(codes(parse(methodProfile(6, gtc))), ['155']);
    const off = `${more}<PeapExtensions><PerformServerValidation>false</PerformServerValidation></PeapExtensions>`;
    assert.deepEqual(codes(parse(methodProfile(25, peap(gtc, off)))).toSorted(), ['160', '185']);
    assert.deepEqual(codes(parse(methodProfile(25, peap(mschapv2(), off)))), ['160']);
  });

  test('a vendor has methods of its own', () => {
    const text = eapProfile(
      hostConfig(26, `<Config>${mschapv2()}</Config>`).replace(
        '</EapMethod>',
        '<VendorId xmlns="http://www.microsoft.com/provisioning/EapCommon">9</VendorId></EapMethod>',
      ),
    );
    assert.deepEqual(codes(parse(text)), ['155']);
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
