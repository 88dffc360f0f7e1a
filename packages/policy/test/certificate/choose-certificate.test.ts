import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseProfile } from '@aovpn/profile';
import {
  certificatePurposeOf,
  chooseCertificate,
  compileCertificateWish,
  printCertificateChoice,
  type CertificateCandidate,
  type CertificateChoice,
  type CertificatePurpose,
} from '../../src/index.ts';
import { dateText } from '../../src/certificate/date-text.ts';

const now = Date.UTC(2026, 10, 22, 20, 0);
const year = 365 * 86_400_000;
const issuing = 'aa'.repeat(20);
const root = 'bb'.repeat(20);
const clientAuth = '1.3.6.1.5.5.7.3.2';
const serverAuth = '1.3.6.1.5.5.7.3.1';
const anyPurpose = '1.3.6.1.4.1.311.10.12.1';
const conditionalAccess = '1.3.6.1.4.1.311.87';

function candidate(over: Partial<CertificateCandidate> & { readonly name?: string } = {}): CertificateCandidate {
  const { name = 'alice', ...rest } = over;
  return {
    id: Array.from(name, (letter) => letter.charCodeAt(0).toString(16))
      .join('')
      .padEnd(64, '0'),
    source: `file /etc/aovpn/${name}.pem`,
    onToken: false,
    hasKey: true,
    subject: `CN=${name},DC=corp,DC=example`,
    issuer: 'CN=Corp Issuing CA,DC=corp,DC=example',
    commonName: name,
    userPrincipalNames: [`${name}@corp.example`],
    emailAddresses: [],
    dnsNames: [],
    notBefore: now - year,
    notAfter: now + year,
    extendedKeyUsage: [clientAuth],
    digitalSignature: true,
    issuerHashes: [issuing, root],
    issuerSubjects: ['CN=Corp Issuing CA,DC=corp,DC=example', 'CN=Corp Root CA,DC=corp,DC=example'],
    ...rest,
  };
}

const provisioning = 'http://www.microsoft.com/provisioning';

function tlsProperties(filter: string | undefined, source = '<CertificateStore/>'): string {
  const info =
    filter === undefined
      ? ''
      : `<TLSExtensions xmlns="${provisioning}/EapTlsConnectionPropertiesV2"><FilteringInfo xmlns="${provisioning}/EapTlsConnectionPropertiesV3">\n${filter}</FilteringInfo></TLSExtensions>`;
  return `<Eap xmlns="${provisioning}/BaseEapConnectionPropertiesV1"><Type>13</Type><EapType xmlns="${provisioning}/EapTlsConnectionPropertiesV1"><CredentialsSource>${source}</CredentialsSource>${info}</EapType></Eap>`;
}

function around(purpose: Exclude<CertificatePurpose, 'ike'>, tls: string): string {
  if (purpose === 'eap-tls') return tls;
  if (purpose === 'ttls-tls')
    return `<EapTtls xmlns="${provisioning}/EapTtlsConnectionPropertiesV1"><Phase2Authentication>${tls}</Phase2Authentication></EapTtls>`;
  return `<Eap xmlns="${provisioning}/BaseEapConnectionPropertiesV1"><Type>25</Type><EapType xmlns="${provisioning}/MsPeapConnectionPropertiesV1">${tls}</EapType></Eap>`;
}

function profileOf(authentication: string) {
  const text = `<VPNProfile>\n<NativeProfile>\n<Servers>vpn.example</Servers>\n<NativeProtocolType>IKEv2</NativeProtocolType>\n<Authentication>\n${authentication}\n</Authentication></NativeProfile></VPNProfile>`;
  const { profile, diagnostics } = parseProfile(new Uint8Array(Buffer.from(text)));
  assert.ok(profile, JSON.stringify(diagnostics));
  return profile;
}

function choose(
  candidates: readonly CertificateCandidate[],
  filter?: string,
  {
    purpose = 'eap-tls',
    source = '<CertificateStore/>',
    explicit = '',
  }: {
    readonly purpose?: Exclude<CertificatePurpose, 'ike'>;
    readonly source?: string;
    readonly explicit?: string;
  } = {},
): CertificateChoice {
  const type = { 'eap-tls': 13, 'peap-tls': 25, 'ttls-tls': 21 }[purpose];
  const profile = profileOf(
    `<UserMethod>Eap</UserMethod><Eap><Configuration><EapHostConfig xmlns="${provisioning}/EapHostConfig"><EapMethod><Type xmlns="${provisioning}/EapCommon">${type}</Type></EapMethod><Config>\n${around(purpose, tlsProperties(filter, source))}</Config></EapHostConfig></Configuration></Eap>`,
  );
  assert.equal(certificatePurposeOf(profile), purpose);
  return chooseCertificate(
    candidates,
    compileCertificateWish(profile, purpose, explicit ? { id: explicit, why: 'certificate in aovpn.toml' } : undefined),
    now,
  );
}

function result(choice: CertificateChoice): string {
  const { outcome } = choice;
  return outcome.kind === 'chosen'
    ? outcome.candidate.commonName!
    : outcome.kind === 'none'
      ? `none: ${outcome.cause}`
      : outcome.kind;
}

function criterion(choice: CertificateChoice, name: string) {
  return choice.judged[0]!.criteria.find((one) => one.criterion === name);
}

const mapping = (names: Readonly<Record<string, string>>): string =>
  `<EKUMapping>${Object.entries(names)
    .map(([name, oid]) => `<EKUMap><EKUName>${name}</EKUName><EKUOID>${oid}</EKUOID></EKUMap>`)
    .join('')}</EKUMapping>`;
const list = (element: string, enabled: string, ...names: readonly string[]): string =>
  `\n<${element}${enabled}>${names.length === 0 ? '' : `<EKUMapInList>${names.map((name) => `<EKUName>${name}</EKUName>`).join('')}</EKUMapInList>`}</${element}>`;
const on = ' Enabled="true"';

suite('the extended key usage that a filter wants', () => {
  const named = mapping({ vpn: conditionalAccess, mail: '1.3.6.1.5.5.7.3.4' });
  const clientOnly = list('ClientAuthEKUList', on);
  const clientAndVpn = named + list('ClientAuthEKUList', on, 'vpn');
  const anyOnly = list('AnyPurposeEKUList', on);
  const anyAndVpn = named + list('AnyPurposeEKUList', on, 'vpn');
  const allPurpose = '<AllPurposeEnabled>true</AllPurposeEnabled>';
  const cases: readonly (readonly [
    what: string,
    filter: string | undefined,
    usage: readonly string[] | undefined,
    taken: boolean,
  ])[] = [
    ['no filter', undefined, [clientAuth], true],
    ['no filter', undefined, undefined, true],
    ['no filter', undefined, ['2.5.29.37.0'], true],
    ['no filter', undefined, [serverAuth], false],
    ['no filter', undefined, [], false],
    ['client auth', clientOnly, [clientAuth], true],
    ['client auth', clientOnly, [clientAuth, serverAuth], true],
    ['client auth', clientOnly, [serverAuth], false],
    ['client auth', clientOnly, undefined, false],
    ['client auth', clientOnly, [anyPurpose], false],
    ['client auth and one more', clientAndVpn, [clientAuth, conditionalAccess], true],
    ['client auth and one more', clientAndVpn, [clientAuth], false],
    ['client auth and one more', clientAndVpn, [conditionalAccess], false],
    ['client auth and two more', named + list('ClientAuthEKUList', on, 'vpn', 'mail'), [clientAuth, conditionalAccess], false],
    ['any purpose', anyOnly, [anyPurpose], true],
    ['any purpose', anyOnly, [clientAuth], false],
    ['any purpose', anyOnly, undefined, false],
    ['any purpose and one more', anyAndVpn, [anyPurpose, conditionalAccess], true],
    ['any purpose and one more', anyAndVpn, [anyPurpose], false],
    ['all purpose', allPurpose, undefined, true],
    ['all purpose', allPurpose, [clientAuth], false],
    ['all purpose or client auth', allPurpose + clientOnly, undefined, true],
    ['all purpose or client auth', allPurpose + clientOnly, [clientAuth], true],
    ['all purpose or client auth', allPurpose + clientOnly, [serverAuth], false],
    ['client and one more, or any purpose', clientAndVpn + anyOnly, [anyPurpose], true],
    ['a list that is not enabled counts for nothing', named + list('ClientAuthEKUList', '', 'vpn'), [clientAuth], true],
    [
      'a list that is switched off counts for nothing',
      named + list('ClientAuthEKUList', ' Enabled="false"', 'vpn'),
      [clientAuth],
      true,
    ],
    ['a filter by issuer only', `<CAHashList${on}><IssuerHash>${root}</IssuerHash></CAHashList>`, [serverAuth], false],
    ['a filter by issuer only', `<CAHashList${on}><IssuerHash>${root}</IssuerHash></CAHashList>`, [clientAuth], true],
  ];
  for (const [what, filter, usage, taken] of cases) {
    test(`${what}: ${usage?.join(' ') ?? 'none'} ${taken ? 'fits' : 'does not fit'}`, () => {
      const choice = choose([candidate({ extendedKeyUsage: usage })], filter);
      assert.equal(result(choice), taken ? 'alice' : 'none: filter');
      assert.equal(criterion(choice, 'extended key usage')?.met, taken ? 'yes' : 'no');
    });
  }
});

suite('the issuer that a filter wants', () => {
  const hashes = (...wanted: readonly string[]): string =>
    `<CAHashList${on}>${wanted.map((hash) => `<IssuerHash>${hash}</IssuerHash>`).join('')}</CAHashList>`;
  const cases: readonly (readonly [what: string, filter: string, taken: boolean])[] = [
    ['the root', hashes(root), true],
    ['the issuing authority', hashes(issuing), true],
    ['one of two', hashes('cc'.repeat(20), root), true],
    ['another', hashes('cc'.repeat(20)), false],
    ['another, not enabled', hashes('cc'.repeat(20)).replace(on, ''), true],
  ];
  for (const [what, filter, taken] of cases) {
    test(what, () => assert.equal(result(choose([candidate()], filter)), taken ? 'alice' : 'none: filter'));
  }

  test('with the line that wants it and what was found instead', () => {
    const found = criterion(choose([candidate()], hashes('cc'.repeat(20))), 'issuer');
    assert.ok(found);
    assert.equal(found.line, 8);
    assert.match(found.reason, /CAHashList/);
    assert.match(found.reason, /Corp Root CA/);
  });

  test('without any known authority above it, it does not fit', () => {
    assert.equal(result(choose([candidate({ issuerHashes: [], issuerSubjects: [] })], hashes(root))), 'none: filter');
  });
});

suite('what every certificate must be', () => {
  const cases: readonly (readonly [what: string, over: Partial<CertificateCandidate>, outcome: string])[] = [
    ['in its time', {}, 'alice'],
    ['expired', { notAfter: now - 1 }, 'none: expired'],
    ['at the end of its time', { notAfter: now }, 'alice'],
    ['not yet valid', { notBefore: now + 1 }, 'none: not-yet-valid'],
    ['without its key', { hasKey: false }, 'none: no-key'],
    ['for other things than signing', { digitalSignature: false }, 'none: filter'],
    ['without key usage', { digitalSignature: undefined }, 'alice'],
    ['without a user principal name', { userPrincipalNames: [] }, 'alice'],
    ['expired and for a server', { notAfter: now - 1, extendedKeyUsage: [serverAuth] }, 'none: filter'],
  ];
  for (const [what, over, outcome] of cases) test(what, () => assert.equal(result(choose([candidate(over)])), outcome));

  test('a missing user principal name is a warning', () => {
    const choice = choose([candidate({ userPrincipalNames: [], emailAddresses: ['a@corp.example'] })]);
    assert.equal(criterion(choice, 'user name')?.met, 'warning');
  });

  test('an authority above it that has expired is a warning: the server decides, and may know a newer one', () => {
    const above = (...ends: readonly number[]) =>
      choose([candidate({ issuerValidity: ends.map((notAfter, i) => ({ notAfter, isRoot: i === 1 })) })]);
    assert.equal(criterion(above(now, now), 'authorities'), undefined);
    assert.equal(criterion(choose([candidate()]), 'authorities'), undefined, 'nobody knows');
    for (const [choice, windows, reason] of [
      [above(now + 1, now - 1), 863, /^CN=Corp Root CA,.*, the root above it, expired on 20/],
      [above(now - 1, now - 1), 854, /^CN=Corp Issuing CA,.*, an authority above it, expired on 20/],
    ] as const) {
      const found = criterion(choice, 'authorities');
      assert.deepEqual([found?.met, found?.windows, result(choice)], ['warning', windows, 'alice']);
      assert.match(found!.reason, reason);
    }
  });

  test('a smart card means a token, and nothing else', () => {
    const source = '<SmartCard/>';
    assert.equal(result(choose([candidate()], undefined, { source })), 'none: no-token');
    assert.equal(result(choose([candidate({ onToken: true })], undefined, { source })), 'alice');
    assert.equal(result(choose([candidate({ onToken: true })])), 'alice', 'the store has virtual smart cards too');
  });

  test('nothing at all', () => assert.equal(result(choose([])), 'none: no-candidate'));
});

suite('one of several', () => {
  const ask = '<CertificateStore><SimpleCertSelection>false</SimpleCertSelection></CertificateStore>';

  test('a user principal name comes before a long life: the certificate of the machine is not the user', () => {
    const machine = candidate({ name: 'laptop7', userPrincipalNames: [], notAfter: now + 5 * year });
    assert.equal(result(choose([machine, candidate()])), 'alice');
  });

  test('valid for longest, then newest, then by hash', () => {
    assert.equal(result(choose([candidate({ name: 'a' }), candidate({ name: 'b', notAfter: now + 2 * year })])), 'b');
    assert.equal(result(choose([candidate({ name: 'a' }), candidate({ name: 'b', notBefore: now - 1000 })])), 'b');
    assert.equal(result(choose([candidate({ name: 'b' }), candidate({ name: 'a' })])), 'a');
  });

  test('SimpleCertSelection false: nobody picks one unasked', () => {
    const choice = choose([candidate({ name: 'a' }), candidate({ name: 'b' })], undefined, { source: ask });
    assert.equal(choice.outcome.kind, 'ambiguous');
    assert.deepEqual(
      choice.outcome.candidates.map(({ commonName }) => commonName),
      ['a', 'b'],
    );
    assert.match(choice.outcome.why, /SimpleCertSelection is false \(line \d+\)/);
    assert.equal(result(choose([candidate()], undefined, { source: ask })), 'alice', 'one is no question');
    const other = candidate({ name: 'b', notAfter: now - 1 });
    assert.equal(result(choose([candidate(), other], undefined, { source: ask })), 'alice', 'an expired one is no question');
  });

  test('the one that was named wins, and is judged all the same', () => {
    const old = candidate({ name: 'old', notAfter: now - 1 });
    const choice = choose([candidate(), old], undefined, { explicit: old.id });
    assert.equal(result(choice), 'old');
    assert.ok(choice.outcome.kind === 'chosen');
    assert.deepEqual(
      choice.outcome.objections.map(({ criterion: what }) => what),
      ['validity'],
    );
    assert.equal(result(choose([candidate()], undefined, { explicit: 'ff' })), 'none: no-candidate');
    const keyless = candidate({ hasKey: false });
    assert.equal(result(choose([keyless], undefined, { explicit: keyless.id })), 'none: no-key');
  });

  test('inside PEAP and EAP-TTLS the inner configuration decides', () => {
    for (const purpose of ['peap-tls', 'ttls-tls'] as const) {
      const filter = `<CAHashList${on}><IssuerHash>${'cc'.repeat(20)}</IssuerHash></CAHashList>`;
      assert.equal(result(choose([candidate()], filter, { purpose })), 'none: filter');
      assert.equal(result(choose([candidate()], undefined, { purpose })), 'alice');
    }
  });

  test('the order of the candidates changes nothing, and no unsuitable one is ever chosen', () => {
    const some = fc.array(
      fc
        .record({
          name: fc.stringMatching(/^[a-f]{3,6}$/),
          hasKey: fc.boolean(),
          notAfter: fc.constantFrom(now - 1, now + year, now + 2 * year),
          extendedKeyUsage: fc.constantFrom([clientAuth], [serverAuth], undefined),
          userPrincipalNames: fc.constantFrom([], ['a@b']),
        })
        .map(candidate),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(some, (candidates) => {
        const unique = [...new Map(candidates.map((one) => [one.id, one])).values()];
        const choice = choose(unique);
        assert.equal(result(choose(unique.toReversed())), result(choice));
        assert.equal(choice.judged.length, unique.length);
        const { outcome } = choice;
        if (outcome.kind !== 'chosen') return;
        assert.ok(choice.judged.find((one) => one.candidate === outcome.candidate)?.suitable);
      }),
      { numRuns: 100 },
    );
  });
});

suite('the machine certificate of IKE', () => {
  const machine = (certificate: string, one = candidate({ name: 'laptop7', userPrincipalNames: [] })): string => {
    const profile = profileOf(`<MachineMethod>Certificate</MachineMethod>${certificate}`);
    assert.equal(certificatePurposeOf(profile), 'ike');
    return result(chooseCertificate([one], compileCertificateWish(profile, 'ike'), now));
  };
  test('clientAuth without a filter', () => {
    assert.equal(machine(''), 'laptop7');
    assert.equal(machine('', candidate({ extendedKeyUsage: [serverAuth] })), 'none: filter');
  });
  test('by issuer: hash, common name or whole subject', () => {
    const issuer = (text: string): string => machine(`<Certificate><Issuer>${text}</Issuer></Certificate>`);
    assert.equal(issuer(root.toUpperCase()), 'laptop7');
    assert.equal(issuer('Corp Root CA'), 'laptop7');
    assert.equal(issuer('CN=Corp Root CA, DC=corp, DC=example'), 'laptop7');
    assert.equal(issuer('CN=corp issuing ca'), 'laptop7');
    assert.equal(issuer('Root CA'), 'none: filter');
    assert.equal(issuer('cc'.repeat(20)), 'none: filter');
  });
  test('by extended key usage', () => {
    const eku = (text: string, usage: readonly string[]): string =>
      machine(`<Certificate><Eku>${text}</Eku></Certificate>`, candidate({ extendedKeyUsage: usage }));
    assert.equal(eku('1.3.6.1.5.5.8.2.2', ['1.3.6.1.5.5.8.2.2']), 'alice');
    assert.equal(eku('1.3.6.1.5.5.8.2.2', [clientAuth]), 'none: filter');
    assert.equal(eku(`${clientAuth}, 1.2.3`, [clientAuth]), 'none: filter');
  });
  test('a password needs no certificate', () => {
    const profile = profileOf(
      `<UserMethod>Eap</UserMethod><Eap><Configuration><EapHostConfig xmlns="${provisioning}/EapHostConfig"><EapMethod><Type xmlns="${provisioning}/EapCommon">26</Type></EapMethod><Config><Eap xmlns="${provisioning}/BaseEapConnectionPropertiesV1"><Type>26</Type><EapType xmlns="${provisioning}/MsChapV2ConnectionPropertiesV1"/></Eap></Config></EapHostConfig></Configuration></Eap>`,
    );
    assert.equal(certificatePurposeOf(profile), undefined);
  });
});

suite('the choice as text', () => {
  test('the outcome, every candidate, every criterion, and the lines that asked', () => {
    const old = candidate({ name: 'old', notAfter: Date.UTC(2025, 0, 31, 12, 0), extendedKeyUsage: undefined });
    const filter = `<CAHashList${on}><IssuerHash>${root}</IssuerHash></CAHashList>${list('ClientAuthEKUList', on)}`;
    assert.equal(
      printCertificateChoice(choose([old, candidate()], filter, { purpose: 'peap-tls' })),
      [
        'certificate for EAP-TLS inside PEAP: alice@corp.example (file /etc/aovpn/alice.pem) — the only one that fits',
        '',
        'alice@corp.example (file /etc/aovpn/alice.pem): chosen',
        `  SHA-256 ${candidate().id}`,
        '  source              yes      file /etc/aovpn/alice.pem; any source will do',
        '  private key         yes      its private key is there',
        '  validity            yes      valid until 2027-11-22 20:00',
        '  key usage           yes      key usage has digitalSignature',
        '  issuer              yes      below CN=Corp Root CA,DC=corp,DC=example, which CAHashList names [line 8]',
        '  extended key usage  yes      has clientAuth (1.3.6.1.5.5.7.3.2), as ClientAuthEKUList wants [line 9]',
        '  user name           yes      for alice@corp.example',
        '',
        'old@corp.example (file /etc/aovpn/old.pem): does not fit',
        `  SHA-256 ${old.id}`,
        '  source              yes      file /etc/aovpn/old.pem; any source will do',
        '  private key         yes      its private key is there',
        '  validity            no       expired on 2025-01-31 12:00',
        '  key usage           yes      key usage has digitalSignature',
        '  issuer              yes      below CN=Corp Root CA,DC=corp,DC=example, which CAHashList names [line 8]',
        '  extended key usage  no       has no extended key usage ("all purposes"); wanted: clientAuth (1.3.6.1.5.5.7.3.2) (ClientAuthEKUList) [line 9]',
        '  user name           yes      for old@corp.example',
        '',
      ].join('\n'),
    );
  });

  test('nothing in a certificate steers the terminal', () => {
    const text = printCertificateChoice(choose([candidate({ userPrincipalNames: ['a\u001b[2J\n\u202Eb@c'] })]));
    assert.doesNotMatch(text, /\u001b|\u202E/);
    assert.match(text, /a\?\[2J\?\?b@c/);
  });

  test('dates are those of the calendar', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_000_000_000_000, max: 200_000_000_000_000 }), (time) => {
        assert.equal(dateText(time), new Date(time).toISOString().slice(0, 16).replace('T', ' '));
      }),
    );
  });
});
