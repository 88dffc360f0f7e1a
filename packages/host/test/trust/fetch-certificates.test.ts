import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { isBelow, readUrlPrefix } from '../../src/trust/certificate-url.ts';
import { collectCertificates, type CertificateReference } from '../../src/trust/fetch-certificates.ts';
import { createGatewayVerifier } from '../../src/trust/gateway-verifier.ts';
import { authority, server as serverUse, TestPki } from './test-pki.ts';

const pki = new TestPki();
const root = pki.issue('root', { extensions: authority });
const middle = pki.issue('middle', { issuer: root, extensions: authority });
const leaf = pki.issue('leaf', { issuer: middle, extensions: [...serverUse, 'subjectAltName=DNS:gw.example.com'] });
const sha1 = (octets: Uint8Array): Uint8Array => new Uint8Array(createHash('sha1').update(octets).digest());

/** DER with a length of two octets. */
function tlv(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(tag, 0x82, content.length >> 8, content.length & 0xff), content]);
}
const bundle = tlv(0x30, Buffer.concat([tlv(0xa0, leaf.der), tlv(0xa1, tlv(0x30, Uint8Array.of(5, 0))), tlv(0xa0, middle.der)]));

suite('certificates that a gateway says are elsewhere (RFC 7296 §3.6; CVE-2022-40617 class)', () => {
  let server: Server;
  let origin = '';
  const asked: string[] = [];
  /** Requests for what never answers: now, and the most at once. */
  let atOnce = 0;
  let mostAtOnce = 0;
  const pages: Record<string, RequestListener> = {
    '/certs/leaf.der': (_, response) => response.end(leaf.der),
    '/certs/middle.der': (_, response) => response.end(middle.der),
    '/certs/bundle': (_, response) => response.end(bundle),
    '/certs/moved': (_, response) => response.writeHead(302, { location: '/certs/leaf.der' }).end(),
    '/certs/error': (_, response) => response.writeHead(500).end(leaf.der),
    '/certs/silent': (_, response) => {
      mostAtOnce = Math.max(mostAtOnce, ++atOnce);
      response.on('close', () => atOnce--);
    },
    '/certs/endless': (_, response) => {
      const push = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      };
      response.on('drain', push);
      push();
    },
    '/certs/drip': (_, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    },
  };
  before(async () => {
    server = createServer((request, response) => {
      asked.push(request.url!);
      const page = pages[request.url!.split('?')[0]!];
      if (page) page(request, response);
      else response.writeHead(404).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    origin = `http://127.0.0.1:${address.port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    pki[Symbol.dispose]();
  });

  const limits = { size: 1 << 16, time: 60_000 };
  /** For what never answers: enough to be asked, also on a machine that has much else to do. */
  const silence = 2000;
  const at = (path: string, octets: Uint8Array = leaf.der, more: Partial<CertificateReference> = {}): CertificateReference => ({
    before: 0,
    bundle: false,
    hash: sha1(octets),
    url: `${origin}${path}`,
    ...more,
  });
  const collect = (references: readonly CertificateReference[], sent: readonly Uint8Array[] = [], time = limits.time) =>
    collectCertificates(sent, references, [new URL(`${origin}/certs/`)], { ...limits, time });

  test('each comes to its place', async () => {
    const { certificates, firstMissing } = await collect(
      [at('/certs/leaf.der'), at('/certs/middle.der', middle.der, { before: 1 })],
      [root.der],
    );
    assert.deepEqual(certificates.map(sha1), [leaf.der, root.der, middle.der].map(sha1));
    assert.equal(firstMissing, undefined);
    const behind = await collect([at('/certs/middle.der', middle.der, { before: 1 })], [leaf.der]);
    assert.deepEqual(behind.certificates.map(sha1), [leaf.der, middle.der].map(sha1));
  });

  test('a bundle: its certificates, without its lists', async () => {
    const { certificates } = await collect([at('/certs/bundle', bundle, { bundle: true })]);
    assert.deepEqual(certificates.map(sha1), [leaf.der, middle.der].map(sha1));
  });

  test('nothing is asked but what the settings list', async () => {
    const foreign = [
      `${origin}/certsX/leaf.der`,
      `${origin}/other/leaf.der`,
      `${origin}/certs/../other/leaf.der`,
      `${origin}/certs/%2e%2e/other/leaf.der`,
      `${origin}/certs/..%2fother/leaf.der`,
      `${origin}/certs\\..\\other`,
      `${origin}/certs/leaf.der#x`,
      origin.replace('http:', 'https:') + '/certs/leaf.der',
      origin.replace('127.0.0.1', '127.0.0.2') + '/certs/leaf.der',
      origin.replace('http://', 'http://user:pw@') + '/certs/leaf.der',
      `http://127.0.0.1:1/certs/leaf.der`,
      'file:///etc/passwd',
      'gopher://127.0.0.1/',
      `http://evil.example/${origin}/certs/leaf.der`,
      '//127.0.0.1/certs/leaf.der',
      'certs/leaf.der',
    ];
    asked.length = 0;
    for (const url of foreign) {
      const { certificates, firstMissing } = await collect([{ ...at(''), url }]);
      assert.deepEqual(certificates, [], url);
      assert.match(firstMissing!, /not below what certificate-urls of the settings allows; not fetched/, url);
    }
    const { certificates } = await collectCertificates([], [at('/certs/leaf.der')], []);
    assert.deepEqual(certificates, [], 'without the setting');
    assert.deepEqual(asked, []);
  });

  test('what has another digest than the gateway says is not taken', async () => {
    for (const hash of [sha1(middle.der), new Uint8Array(20), new Uint8Array(0), new Uint8Array(19), new Uint8Array(21)]) {
      const { certificates, firstMissing } = await collect([{ ...at('/certs/leaf.der'), hash }]);
      assert.deepEqual(certificates, []);
      assert.match(firstMissing!, /another digest/);
    }
  });

  for (const [path, why] of [
    ['/certs/moved', /more than 0 redirects/],
    ['/certs/error', /HTTP status 500/],
    ['/certs/nothing', /HTTP status 404/],
    ['/certs/endless', /more than 65536 octets/],
    ['/certs/silent', /no answer within 2000 ms/],
    ['/certs/drip', /no answer within 2000 ms/],
  ] as const)
    test(`${path} ends in time, with nothing`, async () => {
      asked.length = 0;
      const isSilent = path === '/certs/silent' || path === '/certs/drip';
      const { certificates, firstMissing } = await collect([at(path)], [], isSilent ? silence : limits.time);
      assert.deepEqual(certificates, []);
      assert.match(firstMissing!, why);
      assert.deepEqual(asked, [path], 'once, and nowhere else');
    });

  test('more than four are not asked for, and slow ones are waited for together', async () => {
    asked.length = 0;
    mostAtOnce = 0;
    const references = Array.from({ length: 12 }, (_, i) => at(`/certs/silent?${i}`, leaf.der, { before: 1 }));
    const { certificates, trace, firstMissing } = await collect(references, [leaf.der], silence);
    assert.deepEqual([certificates.map(sha1), firstMissing], [[sha1(leaf.der)], undefined]);
    assert.equal(asked.length, 4);
    assert.match(trace.at(-1)!, /^8 more that are elsewhere are passed over$/);
    assert.equal(mostAtOnce, 4);
  });

  test('bundles that are none, or have too much in them', async () => {
    const many = tlv(0x30, Buffer.concat(Array.from({ length: 9 }, () => tlv(0xa0, tlv(0x30, Uint8Array.of(5, 0))))));
    for (const [i, octets] of [
      leaf.der,
      Uint8Array.of(0x30),
      Buffer.from('no'),
      tlv(0x30, tlv(0xa2, leaf.der)),
      many,
    ].entries()) {
      pages[`/certs/bad${i}`] = (_, response) => void response.end(octets);
      const { certificates, firstMissing } = await collect([at(`/certs/bad${i}`, octets, { bundle: true })]);
      assert.deepEqual(certificates, [], String(i));
      assert.match(firstMissing!, /bundle/);
    }
  });

  test('what was fetched is believed as little as anything else', async () => {
    const verifier = (anchor: Uint8Array, certificateUrls: readonly URL[] = [new URL(`${origin}/certs/`)]) =>
      createGatewayVerifier({ anchors: [anchor], revocation: 'off', certificateUrls, fetchLimits: limits });
    const question = {
      certificates: [],
      references: [at('/certs/leaf.der'), at('/certs/middle.der', middle.der)],
      identity: { type: 2, data: encodeUtf8('gw.example.com') },
      names: ['gw.example.com'],
    };
    const good = await verifier(root.der).verify(question);
    assert.ok(good.accepted);
    assert.ok(good.trace.some((line) => line.endsWith('/certs/leaf.der: fetched a certificate')));
    const other = pki.issue('other', { extensions: authority });
    const untrusted = await verifier(other.der).verify(question);
    assert.ok(!untrusted.accepted && untrusted.reason === 'untrusted');
    const wrong = await verifier(root.der).verify({ ...question, names: ['another.example.com'] });
    assert.ok(!wrong.accepted && wrong.reason === 'wrong-name');
    asked.length = 0;
    const off = await verifier(root.der, []).verify(question);
    assert.ok(!off.accepted && off.reason === 'no-certificate');
    assert.deepEqual(asked, []);
  });

  test('a first certificate that cannot be had is not replaced by the next', async () => {
    const verdict = await createGatewayVerifier({
      anchors: [root.der],
      revocation: 'off',
      certificateUrls: [new URL(`${origin}/certs/`)],
      fetchLimits: limits,
    }).verify({
      certificates: [leaf.der, middle.der],
      references: [at('/certs/nothing')],
      identity: { type: 2, data: encodeUtf8('gw.example.com') },
      names: ['gw.example.com'],
    });
    assert.ok(!verdict.accepted && verdict.reason === 'no-certificate');
  });

  test('prefixes', () => {
    for (const bad of [
      '',
      'https://a/',
      'http://',
      'http://a b/',
      'http://u@a/',
      'http://a/?x',
      'http://a/#x',
      'http://a/%2e%2e/',
      'a/b',
    ])
      assert.equal(readUrlPrefix(bad), undefined, bad);
    const prefixes = ['http://PKI.example:80/certs', 'http://[2001:db8::1]:8080/'].map((text) => readUrlPrefix(text)!);
    for (const good of [
      'http://pki.example/certs',
      'http://pki.example/certs/a/b?c',
      'HTTP://pki.example:80/certs/x',
      'http://[2001:db8::1]:8080/x',
    ])
      assert.ok(isBelow(good, prefixes), good);
    for (const bad of [
      'http://pki.example/certs2',
      'http://pki.example:8080/certs/a',
      'http://pki.example.evil/certs/a',
      'http://[2001:db8::1]/x',
    ])
      assert.ok(!isBelow(bad, prefixes), bad);
  });
});
