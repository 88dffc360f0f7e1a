import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decodeUtf8, encodeUtf8, formatAddress } from '@aovpn/bytes';
import type { EapPeapSettings, EapSettings, EapTtlsSettings, Profile } from '@aovpn/profile';
import { compileIkeConfig, type CompiledIkeConfig } from '../src/compile-ike-config.ts';
import type { CredentialFacts, SharedSecrets } from '../src/credential-facts.ts';
import { compileProposals } from '../src/compile-proposals.ts';
import { defaultConnectionSettings, type ConnectionSettings } from '../src/connection-settings.ts';
import { problem } from '../src/problem-catalogue.ts';
import { eapProfile, on, profile, suiteOf } from './profile-sample.ts';

const certificate: NonNullable<CredentialFacts['certificate']> = {
  chain: [Uint8Array.of(1), Uint8Array.of(2)],
  schemes: ['rsa-pss-sha256'],
  subject: Uint8Array.of(0x30, 0),
  commonName: 'Jo Doe',
  alternativeNames: [
    { kind: 'ip', value: '192.0.2.7' },
    { kind: 'dns', value: 'laptop.example' },
    { kind: 'upn', value: 'jo@corp.example' },
  ],
};
const facts: CredentialFacts = { certificate, hasPassword: true, gatewayAuthorities: [Uint8Array.of(9)] };
const validation = { serverNames: ['radius.example'], trustedRootCa: ['ab'], disableUserPrompt: true };
const tls = {
  method: 'tls',
  credentialsSource: 'certificate-store',
  simpleCertSelection: true,
  differentUsername: false,
  serverValidation: validation,
} as const;

const unchecked = { ...validation, performServerValidation: false };

function peapAround(inner?: EapPeapSettings['inner'], changes: Partial<EapPeapSettings> = {}): EapPeapSettings {
  return {
    method: 'peap',
    serverValidation: validation,
    fastReconnect: false,
    innerEapOptional: false,
    enableQuarantineChecks: false,
    requireCryptoBinding: true,
    ...(inner && { inner }),
    ...changes,
  };
}

function ttlsAround(
  phase2: EapTtlsSettings['phase2'],
  serverValidation: EapTtlsSettings['serverValidation'] = validation,
  anonymousIdentity?: string,
): EapTtlsSettings {
  return { method: 'ttls', serverValidation, phase2, ...(anonymousIdentity !== undefined && { anonymousIdentity }) };
}

function peerOf(...args: Parameters<typeof compiled>) {
  const { config, authentication } = compiled(...args);
  assert.ok(config.auth.kind === 'eap');
  return { authentication, peer: config.auth.peer };
}

function compiled(
  from: Profile,
  settings: Partial<ConnectionSettings> = {},
  credentials: CredentialFacts = facts,
): CompiledIkeConfig {
  const result = compileIkeConfig(from, { ...defaultConnectionSettings, ...settings }, credentials);
  assert.ok(!('problem' in result), JSON.stringify(result));
  return result;
}

function problemOf(from: Profile, settings: Partial<ConnectionSettings> = {}, credentials: CredentialFacts = facts) {
  const result = compileIkeConfig(from, { ...defaultConnectionSettings, ...settings }, credentials);
  assert.ok('problem' in result, 'a problem was expected');
  return result.problem;
}

// RFC 7296 §3.6
test('certificates by hash and URL, where the settings say so', () => {
  const plain = compiled(profile()).config;
  assert.equal(plain.fetchesCertificates, false);
  assert.ok(plain.auth.kind === 'certificate' && plain.auth.certificateUrl === undefined);
  const url = 'http://pki.example/laptop.der';
  const { config } = compiled(profile(), { certificateUrls: ['http://pki.example/'], certificateUrl: url });
  assert.equal(config.fetchesCertificates, true);
  assert.ok(config.auth.kind === 'certificate');
  assert.equal(config.auth.certificateUrl, url);
});

suite('CryptographySuite', () => {
  test("Hicks' enhanced suite: GCM-128, SHA-256 as PRF, group 14, PFS on P-256", () => {
    const proposals = compileProposals(
      suiteOf({
        encryptionMethod: 'AES_GCM_128',
        integrityCheckMethod: 'SHA256',
        dhGroup: 'Group14',
        cipherTransformConstants: 'GCMAES128',
        authenticationTransformConstants: 'GCMAES128',
        pfsGroup: 'ECP256',
      }),
      { allowWeak: false, postQuantum: 'off' },
    );
    assert.deepEqual(proposals, {
      ike: [{ encr: [{ id: 20, keyBits: 128 }], integ: [], prf: [5], ke: [14] }],
      child: [{ encr: [{ id: 20, keyBits: 128 }], integ: [], ke: [19] }],
      smallBlocks: false,
    });
  });

  test("Microsoft's standard suite: AES-128-CBC with SHA-256 everywhere", () => {
    const proposals = compileProposals(
      suiteOf({
        encryptionMethod: 'AES128',
        integrityCheckMethod: 'SHA256',
        dhGroup: 'Group14',
        cipherTransformConstants: 'AES128',
        authenticationTransformConstants: 'SHA256128',
        pfsGroup: 'PFS2048',
      }),
      { allowWeak: false, postQuantum: 'off' },
    );
    assert.deepEqual(proposals, {
      ike: [{ encr: [{ id: 12, keyBits: 128 }], integ: [12], prf: [5], ke: [14] }],
      child: [{ encr: [{ id: 12, keyBits: 128 }], integ: [12], ke: [14] }],
      smallBlocks: false,
    });
  });

  test('PFSMM reuses the IKE group, None means no PFS', () => {
    const pfs = (word: 'PFSMM' | 'None') => {
      const proposals = compileProposals(suiteOf({ pfsGroup: word, cipherTransformConstants: 'GCMAES256' }), {
        allowWeak: false,
        postQuantum: 'off',
      });
      assert.ok('child' in proposals);
      return proposals.child.map(({ ke }) => ke);
    };
    assert.deepEqual(pfs('PFSMM'), ['ike']);
    assert.deepEqual(pfs('None'), [[]]);
  });

  const weak = [
    { dhGroup: 'Group2' },
    { dhGroup: 'Group24' },
    { pfsGroup: 'PFS24' },
    { encryptionMethod: 'DES3' },
    { integrityCheckMethod: 'SHA196', encryptionMethod: 'AES256' },
    { authenticationTransformConstants: 'SHA196', cipherTransformConstants: 'AES256' },
    { pfsGroup: 'PFS2' },
    { cipherTransformConstants: 'DES3' },
  ] as const;
  for (const words of weak) {
    test(`${JSON.stringify(words)} needs allow-weak and names the line`, () => {
      const refused = compileProposals(suiteOf(words), { allowWeak: false, postQuantum: 'off' });
      assert.ok('problem' in refused);
      assert.equal(refused.problem.code, 'AOV-SUPERVISOR-320');
      assert.match(refused.problem.message, /line 20/);
      assert.ok(!('problem' in compileProposals(suiteOf(words), { allowWeak: true, postQuantum: 'off' })));
    });
  }

  const broken = [
    { dhGroup: 'Group1' },
    { dhGroup: 'None' },
    { encryptionMethod: 'DES' },
    { integrityCheckMethod: 'MD5' },
    { authenticationTransformConstants: 'MD596' },
    { cipherTransformConstants: 'DES' },
    { pfsGroup: 'PFS1' },
  ] as const;
  for (const words of broken) {
    test(`${JSON.stringify(words)} is never offered, not even with allow-weak`, () => {
      const refused = compileProposals(suiteOf(words), { allowWeak: true, postQuantum: 'off' });
      assert.ok('problem' in refused);
      assert.equal(refused.problem.code, 'AOV-SUPERVISOR-321');
    });
  }

  test('SHA-1 as the PRF of an AEAD cipher is not weak', () => {
    const proposals = compileProposals(suiteOf({ encryptionMethod: 'AES_GCM_256', integrityCheckMethod: 'SHA196' }), {
      allowWeak: false,
      postQuantum: 'off',
    });
    assert.ok('ike' in proposals);
    assert.deepEqual(
      proposals.ike.map(({ prf, integ }) => [prf, integ]),
      [[[2], []]],
    );
  });

  test('a GCM cipher with another authentication is a contradiction', () => {
    for (const [cipherTransformConstants, authenticationTransformConstants] of [
      ['GCMAES128', 'SHA256128'],
      ['GCMAES128', 'GCMAES256'],
      ['AES128', 'GCMAES128'],
    ] as const) {
      const refused = compileProposals(suiteOf({ cipherTransformConstants, authenticationTransformConstants }), {
        allowWeak: false,
        postQuantum: 'off',
      });
      assert.ok('problem' in refused);
      assert.equal(refused.problem.code, 'AOV-SUPERVISOR-322');
    }
  });

  test('without a suite nothing weak is offered, AEAD and other ciphers never mix, and PFS is optional', () => {
    const proposals = compileProposals(undefined, { allowWeak: false, postQuantum: 'off' });
    assert.ok('ike' in proposals);
    for (const { encr, integ, ke } of [...proposals.ike, ...proposals.child]) {
      const aead = encr.map(({ id }) => id === 20 || id === 28);
      assert.equal(new Set(aead).size, 1);
      assert.equal(integ.length === 0, aead[0]);
      assert.ok(!encr.some(({ id }) => id === 3) && !integ.includes(2) && !ke.includes(2 as never));
    }
    assert.deepEqual(new Set(proposals.child.map(({ ke }) => ke.length > 0)), new Set([true, false]));
  });

  test('without a suite allow-weak adds what an RRAS at its defaults wants, last', () => {
    const proposals = compileProposals(undefined, { allowWeak: true, postQuantum: 'off' });
    assert.ok('ike' in proposals);
    assert.deepEqual(proposals.ike.at(-1)?.prf, [2]);
    assert.ok(proposals.ike.at(-1)?.ke.includes(2));
    assert.ok(proposals.smallBlocks);
  });
});

suite('post-quantum', () => {
  const of = (
    words: Parameters<typeof suiteOf>[0] | undefined,
    postQuantum: ConnectionSettings['postQuantum'],
    allowWeak = false,
  ) => {
    const proposals = compileProposals(words && suiteOf(words), { allowWeak, postQuantum });
    assert.ok('ike' in proposals);
    return proposals;
  };
  const hybrid = (configs: readonly { readonly additionalKe?: readonly (readonly number[])[] }[]) =>
    configs.map(({ additionalKe }) => additionalKe?.flat().join() ?? '');

  test('offered first, with the same offer behind it', () => {
    const [without, offered] = [of(undefined, 'off'), of(undefined, 'offer')];
    assert.deepEqual(hybrid(offered.ike), ['36', '', '']);
    assert.deepEqual(offered.ike.slice(1), without.ike);
    assert.deepEqual(offered.child.slice(1), without.child);
    assert.deepEqual(hybrid(offered.child), ['36', '', '', '', '']);
  });

  test('a CryptographySuite is offered as it is written, unless more is required', () => {
    const words = { encryptionMethod: 'AES_GCM_256', dhGroup: 'ECP384', pfsGroup: 'PFSMM' } as const;
    assert.deepEqual(hybrid(of(words, 'offer').ike), ['']);
    assert.deepEqual(hybrid(of(words, 'require').ike), ['36']);
    assert.ok(hybrid(of(words, 'require').child).every((list) => list === '36'));
    assert.deepEqual(hybrid(of({ ...words, pfsGroup: 'None' }, 'require').child).join(''), '');
  });

  test('required: nothing without it, not even for an RRAS at its defaults', () => {
    assert.deepEqual(hybrid(of(undefined, 'require', true).ike), ['36', '36']);
  });
});

suite('identity and credentials', () => {
  test('a machine certificate is known by its subject', () => {
    const { config, authentication } = compiled(profile());
    assert.equal(authentication, 'certificate');
    assert.ok(config.auth.kind === 'certificate');
    assert.deepEqual(config.auth.identity, { type: 9, data: certificate.subject });
    assert.deepEqual(config.certificateAuthorities, [Uint8Array.of(9)]);
    assert.deepEqual(config.gatewayNames, ['vpn.example']);
  });

  test('a gateway is compared by the name that DNS and certificates have', () => {
    const { config } = compiled({
      ...profile(),
      nativeProfile: {
        ...profile().nativeProfile!,
        servers: { value: [{ host: 'vpn.bücher.example' }], at: { line: 1, column: 1 } },
      },
      internationalNames: [{ written: 'vpn.bücher.example', ascii: 'vpn.xn--bcher-kva.example' }],
    });
    assert.deepEqual(config.gatewayNames, ['vpn.xn--bcher-kva.example']);
  });

  test('an empty subject gives way to the first name, an address never', () => {
    const { subject: _, ...nameless } = certificate;
    const { config } = compiled(profile(), {}, { ...facts, certificate: nameless });
    assert.ok(config.auth.kind === 'certificate');
    assert.equal(config.auth.identity.type, 2);
    assert.equal(decodeUtf8(config.auth.identity.data), 'laptop.example');
  });

  test('the settings may choose any name of the certificate, and no other', () => {
    const { config } = compiled(profile(), { identity: 'JO@corp.example' });
    assert.ok(config.auth.kind === 'certificate');
    assert.equal(config.auth.identity.type, 3);
    assert.equal(problemOf(profile(), { identity: 'boss@corp.example' }).code, 'AOV-SUPERVISOR-343');
  });

  test('a user of EAP-MSCHAPv2 shows the gateway an address only', () => {
    const { config, authentication } = compiled(eapProfile({ method: 'mschapv2', useWinLogonCredentials: false }), {
      userName: 'CORP\\jo',
    });
    assert.equal(authentication, 'mschapv2');
    assert.deepEqual(config.auth, {
      kind: 'eap',
      peer: { identity: 'CORP\\jo', method: { kind: 'mschapv2', userName: 'CORP\\jo' } },
    });
  });

  test('EAP-TLS takes the user principal name, and trust from the EAP settings', () => {
    const { config } = compiled(eapProfile(tls));
    assert.deepEqual(config.auth, {
      kind: 'eap',
      peer: {
        identity: 'jo@corp.example',
        method: { kind: 'tls', trust: { validate: true, serverNames: ['radius.example'], trustedRoots: ['ab'] } },
      },
    });
  });

  test('the RADIUS server is left unchecked only when the profile says so', () => {
    const trust = (changes: object) => {
      const { config } = compiled(eapProfile({ ...tls, serverValidation: { ...validation, ...changes } }));
      assert.ok(config.auth.kind === 'eap' && config.auth.peer.method.kind === 'tls');
      return config.auth.peer.method.trust;
    };
    assert.equal(trust({ performServerValidation: true }).validate, true);
    assert.equal(trust({ performServerValidation: false }).validate, false);
    assert.deepEqual(trust({ acceptServerName: false }).serverNames, []);
  });

  test('PEAP: trust outside and inside, cryptobinding, fast reconnect, the identity of the certificate', () => {
    const inside = { ...validation, serverNames: ['inner.example'], trustedRootCa: ['cd'] };
    const from = eapProfile(peapAround({ ...tls, serverValidation: inside }, { fastReconnect: true }));
    assert.deepEqual(peerOf(from), {
      authentication: 'peap-tls',
      peer: {
        identity: 'jo@corp.example',
        method: {
          kind: 'peap',
          trust: { validate: true, serverNames: ['radius.example'], trustedRoots: ['ab'] },
          requireCryptoBinding: true,
          fastReconnect: true,
          inner: {
            identity: 'jo@corp.example',
            method: { kind: 'tls', trust: { validate: true, serverNames: ['inner.example'], trustedRoots: ['cd'] } },
          },
        },
      },
    });
  });

  test('PEAP with a password needs no certificate, and takes the user name of the settings', () => {
    const { certificate: _, ...without } = facts;
    const from = eapProfile(peapAround({ method: 'mschapv2', useWinLogonCredentials: false }));
    const { peer, authentication } = peerOf(from, { userName: 'CORP\\jo' }, without);
    assert.equal(authentication, 'peap-mschapv2');
    assert.ok(peer.method.kind === 'peap');
    assert.deepEqual(peer.method.inner, { identity: 'CORP\\jo', method: { kind: 'mschapv2', userName: 'CORP\\jo' } });
  });

  test('identity privacy: what goes outside is not the user', () => {
    const outer = (anonymousUserName: string | undefined, userName: string): string => {
      const inner = { method: 'mschapv2', useWinLogonCredentials: false } as const;
      const from = eapProfile(peapAround(inner, anonymousUserName === undefined ? {} : { anonymousUserName }));
      const { peer } = peerOf(from, { userName });
      assert.ok(peer.method.kind === 'peap');
      assert.equal(peer.method.inner.identity, userName, 'inside it is');
      return peer.identity;
    };
    assert.equal(outer(undefined, 'jo@corp.example'), 'jo@corp.example');
    assert.equal(outer('guest', 'jo@corp.example'), 'guest@corp.example');
    assert.equal(outer('', 'jo@corp.example'), '@corp.example');
    assert.equal(outer('guest@other.example', 'jo@corp.example'), 'guest@other.example');
    assert.equal(outer('guest', 'CORP\\jo'), 'guest');
    assert.equal(outer('', 'CORP\\jo'), 'anonymous');
    assert.equal(outer('', 'jo'), 'anonymous');
  });

  test('EAP-TTLS with everything that fits inside', () => {
    const userName = 'jo@corp.example';
    for (const kind of ['pap', 'chap', 'mschap'] as const) {
      const { peer, authentication } = peerOf(eapProfile(ttlsAround({ kind }, validation, '')), { userName });
      assert.equal(authentication, `ttls-${kind}`);
      assert.deepEqual(peer, {
        identity: '@corp.example',
        method: {
          kind: 'ttls',
          trust: { validate: true, serverNames: ['radius.example'], trustedRoots: ['ab'] },
          inner: { kind, userName },
        },
      });
    }
    const inner = (phase2: EapTtlsSettings['phase2']) => {
      const { peer, authentication } = peerOf(eapProfile(ttlsAround(phase2)), { userName });
      assert.ok(peer.method.kind === 'ttls');
      return [authentication, peer.method.inner];
    };
    assert.deepEqual(inner({ kind: 'mschapv2', useWinLogonCredentials: false }), [
      'ttls-mschapv2',
      { kind: 'mschapv2', userName },
    ]);
    assert.deepEqual(inner({ kind: 'eap', inner: { method: 'gtc' } }), [
      'ttls-gtc',
      { kind: 'eap', identity: userName, method: { kind: 'gtc', userName } },
    ]);
    assert.deepEqual(inner({ kind: 'eap', inner: { method: 'mschapv2', useWinLogonCredentials: false } }), [
      'ttls-eap-mschapv2',
      { kind: 'eap', identity: userName, method: { kind: 'mschapv2', userName } },
    ]);
    assert.equal(inner({ kind: 'eap', inner: tls })[0], 'ttls-tls');
  });

  test('no secret in the clear for whoever has a public certificate', () => {
    const anybody = { ...validation, serverNames: [], trustedRootCa: [] };
    const gtc = { method: 'gtc' } as const;
    const userName = 'jo@corp.example';
    const from = (eap: EapSettings, anyRadiusRoot: boolean) =>
      compiled(eapProfile(eap), { userName }, { ...facts, anyRadiusRoot });
    for (const eap of [
      ttlsAround({ kind: 'pap' }, anybody),
      ttlsAround({ kind: 'chap' }, anybody),
      ttlsAround({ kind: 'eap', inner: gtc }, anybody),
      peapAround(gtc, { serverValidation: anybody }),
    ]) {
      assert.equal(problemOf(eapProfile(eap), { userName }, { ...facts, anyRadiusRoot: true }).code, 'AOV-SUPERVISOR-352');
      assert.ok(from(eap, false), 'roots of our own narrow it down');
    }
    assert.ok(from(ttlsAround({ kind: 'pap' }, { ...anybody, serverNames: ['nps.corp.example'] }), true));
    assert.ok(from(ttlsAround({ kind: 'pap' }, { ...anybody, trustedRootCa: ['ab'.repeat(20)] }), true));
    assert.ok(from(ttlsAround({ kind: 'mschapv2', useWinLogonCredentials: false }, anybody), true));
  });

  test('DifferentUsername: the name in the certificate is not used', () => {
    const from = eapProfile({ ...tls, differentUsername: true });
    assert.equal(problemOf(from).code, 'AOV-SUPERVISOR-341');
    assert.match(problemOf(from).message, /DifferentUsername/);
    assert.equal(peerOf(from, { userName: 'other@corp.example' }).peer.identity, 'other@corp.example');
  });

  test('a person may be asked about the server only where the profile says so, and never about one that is not checked', () => {
    const mayAsk = (changes: object) => {
      const { peer } = peerOf(eapProfile({ ...tls, serverValidation: { ...validation, ...changes } }));
      assert.ok(peer.method.kind === 'tls');
      return peer.method.trust.mayAsk ?? false;
    };
    assert.equal(mayAsk({}), false);
    assert.equal(mayAsk({ disableUserPrompt: false }), true);
    assert.equal(mayAsk({ disableUserPrompt: false, performServerValidation: false }), false);
    assert.equal(mayAsk({ disableUserPrompt: false, allowPromptingWhenServerCaNotFound: false }), false);
  });

  test('EAP alone may prove the gateway only when the settings say so', () => {
    const allowed = (settings: Partial<ConnectionSettings>) => {
      const { config } = compiled(eapProfile(tls), settings);
      return config.auth.kind === 'eap' && config.auth.allowEapOnly;
    };
    assert.equal(allowed({}), undefined);
    assert.equal(allowed({ allowEapOnly: true }), true);
  });

  test('what is trusted for the gateway and for the RADIUS server has nothing in common', () => {
    const { config } = compiled(eapProfile(peapAround(tls)));
    assert.deepEqual(config.gatewayNames, ['vpn.example']);
    assert.deepEqual(config.certificateAuthorities, [Uint8Array.of(9)]);
    assert.ok(!JSON.stringify(config.auth).includes('vpn.example'));
  });

  test('why no certificate was chosen is told as it was found', () => {
    const { certificate: _, ...without } = facts;
    const certificateProblem = problem('severalCertificates', 'two');
    for (const from of [profile(), eapProfile(tls), eapProfile(peapAround(tls))]) {
      assert.deepEqual(problemOf(from, {}, { ...without, certificateProblem }), certificateProblem);
    }
  });

  test('missing credentials say what to put where', () => {
    const without = { hasPassword: false, gatewayAuthorities: [] };
    assert.equal(problemOf(profile(), {}, without).windows, 13806);
    assert.equal(problemOf(eapProfile(tls), {}, without).code, 'AOV-SUPERVISOR-345');
    const mschapv2 = eapProfile({ method: 'mschapv2', useWinLogonCredentials: false });
    assert.equal(problemOf(mschapv2).code, 'AOV-SUPERVISOR-341');
    assert.equal(problemOf(mschapv2, { userName: 'jo' }, without).code, 'AOV-SUPERVISOR-342');
    assert.match(problemOf(mschapv2, { userName: 'jo' }, without).cure, /NAME\.secret/);
  });

  test('every address of both families is asked for', () => {
    const { config } = compiled(profile());
    assert.deepEqual(
      config.trafficSelectors.tsi.map(({ from, to }) => [formatAddress(from), formatAddress(to)]),
      [
        ['0.0.0.0', '255.255.255.255'],
        ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
      ],
    );
  });

  test('64-bit block ciphers get a limit by volume', () => {
    const tripleDes = profile({
      cryptographySuite: suiteOf({ cipherTransformConstants: 'DES3', authenticationTransformConstants: 'SHA196' }),
    });
    assert.equal(compiled(tripleDes, { allowWeak: true }).config.childRekeyBytes, 1 << 28);
    assert.equal(compiled(profile()).config.childRekeyBytes, 0);
  });
});

suite('what we cannot do fails closed', () => {
  const filter = { at: { line: 30, column: 1 }, protocol: on(31, 6) };
  const cases = [
    ['SSTP', profile({ nativeProtocolType: on(4, 'SSTP') }), 'AOV-SUPERVISOR-312'],
    ['L2TP', profile({ nativeProtocolType: on(4, 'L2TP') }), 'AOV-SUPERVISOR-312'],
    [
      'ProtocolList without IKEv2',
      profile({
        nativeProtocolType: on(4, 'ProtocolList'),
        protocolList: { at: { line: 5, column: 1 }, protocols: [on(5, 'Sstp')] },
      }),
      'AOV-SUPERVISOR-312',
    ],
    ['no server', profile({ servers: on(3, []) }), 'AOV-SUPERVISOR-310'],
    ['TEAP', eapProfile({ method: 'unsupported', type: 55 }), 'AOV-SUPERVISOR-314'],
    ['PEAP around nothing', eapProfile(peapAround()), 'AOV-SUPERVISOR-314'],
    ['PEAP around an unknown method', eapProfile(peapAround({ method: 'unsupported', type: 4 })), 'AOV-SUPERVISOR-314'],
    ['GTC for anybody', eapProfile(peapAround({ method: 'gtc' }, { serverValidation: unchecked })), 'AOV-SUPERVISOR-352'],
    ['PAP for anybody', eapProfile(ttlsAround({ kind: 'pap' }, unchecked)), 'AOV-SUPERVISOR-352'],
    ['CHAP for anybody', eapProfile(ttlsAround({ kind: 'chap' }, unchecked)), 'AOV-SUPERVISOR-352'],
    [
      'GTC inside EAP-TTLS for anybody',
      eapProfile(ttlsAround({ kind: 'eap', inner: { method: 'gtc' } }, unchecked)),
      'AOV-SUPERVISOR-352',
    ],
    [
      'bare MSChapv2',
      profile({ authentication: { at: { line: 5, column: 1 }, userMethod: on(6, 'MSChapv2') } }),
      'AOV-SUPERVISOR-314',
    ],
    ['nothing about authentication', profile({ authentication: { at: { line: 5, column: 1 } } }), 'AOV-SUPERVISOR-313'],
  ] as const;
  for (const [what, from, code] of cases) {
    test(what, () => {
      const found = problemOf(from);
      assert.equal(found.code, code);
      assert.equal(found.side, 'profile');
      assert.equal(found.retry, 'never');
    });
  }

  test('a plug-in profile names its plug-in', () => {
    const { nativeProfile: _, ...rest } = profile();
    const found = problemOf({
      ...rest,
      pluginProfile: { at: { line: 2, column: 1 }, pluginPackageFamilyName: on(3, 'Vendor.App_x') },
    });
    assert.equal(found.code, 'AOV-SUPERVISOR-311');
    assert.match(found.message, /Vendor\.App_x/);
  });

  test('LockDown and TrafficFilter are no obstacles', () => {
    compiled(profile({}, { lockDown: on(9, true), trafficFilters: [filter] }));
  });

  test('Automatic and a list with IKEv2 mean IKEv2', () => {
    compiled(profile({ nativeProtocolType: on(4, 'Automatic') }));
    compiled(
      profile({
        nativeProtocolType: on(4, 'ProtocolList'),
        protocolList: { at: { line: 5, column: 1 }, protocols: [on(5, 'Sstp'), on(6, 'Ikev2')] },
      }),
    );
  });
});

suite('keys that ProfileXML has no word for', () => {
  const secret = encodeUtf8('Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6U');
  const compile = (
    from: Profile,
    settings: Partial<ConnectionSettings>,
    secrets: SharedSecrets,
    more: Partial<CredentialFacts> = {},
  ) => compileIkeConfig(from, { ...defaultConnectionSettings, ...settings }, { ...facts, ...more }, secrets);

  test('a shared key stands in for the machine certificate, under the name that the settings give', () => {
    for (const [identity, type] of [
      ['laptop.example', 2],
      ['jo@example', 3],
      ['192.0.2.7', 1],
      ['2001:db8::7', 5],
      ['keyid:branch', 11],
    ] as const) {
      const result = compile(profile(), { identity }, { sharedKey: secret });
      assert.ok(!('problem' in result));
      assert.equal(result.authentication, 'shared-key');
      assert.ok(result.config.auth.kind === 'shared-key');
      assert.equal(result.config.auth.identity.type, type);
      assert.equal(result.config.auth.key, secret);
    }
    const nameless = compile(profile(), {}, { sharedKey: secret });
    assert.equal('problem' in nameless && nameless.problem.code, 'AOV-SUPERVISOR-353');
    const user = compile(
      eapProfile({ method: 'mschapv2', useWinLogonCredentials: false }),
      { userName: 'jo', identity: 'x' },
      { sharedKey: secret },
    );
    assert.equal('problem' in user && user.problem.code, 'AOV-SUPERVISOR-354');
  });

  test('weak ones are told of, and only weak ones', () => {
    const good = encodeUtf8('Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6U');
    for (const kind of ['sharedKey', 'ppk'] as const) {
      const warnings = (key: string): readonly string[] => {
        const result = compile(profile(), { identity: 'x.example' }, { sharedKey: good, [kind]: encodeUtf8(key) });
        assert.ok(!('problem' in result));
        return result.warnings;
      };
      assert.match(warnings('secret').join(), kind === 'ppk' ? /post-quantum.*6 octets/ : /shared key.*6 octets/);
      assert.match(warnings('ab'.repeat(20)).join(), /repeats itself/);
      assert.deepEqual(warnings('Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6V'), []);
      for (const text of warnings('secret')) assert.doesNotMatch(text, /secret/);
    }
  });

  test('a raw key, keys of the gateway, the machine before the user, a PPK', () => {
    const raw = { spki: Uint8Array.of(1), schemes: ['ed25519'] } as const;
    const keys = [Uint8Array.of(2)];
    const own = compile(profile(), { identity: 'x.example' }, {}, { rawKey: raw, gatewayKeys: keys });
    assert.ok(!('problem' in own) && own.config.auth.kind === 'certificate');
    assert.deepEqual([own.config.auth.rawKey, own.config.auth.certificates, own.config.gatewayKeys], [raw.spki, [], keys]);
    const user = eapProfile({ method: 'mschapv2', useWinLogonCredentials: false });
    const both = compile(user, { userName: 'jo' }, { ppk: secret }, { machine: certificate });
    assert.ok(!('problem' in both) && both.config.auth.kind === 'eap');
    assert.deepEqual(both.config.auth.machine?.certificates, certificate.chain);
    assert.deepEqual(both.config.ppk, { identity: Uint8Array.of(2), key: secret, required: true });
  });

  test('tickets are asked for unless the settings say no', () => {
    const asks = (settings: Partial<ConnectionSettings>) => compiled(profile(), settings).config.askTicket;
    assert.deepEqual([asks({}), asks({ sessionResumption: false })], [true, false]);
  });
});
