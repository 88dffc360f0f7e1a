import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { chooseCertificate, compileCertificateWish, type CertificateCandidate } from '@aovpn/policy';
import type { EapSettings, EapTlsSettings, InnerEapSettings, ServerValidation } from '@aovpn/profile';
import { reviewAuthentication, type AuthenticationFacts, type RootFacts } from '../src/review-authentication.ts';
import { eapProfile, profile } from './profile-sample.ts';

const now = 1_800_000_000_000;
const day = 86_400_000;
const root: RootFacts = {
  sha1: 'ab'.repeat(20),
  subject: 'CN=Corp Root CA',
  selfSigned: true,
  notBefore: now - 100 * day,
  notAfter: now + 100 * day,
};
const other: RootFacts = { ...root, sha1: 'cd'.repeat(20), subject: 'CN=Other Root' };
const validation: ServerValidation = {
  at: { line: 12, column: 1 },
  serverNames: ['radius.example'],
  trustedRootCa: [root.sha1],
  disableUserPrompt: true,
};
const tls: EapTlsSettings = {
  method: 'tls',
  credentialsSource: 'certificate-store',
  simpleCertSelection: true,
  differentUsername: false,
  serverValidation: validation,
};
const candidate: CertificateCandidate = {
  id: 'aa',
  source: 'file /etc/aovpn/jo.pem',
  onToken: false,
  hasKey: true,
  subject: 'CN=jo',
  issuer: 'CN=CA',
  userPrincipalNames: ['jo@corp.example'],
  emailAddresses: [],
  dnsNames: [],
  notBefore: now - day,
  notAfter: now + 100 * day,
  extendedKeyUsage: undefined,
  digitalSignature: true,
  issuerHashes: [],
  issuerSubjects: [],
};

const facts: AuthenticationFacts = {
  now,
  passwordPlaces: [],
  keyProblems: [],
  radiusRoots: { roots: [root], place: '/etc/aovpn/profiles.d/x.radius-ca.pem', isSystem: false },
  gatewayRoots: { roots: [other], place: '/etc/aovpn/profiles.d/x.ca.pem', isSystem: false },
};

function review(
  eap: EapSettings,
  changes: Partial<AuthenticationFacts> = {},
  candidates: readonly CertificateCandidate[] = [candidate],
  explicit?: string,
) {
  const from = eapProfile(eap);
  const wish = compileCertificateWish(from, 'eap-tls', explicit === undefined ? undefined : { id: explicit, why: 'x' });
  const choice = eap.method === 'tls' ? { choice: chooseCertificate(candidates, wish, now) } : {};
  return reviewAuthentication(from, { ...facts, ...choice, ...changes });
}

/** Everything that is not right. */
function faults(...args: Parameters<typeof review>): readonly string[] {
  return review(...args)
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ name, verdict, found, cure }) => {
      assert.ok(cure, `${found} has a cure`);
      return `${verdict} ${name}: ${found}`;
    });
}

function withTrust(changes: Partial<ServerValidation>): EapTlsSettings {
  return { ...tls, serverValidation: { ...validation, ...changes } };
}

suite('what can be found without connecting', () => {
  test('nothing, when everything is right', () => {
    assert.deepEqual(faults(tls), []);
    assert.deepEqual(
      review(tls).map(({ name, found }) => [name, found]),
      [
        ['authentication', 'eap-tls'],
        ['certificate', 'jo@corp.example (file /etc/aovpn/jo.pem): valid for 100 days more'],
        ['RADIUS server: root', 'CN=Corp Root CA'],
        ['RADIUS server: names', 'radius.example'],
      ],
    );
  });

  test('a method that we do not have', () => {
    assert.match(faults({ method: 'unsupported', type: 55 })[0]!, /^failed authentication: .*AOV-SUPERVISOR-314, Windows 850/);
  });

  test('a machine certificate is no matter of RADIUS', () => {
    assert.deepEqual(
      reviewAuthentication(profile(), facts).map(({ name }) => name),
      ['authentication'],
    );
  });

  const certificates: readonly [what: string, over: Partial<CertificateCandidate>, found: RegExp][] = [
    ['expired', { notAfter: now - 1 }, /^failed certificate: .*expired on .*AOV-SUPERVISOR-349, Windows 854/],
    ['not yet valid', { notBefore: now + 1 }, /^failed certificate: .*AOV-SUPERVISOR-350/],
    [
      'for a server',
      { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] },
      /^failed certificate: .*serverAuth.*AOV-SUPERVISOR-346, Windows 798/,
    ],
    [
      'below a root that has expired',
      { issuerSubjects: ['CN=CA'], issuerValidity: [{ notAfter: now - day, isRoot: true }] },
      /^warning certificate: CN=CA, the root above it, expired on .* \[Windows 863\]/,
    ],
    ['without key', { hasKey: false }, /^failed certificate: .*AOV-SUPERVISOR-351/],
    ['soon at its end', { notAfter: now + 3 * day }, /^warning certificate: .*valid for 3 days more/],
    ['very soon at its end', { notAfter: now + 60 * 60_000 }, /^warning certificate: .*valid for 60 minutes more/],
    ['tomorrow at its end', { notAfter: now + day - 60_000 }, /^warning certificate: .*valid for 23 hours more/],
    ['without user principal name', { userPrincipalNames: [], commonName: 'jo' }, /^warning certificate: no user principal name/],
  ];
  for (const [what, over, found] of certificates) {
    test(`a certificate ${what}`, () => assert.match(faults(tls, {}, [{ ...candidate, ...over }]).join('\n'), found));
  }

  test('a named certificate that the profile would not take', () => {
    const old = { ...candidate, notAfter: now - 1 };
    assert.match(faults(tls, {}, [old], 'aa').join('\n'), /^failed certificate: .*was named, although: expired/);
    const server = { ...candidate, extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] };
    assert.match(faults(tls, {}, [server], 'aa').join('\n'), /^warning certificate: .*was named, although: has serverAuth/);
  });

  test('a key source out of reach fails when nothing else is there, and is a warning otherwise', () => {
    const keyProblems = [
      { source: 'PKCS#11 token "vpn"', code: 'AOV-HOST-151', what: 'the token is not there', cure: 'Insert it.' },
    ];
    assert.match(
      faults(tls, { keyProblems }, [])[0]!,
      /^failed key source: PKCS#11 token "vpn": the token is not there \[AOV-HOST-151\]/,
    );
    assert.match(faults(tls, { keyProblems })[0]!, /^warning key source/);
  });

  test('user name and password', () => {
    const mschapv2: EapSettings = { method: 'mschapv2', useWinLogonCredentials: false };
    assert.deepEqual(
      faults(mschapv2).map((text) => text.split(':')[0]),
      ['failed user name', 'failed password'],
    );
    assert.deepEqual(faults(mschapv2, { userName: 'jo', passwordPlaces: ['the prompt'] }), []);
    const ttls: EapSettings = {
      method: 'ttls',
      serverValidation: validation,
      phase2: { kind: 'pap' },
      anonymousIdentity: '',
    };
    const checks = review(ttls, { userName: 'jo@corp.example', passwordPlaces: ['x.secret', 'the prompt'] });
    assert.deepEqual(
      checks.slice(1, 3).map(({ found }) => found),
      ['jo@corp.example; outside of the tunnel @corp.example', 'from x.secret, then the prompt'],
    );
  });

  test('TrustedRootCA that is known nowhere', () => {
    const found = faults(withTrust({ trustedRootCa: ['ee'.repeat(20)] }));
    assert.match(
      found[0]!,
      /^failed RADIUS server: root: none of 1 roots in .*x\.radius-ca\.pem has a thumbprint of TrustedRootCA \(ee.*line 12\)/,
    );
  });

  test('TrustedRootCA that is known for the gateway only', () => {
    const found = faults(withTrust({ trustedRootCa: [other.sha1] }));
    assert.match(
      found[0]!,
      /^failed RADIUS server: root: .*CN=Other Root, which is known for the gateway \(.*x\.ca\.pem\), not for RADIUS/,
    );
  });

  test('no TrustedRootCA: any root of the profile is enough, any of the system deserves a word', () => {
    const none = withTrust({ trustedRootCa: [] });
    assert.deepEqual(faults(none), []);
    const system = { roots: [root, other], place: 'the system', isSystem: true };
    assert.match(
      faults(none, { radiusRoots: system })[0]!,
      /^warning .*any of the system's 2 roots will do; .*x\.ca\.pem counts for the gateway only/,
    );
    assert.match(faults(none, { radiusRoots: { ...system, roots: [] } })[0]!, /^failed .*no root is known/);
  });

  const anything = { serverNames: [], trustedRootCa: [] };
  const radiusRoots = { roots: [root, other], place: 'the system', isSystem: true };

  test('neither root nor name, and the system has the roots: anybody is believed', () => {
    const found = faults(withTrust(anything), { radiusRoots });
    assert.equal(found.length, 1);
    assert.match(found[0]!, /^warning RADIUS server: trust: whoever has .* any of the system's 2 authorities is believed: there/);
    assert.match(faults(withTrust({ trustedRootCa: [], acceptServerName: false }), { radiusRoots })[0]!, /is believed: there/);
    assert.doesNotMatch(faults(withTrust(anything)).join('\n'), /is believed/, 'roots of its own');
  });

  test('the same with a password, which MSCHAPv2 does not keep from whoever ends the tunnel', () => {
    const known = { radiusRoots, userName: 'jo', passwordPlaces: ['the prompt'] };
    const serverValidation = { ...validation, ...anything };
    const inner: EapSettings & InnerEapSettings = { method: 'mschapv2', useWinLogonCredentials: false };
    const more = { fastReconnect: true, innerEapOptional: false, enableQuarantineChecks: false, requireCryptoBinding: true };
    const ttls: EapSettings = { method: 'ttls', serverValidation, phase2: { kind: 'mschapv2', useWinLogonCredentials: false } };
    for (const eap of [{ method: 'peap', serverValidation, ...more, inner }, ttls] as const) {
      const found = faults(eap, known);
      assert.equal(found.length, 1);
      assert.match(found[0]!, /^warning RADIUS server: trust: .*is believed, and can work out the password/);
    }
  });

  const roots: readonly [what: string, over: Partial<RootFacts>, found: RegExp][] = [
    ['past its time', { notAfter: now - 1 }, /^failed .*past its time/],
    ['not yet valid', { notBefore: now + 1 }, /^failed .*not valid yet/],
    ['that is none', { selfSigned: false }, /^warning .*intermediate/],
    ['of conditional access', { subject: 'CN=Microsoft VPN root CA gen 1' }, /^warning .*short-lived client certificates/],
  ];
  for (const [what, over, found] of roots) {
    test(`a root ${what}`, () => {
      const radiusRoots = { ...facts.radiusRoots, roots: [{ ...root, ...over }] };
      assert.match(faults(tls, { radiusRoots })[0]!, found);
    });
  }

  const names: readonly [what: string, trust: Partial<ServerValidation>, found: RegExp][] = [
    ['none', { serverNames: [] }, /^warning RADIUS server: names: any name will do: ServerNames is empty/],
    ['not compared', { acceptServerName: false }, /^warning .*AcceptServerName is false/],
    ['not understood', { serverNames: ['nps(1'] }, /^failed .*"nps\(1" is not understood/],
    ['one of two not understood', { serverNames: ['nps(1', 'nps1.example'] }, /^warning .*"nps\(1" is not understood/],
    ['that can match nothing', { serverNames: ['nps$1'] }, /^failed .*can match no name/],
    ['of the gateway', { serverNames: ['VPN.example'] }, /^warning .*is the name of the gateway/],
  ];
  for (const [what, trust, found] of names) {
    test(`names: ${what}`, () => assert.match(faults(withTrust(trust)).join('\n'), found));
  }

  test('a server that is not checked is one warning, not three', () => {
    const found = faults(withTrust({ performServerValidation: false, serverNames: [], trustedRootCa: [] }));
    assert.equal(found.length, 1);
    assert.match(found[0]!, /PerformServerValidation is false/);
  });

  test('both servers of PEAP around EAP-TLS are looked at', () => {
    const inner = withTrust({ trustedRootCa: ['ee'.repeat(20)] });
    const peap: EapSettings = {
      method: 'peap',
      serverValidation: validation,
      fastReconnect: true,
      innerEapOptional: false,
      enableQuarantineChecks: false,
      requireCryptoBinding: true,
      inner,
    };
    assert.match(faults(peap).join('\n'), /^failed RADIUS server, inner TLS: root/);
  });
});
