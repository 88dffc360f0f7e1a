import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, suite, test } from 'node:test';
import type { TlsServerTrust } from '@aovpn/eap';
import { ServerMemory, serverMemory } from '../../src/tls/server-memory.ts';
import { verifyServer } from '../../src/tls/verify-server.ts';
import { AnchorStore } from '../../src/trust/anchor-store.ts';
import { authority, server, TestPki, type TestCertificate } from '../trust/test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const name = 'radius.example.com';
const root = pki.issue('root', { extensions: authority });
const stranger = pki.issue('stranger', { extensions: authority });
const trust: TlsServerTrust = { validate: true, serverNames: [name], trustedRoots: [thumbprint(root)] };

function radius(id: string, issuer: TestCertificate): TestCertificate {
  return pki.issue(id, { issuer, extensions: [...server, `subjectAltName=DNS:${name}`] });
}

function thumbprint({ der }: TestCertificate): string {
  return createHash('sha1').update(der).digest('hex');
}

async function verdictOn(certificate: TestCertificate, now = new Date()): Promise<string> {
  const judge = { roots: serverMemory.roots([root.der]), now: () => now };
  return (await verifyServer({ certificates: [certificate.der], stapled: undefined, trust }, judge)).kind;
}

function isKept({ der }: TestCertificate): boolean {
  return serverMemory.read(der) === serverMemory.read(der);
}

suite('what was read of RADIUS servers', () => {
  test('a believed server stays read, and is judged anew all the same', async () => {
    const good = radius('good', root);
    assert.equal(isKept(good), false);
    assert.equal(await verdictOn(good), 'believed');
    assert.equal(isKept(good), true);
    assert.equal(await verdictOn(good, new Date(Date.now() + 100 * 365 * 86_400_000)), 'refused');
  });

  test('a refused one does not', async () => {
    const impostor = radius('impostor', stranger);
    assert.equal(await verdictOn(impostor), 'refused');
    assert.equal(isKept(impostor), false);
  });

  test('of many, the last ones stay', () => {
    const memory = new ServerMemory();
    const certificates = Array.from({ length: 33 }, (_, i) => memory.read(radius(`many${i}`, root).der));
    memory.keep(certificates);
    assert.notEqual(memory.read(certificates[0]!.der), certificates[0]);
    assert.equal(memory.read(certificates[1]!.der), certificates[1]);
    assert.equal(memory.read(certificates[32]!.der), certificates[32]);
  });

  test('roots are told apart by their octets, and narrowed to what a profile names', () => {
    const memory = new ServerMemory();
    const one = memory.roots([root.der]);
    assert.equal(memory.roots([root.der.slice()]), one);
    assert.notEqual(memory.roots([stranger.der]), one);
    const both = memory.roots([root.der, stranger.der]);
    const narrowed = memory.narrowed(both, [thumbprint(root)]);
    assert.equal(narrowed.size, 1);
    assert.equal(memory.narrowed(both, [thumbprint(root)]), narrowed);
    assert.equal(memory.narrowed(both, []).size, 0);
    assert.equal(memory.narrowed(AnchorStore.fromDer([stranger.der]), [thumbprint(root)]).size, 0);
  });
});
