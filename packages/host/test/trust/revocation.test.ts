import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { GatewayVerdict } from '@aovpn/ike';
import { createGatewayVerifier, type GatewayVerifierOptions } from '../../src/trust/gateway-verifier.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { writeOcspRequest } from '../../src/trust/ocsp.ts';
import { authority, ecKey, server, TestPki, type TestCertificate } from './test-pki.ts';

const name = 'gw.example.com';
const day = 86_400_000;
const pki = new TestPki();
const root = pki.issue('root', { extensions: authority });

/** What the revocation server answers, by path; requests are counted. */
const answers = new Map<string, (body: Uint8Array) => { status?: number; headers?: Record<string, string>; body?: Uint8Array }>();
const asked: string[] = [];
let http: Server;
let url: string;

before(async () => {
  http = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      asked.push(request.url ?? '');
      const answer = answers.get(request.url ?? '')?.(new Uint8Array(Buffer.concat(parts))) ?? { status: 404 };
      response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});
after(async () => {
  await new Promise((resolve) => {
    http.close(resolve);
    http.closeAllConnections();
  });
  pki[Symbol.dispose]();
});

let count = 0;

/** A gateway certificate whose CRL, or OCSP responder, is at a fresh path of the server. */
function gateway(kind: 'crl' | 'ocsp', issuer: TestCertificate = root): { leaf: TestCertificate; path: string } {
  const path = `/${++count}`;
  const pointer = kind === 'crl' ? `crlDistributionPoints=URI:${url}${path}` : `authorityInfoAccess=OCSP;URI:${url}${path}`;
  return { leaf: pki.issue('leaf', { issuer, extensions: [...server, `subjectAltName=DNS:${name}`, pointer] }), path };
}

function verifierOf(
  options: Partial<GatewayVerifierOptions> = {},
): (certificates: readonly TestCertificate[]) => Promise<GatewayVerdict> {
  const verifier = createGatewayVerifier({ anchors: [root.der], revocation: 'hard', ...options });
  const identity = { type: 2, data: encodeUtf8(name) };
  return (certificates) => verifier.verify({ certificates: certificates.map(({ der }) => der), identity, names: [name] });
}

async function expect(
  outcome: string,
  trace: RegExp,
  certificates: readonly TestCertificate[],
  options: Partial<GatewayVerifierOptions> = {},
): Promise<void> {
  const verdict = await verifierOf(options)(certificates);
  assert.equal(verdict.accepted ? 'accepted' : verdict.reason, outcome, verdict.trace.join('\n'));
  assert.match(verdict.trace.join('\n'), trace);
}

suite('revocation: lists', () => {
  test('good', async () => {
    const { leaf, path } = gateway('crl');
    const list = pki.crl(root, []);
    answers.set(path, () => ({ body: list }));
    await expect('accepted', /"CN=leaf" is not revoked/, [leaf]);
  });

  test('revoked, hard and soft; off asks nobody', async () => {
    const { leaf, path } = gateway('crl');
    const list = pki.crl(root, [leaf]);
    answers.set(path, () => ({ body: list }));
    await expect('accepted', /not checked/, [leaf], { revocation: 'off' });
    assert.ok(!asked.includes(path));
    await expect('revoked', /is revoked since 2025-01-01/, [leaf]);
    await expect('revoked', /is revoked since/, [leaf], { revocation: 'soft' });
  });

  test('is fetched once while it holds', async () => {
    const { leaf, path } = gateway('crl');
    const list = pki.crl(root, []);
    answers.set(path, () => ({ body: list }));
    let now = Date.now();
    const verify = verifierOf({ now: () => new Date(now) });
    assert.ok((await verify([leaf])).accepted);
    now += day;
    assert.ok((await verify([leaf])).accepted);
    assert.equal(asked.filter((each) => each === path).length, 1);
    now += 7 * day;
    assert.ok(!(await verify([leaf])).accepted);
    assert.equal(asked.filter((each) => each === path).length, 2);
  });

  test('a revoked intermediate', async () => {
    const path = `/${++count}`;
    const middle = pki.issue('middle', { issuer: root, extensions: [...authority, `crlDistributionPoints=URI:${url}${path}`] });
    const { leaf, path: leafPath } = gateway('crl', middle);
    const [lists, own] = [pki.crl(root, [middle]), pki.crl(middle, [])];
    answers.set(path, () => ({ body: lists }));
    answers.set(leafPath, () => ({ body: own }));
    await expect('revoked', /"CN=middle" is revoked/, [leaf, middle]);
  });

  const useless: readonly (readonly [string, RegExp, (leaf: TestCertificate) => Uint8Array, number?])[] = [
    ['nothing', /not a DER/, () => new Uint8Array()],
    ['no list', /not a DER|cannot be decoded/, () => encodeUtf8('hello, this is no list')],
    ['a certificate', /cannot be decoded/, () => root.der],
    ['one that has run out', /was valid until/, () => pki.crl(root, []), 8],
    ['one from the future', /from the future/, () => pki.crl(root, []), -0.5],
    ['a weak signature', /wrong or weak/, () => pki.crl(root, [], ['-md', 'sha1'])],
    ['another issuer', /another issuer/, () => pki.crl(pki.issue('other', { extensions: authority }), [])],
    ["the issuer's name, another key", /signature is wrong/, () => pki.crl(pki.issue('root', { extensions: authority }), [])],
    [
      'changed octets',
      /signature is wrong|cannot be decoded/,
      () => pki.crl(root, []).map((octet, i, list) => (i === list.length - 1 ? octet ^ 1 : octet)),
    ],
    ['octets behind it', /not a DER/, () => new Uint8Array([...pki.crl(root, []), 0])],
    ['a delta', /delta/, () => pki.crl(root, [], [], ['crl_extensions=ext', '[ext]', '2.5.29.27=critical,ASN1:INTEGER:1'])],
    [
      'an indirect one',
      /indirect/,
      () =>
        pki.crl(
          root,
          [],
          [],
          ['crl_extensions=ext', '[ext]', 'issuingDistributionPoint=critical,@idp', '[idp]', 'indirectCRL=TRUE'],
        ),
    ],
    [
      'one for authorities',
      /another kind/,
      () =>
        pki.crl(root, [], [], ['crl_extensions=ext', '[ext]', 'issuingDistributionPoint=critical,@idp', '[idp]', 'onlyCA=TRUE']),
    ],
    [
      'an unknown critical extension',
      /critical extension/,
      () => pki.crl(root, [], [], ['crl_extensions=ext', '[ext]', '1.2.3.4=critical,ASN1:NULL']),
    ],
  ];
  for (const [what, why, make, days] of useless) {
    test(`useless: ${what}`, async () => {
      const { leaf, path } = gateway('crl');
      const list = make(leaf);
      answers.set(path, () => ({ body: list }));
      const now = (): Date => new Date(Date.now() + (days ?? 0) * day);
      if (days !== undefined && days < 0) {
        // The certificate of that day is not there, so the list is asked about on its own.
        const { checkCrl } = await import('../../src/trust/crl.ts');
        const { parseCertificate } = await import('../../src/trust/certificate.ts');
        const checked = checkCrl(list, parseCertificate(root.der), now());
        assert.ok(checked.kind === 'unknown');
        assert.match(checked.why, why);
        return;
      }
      await expect('revocation-unknown', why, [leaf], { now });
      await expect('accepted', /accepted, as the settings say/, [leaf], { now, revocation: 'soft' });
    });
  }

  test('an issuer that may not sign lists', async () => {
    const mute = pki.issue('mute', {
      issuer: root,
      extensions: ['basicConstraints=critical,CA:true', 'keyUsage=critical,keyCertSign', `crlDistributionPoints=URI:${url}/mute`],
    });
    const above = pki.crl(root, []);
    answers.set('/mute', () => ({ body: above }));
    const { leaf, path } = gateway('crl', mute);
    const list = pki.crl(mute, []);
    answers.set(path, () => ({ body: list }));
    await expect('revocation-unknown', /may not sign revocation lists/, [leaf, mute]);
  });

  test('no pointer at all', async () => {
    const leaf = pki.issue('leaf', { issuer: root, extensions: [...server, `subjectAltName=DNS:${name}`] });
    await expect('revocation-unknown', /names neither/, [leaf]);
    await expect('accepted', /names neither/, [leaf], { revocation: 'soft' });
  });

  test('only ldap and https pointers', async () => {
    const pointer = 'crlDistributionPoints=URI:ldap:///CN=x,URI:https://127.0.0.1/x';
    const leaf = pki.issue('leaf', { issuer: root, extensions: [...server, `subjectAltName=DNS:${name}`, pointer] });
    await expect('revocation-unknown', /names neither/, [leaf]);
  });
});

suite('revocation: fetching (CVE-2022-40617)', () => {
  test('nothing for a chain that is not anchored', async () => {
    const stranger = pki.issue('stranger', { extensions: authority });
    const { leaf, path } = gateway('crl', stranger);
    answers.set(path, () => ({ body: new Uint8Array() }));
    await expect('untrusted', /no path/, [leaf, stranger]);
    assert.ok(!asked.includes(path));
  });

  test('nothing for a wrong name', async () => {
    const path = `/${++count}`;
    const extensions = [...server, 'subjectAltName=DNS:evil.test', `crlDistributionPoints=URI:${url}${path}`];
    await expect('wrong-name', /evil\.test/, [pki.issue('leaf', { issuer: root, extensions })]);
    assert.ok(!asked.includes(path));
  });

  test('follows redirects, not for ever', async () => {
    const { leaf, path } = gateway('crl');
    const list = pki.crl(root, []);
    answers.set(path, () => ({ status: 302, headers: { location: `${path}/there` } }));
    answers.set(`${path}/there`, () => ({ body: list }));
    await expect('accepted', /not revoked/, [leaf]);
    answers.set(`${path}/there`, () => ({ status: 302, headers: { location: path } }));
    await expect('revocation-unknown', /more than 3 redirects/, [leaf]);
  });

  test('not to another scheme', async () => {
    const { leaf, path } = gateway('crl');
    answers.set(path, () => ({ status: 302, headers: { location: 'file:///etc/passwd' } }));
    await expect('revocation-unknown', /file: is not fetched/, [leaf]);
  });

  test('not more than the limit', async () => {
    const { leaf, path } = gateway('crl');
    answers.set(path, () => ({ body: new Uint8Array((10 << 20) + 1) }));
    await expect('revocation-unknown', /more than 10485760 octets/, [leaf]);
  });

  test('an error of the server; nobody there', async () => {
    const { leaf } = gateway('crl');
    await expect('revocation-unknown', /HTTP status 404/, [leaf]);
    await expect('revocation-unknown', /not reachable: refused/, [leaf], { fetch: () => Promise.reject(new Error('refused')) });
  });
});

suite('revocation: OCSP', () => {
  const responderExtensions = [
    'basicConstraints=critical,CA:false',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=OCSPSigning',
  ];
  const responder = pki.issue('responder', { issuer: root, extensions: responderExtensions });

  test('good, by the issuer, asked once', async () => {
    const { leaf, path } = gateway('ocsp');
    answers.set(path, (body) => ({ body: pki.ocsp(root, root, [], body) }));
    const verify = verifierOf();
    assert.ok((await verify([leaf])).accepted);
    assert.ok((await verify([leaf])).accepted);
    assert.equal(asked.filter((each) => each === path).length, 1);
  });

  test('good, by a responder of the issuer', async () => {
    const { leaf, path } = gateway('ocsp');
    answers.set(path, (body) => ({ body: pki.ocsp(root, responder, [], body) }));
    await expect('accepted', /not revoked/, [leaf]);
  });

  test('revoked', async () => {
    const { leaf, path } = gateway('ocsp');
    answers.set(path, (body) => ({ body: pki.ocsp(root, responder, [leaf], body) }));
    await expect('revoked', /is revoked/, [leaf]);
    await expect('revoked', /is revoked/, [leaf], { revocation: 'soft' });
  });

  test('without an answer the list is asked', async () => {
    const path = `/${++count}`;
    const pointers = [`authorityInfoAccess=OCSP;URI:${url}${path}/ocsp`, `crlDistributionPoints=URI:${url}${path}/crl`];
    const leaf = pki.issue('leaf', { issuer: root, extensions: [...server, `subjectAltName=DNS:${name}`, ...pointers] });
    const list = pki.crl(root, [leaf]);
    answers.set(`${path}/crl`, () => ({ body: list }));
    await expect('revoked', /HTTP status 404[^]*is revoked/, [leaf]);
  });

  const useless: readonly (readonly [string, RegExp, (body: Uint8Array, leaf: TestCertificate) => Uint8Array, number?])[] = [
    ['nothing', /not a DER/, () => new Uint8Array()],
    ['rubbish', /cannot be decoded/, () => Uint8Array.of(0x30, 0)],
    ['"try later"', /status 3/, () => Uint8Array.of(0x30, 3, 0x0a, 1, 3)],
    [
      'a responder without its EKU',
      /neither the issuer nor/,
      (body) => pki.ocsp(root, pki.issue('x', { issuer: root, extensions: server }), [], body),
    ],
    [
      'a responder of another authority',
      /neither the issuer nor/,
      (body) =>
        pki.ocsp(
          root,
          pki.issue('x', { issuer: pki.issue('root', { extensions: authority }), extensions: responderExtensions }),
          [],
          body,
        ),
    ],
    [
      'a stranger',
      /neither the issuer nor/,
      (body) => pki.ocsp(root, pki.issue('x', { extensions: responderExtensions }), [], body),
    ],
    ['an old answer', /was valid until/, (body) => pki.ocsp(root, root, [], body), 8],
    [
      'changed octets',
      /neither the issuer nor|cannot be decoded/,
      (body) => {
        const answer = pki.ocsp(root, root, [], body, ['-ndays', '7', '-resp_no_certs']);
        answer[answer.length - 1]! ^= 1;
        return answer;
      },
    ],
    [
      'an answer about another certificate',
      /another certificate/,
      (body) => {
        const other = body.slice();
        other[other.length - 1]! ^= 1;
        return pki.ocsp(root, root, [], other);
      },
    ],
  ];
  for (const [what, why, make, days] of useless) {
    test(`useless: ${what}`, async () => {
      const { leaf, path } = gateway('ocsp');
      answers.set(path, (body) => ({ body: make(body, leaf) }));
      const now = (): Date => new Date(Date.now() + (days ?? 0) * day);
      await expect('revocation-unknown', why, [leaf], { now });
      await expect('accepted', why, [leaf], { now, revocation: 'soft' });
    });
  }

  test('an answer under another authority of the same name', async () => {
    const key = ecKey();
    const other = pki.issue('root', { key, extensions: authority });
    const { leaf, path } = gateway('ocsp');
    answers.set(path, (body) => ({ body: pki.ocsp(root, other, [], body) }));
    await expect('revocation-unknown', /neither the issuer nor/, [leaf]);
  });
});

suite('revocation: OCSP responses that came along (RFC 4806)', () => {
  const stapled = async (
    leaf: TestCertificate,
    responses: readonly Uint8Array[],
    revocation: 'off' | 'soft' | 'hard' = 'hard',
  ): Promise<GatewayVerdict> => {
    const verifier = createGatewayVerifier({ anchors: [root.der], revocation });
    const identity = { type: 2, data: encodeUtf8(name) };
    return await verifier.verify({ certificates: [leaf.der], identity, names: [name], ocspResponses: responses });
  };
  const requestFor = (leaf: TestCertificate): Uint8Array =>
    writeOcspRequest(parseCertificate(leaf.der), parseCertificate(root.der));

  test('nobody else is asked', async () => {
    const { leaf, path } = gateway('ocsp');
    const verdict = await stapled(leaf, [Uint8Array.of(1, 2, 3), pki.ocsp(root, root, [], requestFor(leaf))]);
    assert.ok(verdict.accepted, verdict.trace.join('\n'));
    assert.match(verdict.trace.join('\n'), /an OCSP response for "CN=leaf" came along/);
    assert.ok(!asked.includes(path));
  });

  test('a revocation counts, unless nobody wants to know', async () => {
    const { leaf } = gateway('ocsp');
    const response = pki.ocsp(root, root, [leaf], requestFor(leaf));
    const verdict = await stapled(leaf, [response], 'soft');
    assert.equal(!verdict.accepted && verdict.reason, 'revoked');
    assert.ok((await stapled(leaf, [response], 'off')).accepted);
  });

  test('one that another authority has signed, or that is about another certificate, is nothing: the usual way is gone', async () => {
    const other = pki.issue('root', { key: ecKey(), extensions: authority });
    const { leaf, path } = gateway('ocsp');
    answers.set(path, (body) => ({ body: pki.ocsp(root, root, [], body) }));
    const foreign = pki.ocsp(root, other, [], requestFor(leaf));
    const elsewhere = pki.ocsp(root, root, [], requestFor(gateway('ocsp').leaf));
    const verdict = await stapled(leaf, [foreign, elsewhere]);
    assert.ok(verdict.accepted, verdict.trace.join('\n'));
    assert.ok(asked.includes(path));
    assert.doesNotMatch(verdict.trace.join('\n'), /came along/);
  });
});
