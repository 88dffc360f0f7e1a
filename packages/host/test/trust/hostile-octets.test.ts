import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import * as fc from 'fast-check';
import { CertificateError, parseCertificate } from '../../src/trust/certificate.ts';
import { checkCrl } from '../../src/trust/crl.ts';
import { createGatewayVerifier } from '../../src/trust/gateway-verifier.ts';
import { checkOcspResponse, writeOcspRequest } from '../../src/trust/ocsp.ts';
import { authority, server, TestPki } from './test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const root = pki.issue('root', {
  extensions: [...authority, 'nameConstraints=critical,permitted;DNS:example.com,permitted;IP:10.0.0.0/255.0.0.0'],
});
const leaf = pki.issue('leaf', {
  issuer: root,
  extensions: [
    ...server,
    'subjectAltName=DNS:gw.example.com,IP:10.0.0.1,URI:http://x.example/,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@b',
    'crlDistributionPoints=URI:http://x.example/crl',
    'authorityInfoAccess=OCSP;URI:http://x.example/ocsp',
  ],
});
const issuer = parseCertificate(root.der);
const subject = parseCertificate(leaf.der);
const crl = pki.crl(root, [leaf]);
const ocsp = pki.ocsp(root, root, [], writeOcspRequest(subject, issuer));
const now = new Date();

/** The octets with some of them changed, cut or repeated: close enough to the real thing to get deep into a decoder. */
function damaged(octets: Uint8Array): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(octets.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  const changed = changes.map((list) => {
    const copy = octets.slice();
    for (const [at, value] of list) copy[at] = value;
    return copy;
  });
  return fc.oneof(
    { weight: 6, arbitrary: changed },
    { weight: 1, arbitrary: fc.nat(octets.length - 1).map((length) => octets.slice(0, length)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  );
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

suite('hostile octets', () => {
  for (const [name, der] of [
    ['a leaf', leaf.der],
    ['an authority', root.der],
  ] as const) {
    test(`${name} is read, or refused with a CertificateError`, () => {
      fc.assert(
        fc.property(damaged(der), (octets) => {
          try {
            parseCertificate(octets);
          } catch (error) {
            assert.ok(error instanceof CertificateError, String(error));
          }
        }),
        { numRuns: 400 },
      );
    });
  }

  test('a damaged certificate is never believed', async () => {
    const verifier = createGatewayVerifier({ anchors: [root.der], revocation: 'off' });
    const identity = { type: 11, data: new Uint8Array() };
    const names = ['gw.example.com'];
    assert.ok((await verifier.verify({ certificates: [leaf.der], identity, names })).accepted);
    await fc.assert(
      fc.asyncProperty(damaged(leaf.der), async (octets) => {
        fc.pre(!same(octets, leaf.der));
        assert.ok(!(await verifier.verify({ certificates: [octets], identity, names })).accepted);
      }),
      { numRuns: 200 },
    );
  });

  test('a damaged revocation list says nothing', () => {
    const checked = checkCrl(crl, issuer, now);
    assert.ok(checked.kind === 'crl' && checked.crl.statusOf(subject).kind === 'revoked');
    fc.assert(
      fc.property(damaged(crl), (octets) => {
        fc.pre(!same(octets, crl));
        assert.equal(checkCrl(octets, issuer, now).kind, 'unknown');
      }),
      { numRuns: 300 },
    );
  });

  test('a damaged OCSP response says nothing that its signature does not cover', () => {
    assert.equal(checkOcspResponse(ocsp, subject, issuer, now).kind, 'good');
    fc.assert(
      fc.property(damaged(ocsp), (octets) => {
        assert.notEqual(checkOcspResponse(octets, subject, issuer, now).kind, 'revoked');
      }),
      { numRuns: 300 },
    );
  });
});
