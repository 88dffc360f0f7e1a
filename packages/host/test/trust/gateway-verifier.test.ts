import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { GatewayVerdict, Identity } from '@aovpn/ike';
import { createGatewayVerifier } from '../../src/trust/gateway-verifier.ts';
import { authority, ecKey, rsaKey, server, TestPki, type CertificateRequest, type TestCertificate } from './test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const name = 'gw.example.com';
const san = `subjectAltName=DNS:${name}`;
const fqdn: Identity = { type: 2, data: encodeUtf8(name) };
const day = 86_400_000;
const root = pki.issue('root', { extensions: authority });
const middle = pki.issue('middle', { issuer: root, extensions: [...authority, 'authorityKeyIdentifier=keyid'] });
const leaf = pki.issue('leaf', { issuer: middle, subject: '/C=DE/O=Example/CN=gateway', extensions: [...server, san], days: 20 });

interface Ask {
  readonly anchors?: readonly TestCertificate[];
  readonly names?: readonly string[];
  readonly identity?: Identity;
  readonly now?: Date;
}

function verify(certificates: readonly (TestCertificate | Uint8Array)[], ask: Ask = {}): Promise<GatewayVerdict> {
  const verifier = createGatewayVerifier({
    anchors: (ask.anchors ?? [root]).map((anchor) => anchor.der),
    revocation: 'off',
    now: () => ask.now ?? new Date(),
    fetch: () => Promise.reject(new Error('nothing may be fetched')),
  });
  return verifier.verify({
    certificates: certificates.map((certificate) => (certificate instanceof Uint8Array ? certificate : certificate.der)),
    identity: ask.identity ?? fqdn,
    names: ask.names ?? [name],
  });
}

async function refused(
  reason: string,
  detail: RegExp,
  certificates: readonly (TestCertificate | Uint8Array)[],
  ask: Ask = {},
): Promise<void> {
  const verdict = await verify(certificates, ask);
  assert.ok(!verdict.accepted, 'accepted');
  assert.equal(verdict.reason, reason, verdict.detail);
  assert.match(verdict.detail, detail);
  assert.equal(verdict.trace.at(-1), verdict.detail);
}

async function accepted(certificates: readonly TestCertificate[], ask: Ask = {}): Promise<void> {
  const verdict = await verify(certificates, ask);
  assert.ok(verdict.accepted, verdict.accepted ? '' : `${verdict.reason}: ${verdict.detail}`);
}

/** A leaf below the root, changed in one way. */
function leafWith(change: CertificateRequest): TestCertificate {
  return pki.issue('changed', { issuer: root, extensions: [...server, san], ...change });
}

/** leaf ← a changed authority ← root. */
function below(change: CertificateRequest, leafExtensions: readonly string[] = [...server, san]): TestCertificate[] {
  const changed = pki.issue('changed authority', { issuer: root, extensions: authority, ...change });
  return [pki.issue('leaf', { issuer: changed, extensions: leafExtensions }), changed];
}

suite('gateway certificate: accepted', () => {
  test('a chain of three, with key, subject and reasons', async () => {
    const verdict = await verify([leaf, middle]);
    assert.ok(verdict.accepted);
    assert.deepEqual(Buffer.from(verdict.spki), leaf.x509.publicKey.export({ type: 'spki', format: 'der' }));
    assert.equal(verdict.subject, 'C=DE, O=Example, CN=gateway');
    assert.match(verdict.trace.join('\n'), /path: C=DE, O=Example, CN=gateway ← CN=middle ← CN=root/);
    assert.match(verdict.trace.join('\n'), /the certificate is for gw\.example\.com/);
  });
  test('with the root and a stranger among the certificates', async () => {
    const stranger = pki.issue('stranger', { extensions: authority });
    await accepted([leaf, stranger, root, middle]);
  });
  test('what was read and seen to be signed before says nothing about the time, nor about another signature', async () => {
    let now = new Date();
    const verifier = createGatewayVerifier({
      anchors: [root.der],
      revocation: 'off',
      now: () => now,
      fetch: () => Promise.reject(new Error('nothing may be fetched')),
    });
    const ask = (first: Uint8Array): Promise<GatewayVerdict> =>
      verifier.verify({ certificates: [first, middle.der], identity: fqdn, names: [name] });
    for (let i = 0; i < 2; i++) assert.ok((await ask(leaf.der)).accepted);
    const forged = leaf.der.slice();
    forged[forged.length - 1]! ^= 1;
    assert.equal((await ask(forged)).accepted, false);
    now = new Date(Date.now() + 21 * day);
    const late = await ask(leaf.der);
    assert.equal(!late.accepted && late.reason, 'expired');
  });

  test('an intermediate as anchor', () => accepted([leaf], { anchors: [middle] }));
  test('the gateway certificate itself as anchor', () => accepted([leaf], { anchors: [leaf] }));
  test('IKE intermediate beside serverAuth, and alone', async () => {
    for (const usage of ['serverAuth,1.3.6.1.5.5.8.2.2', '1.3.6.1.5.5.8.2.2', '1.3.6.1.5.5.7.3.17', 'anyExtendedKeyUsage']) {
      await accepted([leafWith({ extensions: [san, `extendedKeyUsage=${usage}`] })]);
    }
  });
  for (const [kind, key] of [
    ['RSA 2048', rsaKey(2048)],
    ['P-384', ecKey('P-384')],
    ['P-521', ecKey('P-521')],
  ] as const) {
    test(`${kind} all the way`, async () => {
      const anchor = pki.issue('anchor', { key, extensions: authority });
      await accepted([pki.issue('leaf', { issuer: anchor, key, extensions: [...server, san] })], { anchors: [anchor] });
    });
  }
  test('RSA-PSS signatures', async () => {
    const anchor = pki.issue('anchor', { key: rsaKey(2048), extensions: authority });
    const options = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-1'];
    await accepted([pki.issue('leaf', { issuer: anchor, extensions: [...server, san], options })], { anchors: [anchor] });
  });
  test('two authorities of one name, two ways up of which one has expired', async () => {
    const key = ecKey();
    const expired = pki.issue('cross', { issuer: root, subject: '/CN=cross', key, extensions: authority, days: 1 });
    const good = pki.issue('cross', { issuer: root, subject: '/CN=cross', key, extensions: authority, days: 20 });
    const end = pki.issue('leaf', { issuer: good, extensions: [...server, san] });
    await accepted([end, expired, good], { now: new Date(Date.now() + 5 * day) });
  });
});

suite('gateway certificate: refused', () => {
  test('none', () => refused('no-certificate', /no certificate/, []));
  test('too many', () =>
    refused(
      'malformed',
      /13 certificates/,
      Array.from({ length: 13 }, () => leaf),
    ));
  test('not DER', () => refused('malformed', /certificate/, [encodeUtf8('hello')]));
  test('cut short', () => refused('malformed', /certificate/, [leaf.der.subarray(0, -1), middle]));
  test('followed by something', () => refused('malformed', /no DER/, [new Uint8Array([...leaf.der, 0]), middle]));
  test('an intermediate that cannot be read is left out', () => refused('untrusted', /no path/, [leaf, encodeUtf8('hello')]));
  test('unknown authority', async () => {
    const stranger = pki.issue('root', { extensions: authority });
    await refused('untrusted', /no path/, [leaf, middle], { anchors: [stranger] });
  });
  test('missing intermediate', () => refused('untrusted', /issuer is "CN=middle"/, [leaf]));
  test('same names, other key', async () => {
    const fake = pki.issue('middle', { extensions: authority });
    await refused('untrusted', /no path/, [pki.issue('leaf', { issuer: fake, extensions: [...server, san] }), fake, middle]);
  });
  test('expired', () => refused('expired', /expired at/, [leaf, middle], { now: new Date(Date.now() + 21 * day) }));
  test('expired intermediate', async () => {
    await refused('expired', /changed authority/, below({ days: 1 }), { now: new Date(Date.now() + 2 * day) });
  });
  test('expired anchor', async () => {
    const anchor = pki.issue('short root', { extensions: authority, days: 1 });
    const end = pki.issue('leaf', { issuer: anchor, extensions: [...server, san] });
    await refused('expired', /short root/, [end], { anchors: [anchor], now: new Date(Date.now() + 2 * day) });
  });
  test('not yet valid', () =>
    refused('not-yet-valid', /valid only from/, [leaf, middle], { now: new Date(Date.now() - 2 * day) }));
  test('no extended key usage', () => refused('wrong-eku', /serverAuth is needed/, [leafWith({ extensions: [san] })]));
  test('for clients only', () =>
    refused('wrong-eku', /not for servers/, [leafWith({ extensions: [san, 'extendedKeyUsage=clientAuth'] })]));
  test('no signatures allowed', () => {
    const extensions = [san, 'extendedKeyUsage=serverAuth', 'keyUsage=critical,keyEncipherment'];
    return refused('wrong-eku', /key usage/, [leafWith({ extensions })]);
  });
  test('signatures of either kind, and a certificate that says nothing of usage (RFC 4945 §5.1.3.2)', async () => {
    for (const usage of [['keyUsage=critical,digitalSignature'], ['keyUsage=critical,nonRepudiation'], []])
      await accepted([leafWith({ extensions: [san, 'extendedKeyUsage=serverAuth', ...usage] })]);
  });
  test('an authority for clients only', () => {
    return refused('wrong-eku', /may not issue/, below({ extensions: [...authority, 'extendedKeyUsage=clientAuth'] }));
  });
  test('an intermediate that is no authority', () => {
    return refused('untrusted', /is not a certificate authority/, below({ extensions: ['basicConstraints=critical,CA:false'] }));
  });
  test('an intermediate that does not say whether it is one', () => {
    return refused('untrusted', /is not a certificate authority/, below({ extensions: ['subjectKeyIdentifier=hash'] }));
  });
  test('a user certificate that signs', () => {
    return refused('untrusted', /no path|is not a certificate authority/, below({ extensions: [...server, san] }));
  });
  test('an authority that may not sign certificates', () => {
    return refused(
      'untrusted',
      /no path|may not sign/,
      below({ extensions: ['basicConstraints=critical,CA:true', 'keyUsage=critical,cRLSign'] }),
    );
  });
  test('path length 0 with an authority below', async () => {
    const [, limited] = below({ extensions: ['basicConstraints=critical,CA:true,pathlen:0', 'keyUsage=critical,keyCertSign'] });
    const further = pki.issue('further', { issuer: limited!, extensions: authority });
    const end = pki.issue('leaf', { issuer: further, extensions: [...server, san] });
    await refused('untrusted', /may have 0 authorities below it, and has 1/, [end, further, limited!]);
  });
  test('path length of the anchor', async () => {
    const anchor = pki.issue('limited root', {
      extensions: ['basicConstraints=critical,CA:true,pathlen:0', 'keyUsage=critical,keyCertSign'],
    });
    const further = pki.issue('further', { issuer: anchor, extensions: authority });
    const end = pki.issue('leaf', { issuer: further, extensions: [...server, san] });
    await refused('untrusted', /may have 0 authorities/, [end, further], { anchors: [anchor] });
  });
  test('a path longer than any', async () => {
    const chain = [root];
    for (let i = 0; i < 8; i++) chain.unshift(pki.issue(`level ${i}`, { issuer: chain[0]!, extensions: authority }));
    chain.unshift(pki.issue('leaf', { issuer: chain[0]!, extensions: [...server, san] }));
    await refused('untrusted', /no path/, chain.slice(0, -1));
  });
  test('authorities that certify each other without end', async () => {
    const [a, b] = [ecKey(), ecKey()];
    const selfA = pki.issue('A', { key: a, extensions: authority });
    const selfB = pki.issue('B', { key: b, extensions: authority });
    const crossA = pki.issue('A', { issuer: selfB, key: a, extensions: authority });
    const crossB = pki.issue('B', { issuer: selfA, key: b, extensions: authority });
    const end = pki.issue('leaf', { issuer: selfA, extensions: [...server, san] });
    await refused('untrusted', /no path/, [end, crossA, crossB, selfA, selfB]);
  });
  test('a root of version 1, which does not say that it is an authority', async () => {
    const old = pki.issue('old root', {});
    const end = pki.issue('leaf', { issuer: old, extensions: [...server, san] });
    await refused('untrusted', /is not a certificate authority/, [end], { anchors: [old] });
  });
  test('an unknown critical extension', async () => {
    await refused('untrusted', /critical extension 1\.2\.3\.4/, [
      leafWith({ extensions: [...server, san, '1.2.3.4=critical,ASN1:NULL'] }),
    ]);
  });
  test('SHA-1 below the anchor', () => refused('weak', /weak or unknown/, [leafWith({ digest: 'sha1' })]));
  test('MD5 below the anchor', async () => {
    const anchor = pki.issue('RSA root', { key: rsaKey(2048), extensions: authority });
    const end = pki.issue('leaf', { issuer: anchor, digest: 'md5', extensions: [...server, san] });
    await refused('weak', /weak or unknown/, [end], { anchors: [anchor] });
  });
  test('SHA-1 on an intermediate', () => refused('weak', /changed authority/, below({ digest: 'sha1' })));
  test('an RSA key of 1024 bits', () => refused('weak', /1024 bits/, [leafWith({ key: rsaKey(1024) })]));
  test('an authority with 1024 bits', () => refused('weak', /1024 bits/, below({ key: rsaKey(1024) })));
  test('an anchor with 1024 bits', async () => {
    const anchor = pki.issue('weak root', { key: rsaKey(1024), extensions: authority });
    await refused('weak', /1024 bits/, [pki.issue('leaf', { issuer: anchor, extensions: [...server, san] })], {
      anchors: [anchor],
    });
  });
  test('an odd curve', () => refused('weak', /secp256k1/, [leafWith({ key: ecKey('secp256k1') })]));
  test('a policy that must be there and is not', () => {
    return refused(
      'untrusted',
      /certification path/,
      below({ extensions: [...authority, 'policyConstraints=critical,requireExplicitPolicy:0'] }),
    );
  });
});

suite('gateway certificate: name constraints (CVE-2026-35331)', () => {
  const constrained = (constraint: string, names: string) => () => {
    const [, limited] = below({ extensions: [...authority, `nameConstraints=critical,${constraint}`] });
    return [pki.issue('leaf', { issuer: limited!, extensions: [...server, `subjectAltName=${names}`] }), limited!];
  };
  const good: readonly (readonly [string, () => TestCertificate[]])[] = [
    ['permitted, below', constrained('permitted;DNS:example.com', `DNS:${name}`)],
    ['permitted, itself', constrained(`permitted;DNS:${name}`, `DNS:${name}`)],
    ['one of two permitted', constrained('permitted;DNS:other.example,permitted;DNS:example.com', `DNS:${name}`)],
    ['another kind is constrained only', constrained('permitted;email:example.com', `DNS:${name}`)],
    ['excluded elsewhere', constrained('excluded;DNS:other.example', `DNS:${name}`)],
  ];
  for (const [what, make] of good) test(`accepted: ${what}`, () => accepted(make()));

  const bad: readonly (readonly [string, () => TestCertificate[]])[] = [
    ['outside of what is permitted', constrained('permitted;DNS:other.example', `DNS:${name}`)],
    ['not a label boundary', constrained('permitted;DNS:ample.com', `DNS:${name}`)],
    ['one name inside, one outside', constrained('permitted;DNS:example.com', `DNS:${name},DNS:gw.evil.test`)],
    ['excluded', constrained('excluded;DNS:example.com', `DNS:${name}`)],
    ['excluded behind a wildcard', constrained('excluded;DNS:secret.example.com', `DNS:${name},DNS:*.example.com`)],
    ['wildcard wider than permitted', constrained(`permitted;DNS:${name}`, `DNS:${name},DNS:*.example.com`)],
    ['address outside', constrained('permitted;IP:10.0.0.0/255.0.0.0', `DNS:${name},IP:192.0.2.1`)],
    ['address excluded', constrained('excluded;IP:192.0.2.0/255.255.255.0', `DNS:${name},IP:192.0.2.1`)],
    ['address written as a DNS name', constrained('excluded;IP:192.0.2.0/255.255.255.0', `DNS:${name},DNS:192.0.2.1`)],
    ['mail outside', constrained('permitted;email:example.com', `DNS:${name},email:a@evil.test`)],
  ];
  for (const [what, make] of bad) test(`refused: ${what}`, () => refused('untrusted', /what the CA may certify/, make()));

  test('the constraints of every authority count, not their union', async () => {
    const wide = pki.issue('wide', {
      issuer: root,
      extensions: [...authority, 'nameConstraints=critical,permitted;DNS:other.example'],
    });
    const narrow = pki.issue('narrow', {
      issuer: wide,
      extensions: [...authority, `nameConstraints=critical,permitted;DNS:${name}`],
    });
    await refused('untrusted', /what the CA may certify/, [
      pki.issue('leaf', { issuer: narrow, extensions: [...server, san] }),
      narrow,
      wide,
    ]);
  });

  test('directory names, in and out', async () => {
    const section = ['nameConstraints=critical,permitted;dirName:permitted_dn', '[permitted_dn]', 'O=Example'];
    const limited = pki.issue('limited', {
      issuer: root,
      subject: '/O=Example/CN=limited',
      extensions: [...authority, ...section],
    });
    const make = (subject: string) => [pki.issue('leaf', { issuer: limited, subject, extensions: [...server, san] }), limited];
    await accepted(make('/O=Example/CN=gw'));
    await refused('untrusted', /directory name/, make('/O=Evil/CN=gw'));
  });
});

suite('gateway certificate: names', () => {
  const cases: readonly (readonly [extension: string | undefined, subject: string, wanted: string, good: boolean])[] = [
    ['DNS:gw.example.com', '/CN=x', 'gw.example.com', true],
    ['DNS:gw.example.com', '/CN=x', 'GW.Example.COM', true],
    ['DNS:gw.example.com', '/CN=x', 'gw.example.com.', true],
    ['DNS:gw.example.com', '/CN=x', 'gw2.example.com', false],
    ['DNS:gw.example.com', '/CN=x', 'example.com', false],
    ['DNS:gw.example.com', '/CN=vpn.example.com', 'vpn.example.com', false],
    ['DNS:*.example.com', '/CN=x', 'gw.example.com', true],
    ['DNS:*.example.com', '/CN=x', 'a.gw.example.com', false],
    ['DNS:*.example.com', '/CN=x', 'example.com', false],
    ['DNS:g*.example.com', '/CN=x', 'gw.example.com', false],
    ['DNS:gw.*.com', '/CN=x', 'gw.example.com', false],
    ['DNS:*.com', '/CN=x', 'example.com', false],
    ['DNS:gw.example.com', '/CN=x', '*.example.com', false],
    ['IP:192.0.2.1', '/CN=x', '192.0.2.1', true],
    ['IP:2001:db8::1', '/CN=x', '2001:db8:0::1', true],
    ['IP:192.0.2.1', '/CN=x', '192.0.2.2', false],
    ['DNS:192.0.2.1', '/CN=x', '192.0.2.1', true],
    [undefined, '/CN=gw.example.com', 'gw.example.com', true],
    [undefined, '/CN=192.0.2.1', '192.0.2.1', true],
    ['email:a@b.example', '/CN=gw.example.com', 'gw.example.com', true],
    [undefined, '/O=Example', 'gw.example.com', false],
  ];
  for (const [extension, subject, wanted, good] of cases) {
    test(`${extension ?? 'no names'}, ${subject} ${good ? 'is' : 'is not'} ${wanted}`, async () => {
      const extensions = [...server, ...(extension === undefined ? [] : [`subjectAltName=${extension}`])];
      const certificate = leafWith({ subject, extensions });
      const identity = { type: 11, data: encodeUtf8('any') };
      if (good) await accepted([certificate], { names: [wanted], identity });
      else await refused('wrong-name', /the profile wants/, [certificate], { names: [wanted], identity });
    });
  }
  test('one of several names is enough', () => accepted([leaf, middle], { names: ['other.example', name] }));
  test('no name in the profile is no name', () => refused('wrong-name', /no name at all/, [leaf, middle], { names: [] }));
});

suite('gateway certificate: IDr (RFC 4945 §3.1)', () => {
  const subjectDn = Uint8Array.from(Buffer.from('3031310b3009060355040613024445', 'hex'));
  // C=DE, O=Example, CN=gateway, as OpenSSL writes it.
  const dnOfLeaf = (): Uint8Array =>
    Uint8Array.from(
      Buffer.from(
        '3031310b30090603550406130244453110300e060355040a0c074578616d706c653110300e06035504030c0767617465776179',
        'hex',
      ),
    );
  const ids: readonly (readonly [string, () => Identity, boolean, RegExp])[] = [
    ['the FQDN of the certificate', () => fqdn, true, /IDr is a name/],
    ['another FQDN', () => ({ type: 2, data: encodeUtf8('evil.test') }), false, /4945/],
    ['the subject', () => ({ type: 9, data: dnOfLeaf() }), true, /IDr is a name/],
    ['another subject', () => ({ type: 9, data: subjectDn }), false, /4945/],
    ['the start of the subject', () => ({ type: 9, data: dnOfLeaf().slice(0, -1) }), false, /4945/],
    ['an empty subject', () => ({ type: 9, data: new Uint8Array() }), false, /4945/],
    [
      'an address that the certificate does not name',
      () => ({ type: 1, data: Uint8Array.of(192, 0, 2, 1) }),
      true,
      /let through/,
    ],
    ['a key identifier', () => ({ type: 11, data: Uint8Array.of(1) }), true, /let through/],
    ['a mail address', () => ({ type: 3, data: encodeUtf8('a@b.example') }), false, /4945/],
    ['an unknown type', () => ({ type: 200, data: new Uint8Array() }), false, /4945/],
  ];
  for (const [what, identity, good, reason] of ids) {
    test(what, async () => {
      const verdict = await verify([leaf, middle], { identity: identity() });
      assert.equal(verdict.accepted, good);
      assert.match(verdict.trace.join('\n'), reason);
    });
  }
});

suite('gateway certificate: the same verifier again', () => {
  test('a certificate that was read before is judged anew', async () => {
    let now = new Date();
    const verifier = createGatewayVerifier({ anchors: [root.der], revocation: 'off', now: () => now });
    const ask = (certificates: readonly Uint8Array[], wanted = name): Promise<GatewayVerdict> =>
      verifier.verify({ certificates, identity: fqdn, names: [wanted] });
    assert.ok((await ask([leaf.der, middle.der])).accepted);
    assert.ok((await ask([leaf.der, middle.der])).accepted);
    const reasonOf = async (verdict: Promise<GatewayVerdict>): Promise<string> => {
      const known = await verdict;
      return known.accepted ? 'accepted' : known.reason;
    };
    assert.equal(await reasonOf(ask([leaf.der])), 'untrusted');
    assert.equal(await reasonOf(ask([leaf.der, middle.der], 'other.example.com')), 'wrong-name');
    const damaged = leaf.der.slice();
    damaged[damaged.length - 1]! ^= 1;
    assert.notEqual(await reasonOf(ask([damaged, middle.der])), 'accepted');
    now = new Date(Date.now() + 21 * day);
    assert.equal(await reasonOf(ask([leaf.der, middle.der])), 'expired');
  });
});
