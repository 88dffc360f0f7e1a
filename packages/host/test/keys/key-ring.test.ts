import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { verifySignature } from '../../src/crypto/signature.ts';
import { HostError } from '../../src/host-error.ts';
import { openKeyRing } from '../../src/keys/key-ring.ts';
import { createTlsEngine } from '../../src/tls/tls-engine.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { handshake, TestServer } from '../tls/tls-server.ts';
import { authority, ecKey, server, TestPki, type TestCertificate } from '../trust/test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const root = pki.issue('root', { subject: '/DC=example/DC=corp/CN=Corp Root', extensions: authority });
const middle = pki.issue('middle', { issuer: root, subject: '/O=Example, Inc./CN=Corp Issuing', extensions: authority });
const names = 'subjectAltName=email:kim@example.com,DNS:pc.example.com,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:kim@corp.example';
const client = pki.issue('client', {
  issuer: middle,
  subject: '/C=DE/O=Example "Ltd", Inc./CN=Kim; Co',
  extensions: [names, 'extendedKeyUsage=clientAuth,1.3.6.1.4.1.311.20.2.2', 'keyUsage=critical,digitalSignature'],
});
const plain = pki.issue('plain', { issuer: root });

function hash(algorithm: string, { der }: TestCertificate): string {
  return createHash(algorithm).update(der).digest('hex');
}

let directories = 0;
function directoryWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const directory = path.join(pki.directory, `ring-${++directories}`);
  mkdirSync(directory);
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(directory, name), content, { mode: 0o600 });
  return directory;
}

function pkcs12(directory: string, name: string, certificate: TestCertificate, password: string): string {
  const out = path.join(directory, name);
  const input = ['-inkey', certificate.keyPath, '-in', certificate.certificatePath, '-certfile', middle.certificatePath];
  pki.openssl('pkcs12', '-export', ...input, '-passout', `pass:${password}`, '-out', out);
  chmodSync(out, 0o600);
  return out;
}

const authorities = [root.der];

suite('key ring: candidates', () => {
  test('all the facts of a certificate', async () => {
    const directory = directoryWith({ 'client.pem': client.pem + middle.pem, 'client.key': client.key });
    const certificate = path.join(directory, 'client.pem');
    const ring = openKeyRing([{ kind: 'pem', certificate, key: path.join(directory, 'client.key') }], { authorities });
    assert.deepEqual(await ring.candidates(), [
      {
        id: hash('sha256', client),
        source: `file ${certificate}`,
        onToken: false,
        hasKey: true,
        // As `openssl x509 -nameopt RFC2253` writes it.
        subject: String.raw`CN=Kim\; Co,O=Example \"Ltd\"\, Inc.,C=DE`,
        issuer: String.raw`CN=Corp Issuing,O=Example\, Inc.`,
        commonName: 'Kim; Co',
        userPrincipalNames: ['kim@corp.example'],
        emailAddresses: ['kim@example.com'],
        dnsNames: ['pc.example.com'],
        notBefore: new Date(client.x509.validFrom).getTime(),
        notAfter: new Date(client.x509.validTo).getTime(),
        extendedKeyUsage: ['1.3.6.1.5.5.7.3.2', '1.3.6.1.4.1.311.20.2.2'],
        digitalSignature: true,
        issuerHashes: [hash('sha1', middle), hash('sha1', root)],
        issuerSubjects: [String.raw`CN=Corp Issuing,O=Example\, Inc.`, 'CN=Corp Root,DC=corp,DC=example'],
        issuerValidity: [
          { notAfter: new Date(middle.x509.validTo).getTime(), isRoot: false },
          { notAfter: new Date(root.x509.validTo).getTime(), isRoot: true },
        ],
      },
    ]);
    assert.deepEqual(ring.problems(), []);
    const text = pki.openssl('x509', '-in', client.certificatePath, '-noout', '-subject', '-nameopt', 'RFC2253').trim();
    assert.equal(text, `subject=${String.raw`CN=Kim\; Co,O=Example \"Ltd\"\, Inc.,C=DE`}`);
  });

  test('no extension is no answer, not a no', async () => {
    const [candidate] = await openKeyRing([{ kind: 'pem', certificate: plain.certificatePath }], { authorities }).candidates();
    assert.equal(candidate?.extendedKeyUsage, undefined);
    assert.equal(candidate?.digitalSignature, undefined);
    assert.equal(candidate?.hasKey, false);
    assert.deepEqual(candidate?.issuerHashes, [hash('sha1', root)]);
  });

  test('an authority counts as above only when it has signed', async () => {
    const impostor = pki.issue('impostor', { subject: '/O=Example, Inc./CN=Corp Issuing', extensions: authority });
    const directory = directoryWith({ 'client.pem': client.pem + impostor.pem });
    const ring = openKeyRing([{ kind: 'pem', certificate: path.join(directory, 'client.pem') }], { authorities });
    assert.deepEqual((await ring.candidates())[0]?.issuerHashes, []);
  });

  test('authorities that are named for one look count beside the others', async () => {
    const source = { kind: 'pem', certificate: client.certificatePath } as const;
    const ring = openKeyRing([source], { authorities });
    const above = async (also?: readonly X509Certificate[]): Promise<readonly string[] | undefined> =>
      (await ring.candidates(also))[0]?.issuerHashes;
    assert.deepEqual(await above(), []);
    assert.deepEqual(await above([middle.x509]), [hash('sha1', middle), hash('sha1', root)]);
    assert.deepEqual(await above(), []);
  });

  test('an authority that was renewed with its key counts for as long as the newer certificate', async () => {
    const key = ecKey();
    const old = pki.issue('old root', { subject: '/CN=Renewed', extensions: authority, key, days: 10 });
    const renewed = pki.issue('new root', { subject: '/CN=Renewed', extensions: authority, key, days: 20 });
    const leaf = pki.issue('below', { issuer: old });
    const ring = openKeyRing([{ kind: 'pem', certificate: leaf.certificatePath }], { authorities: [old.der, renewed.der] });
    const [candidate] = await ring.candidates();
    const ends = candidate!.issuerValidity!.map(({ notAfter }) => notAfter);
    assert.equal(candidate!.issuerHashes[0], hash('sha1', old));
    assert.equal(ends[0], new Date(renewed.x509.validTo).getTime());
  });

  test('a problem of one source hides no other', async () => {
    const ring = openKeyRing(
      [
        { kind: 'pem', certificate: '/nowhere/client.pem' },
        { kind: 'pem', certificate: client.certificatePath, key: plain.keyPath },
        { kind: 'pkcs12', file: client.certificatePath },
        { kind: 'directory', path: '/nowhere' },
        { kind: 'pem', certificate: plain.certificatePath, key: plain.keyPath },
      ],
      { authorities },
    );
    const candidates = await ring.candidates();
    assert.deepEqual(
      candidates.map(({ id, hasKey }) => [id, hasKey]),
      [
        [hash('sha256', client), false],
        [hash('sha256', plain), true],
      ],
    );
    const codes = ring.problems().map(({ error }) => error.code);
    assert.deepEqual(codes.with(2, '…'), ['AOV-HOST-100', 'AOV-HOST-114', '…', 'AOV-HOST-100']);
    assert.deepEqual(
      ring.problems().map(({ source }) => source.split(' ')[0]),
      ['file', 'file', 'PKCS#12', 'directory'],
    );
  });

  test('the same certificate twice is one, with its key', async () => {
    const ring = openKeyRing(
      [
        { kind: 'pem', certificate: client.certificatePath },
        { kind: 'pem', certificate: client.certificatePath, key: client.keyPath },
      ],
      { authorities },
    );
    const candidates = await ring.candidates();
    assert.deepEqual(
      candidates.map(({ hasKey }) => hasKey),
      [true],
    );
    await (await ring.credential(hash('sha256', client))).sign('ecdsa-sha256', Uint8Array.of(1));
  });
});

suite('key ring: a directory', () => {
  const second = pki.issue('second', { issuer: middle, key: ecKey('P-384') });

  test('certificates find their keys by what they are, whatever the files are called', async () => {
    const directory = directoryWith({
      'a.pem': client.pem,
      'b.crt': second.pem,
      'other-name.key': client.key,
      'both.pem': plain.pem + plain.key,
      'ca.pem': middle.pem,
      'notes.txt': 'nothing',
      'keyless.cer': radius.der,
    });
    pkcs12(directory, 'second.p12', second, 'geheim');
    writeFileSync(path.join(directory, 'second.p12.secret'), 'geheim\n', { mode: 0o600 });
    const ring = openKeyRing([{ kind: 'directory', path: directory }], { authorities });
    const candidates = await ring.candidates();
    assert.deepEqual(ring.problems(), []);
    const found = new Map(candidates.map(({ id, hasKey, source }) => [id, [hasKey, path.basename(source)]]));
    assert.deepEqual(
      found,
      new Map([
        [hash('sha256', client), [true, 'a.pem']],
        [hash('sha256', second), [true, 'second.p12']],
        [hash('sha256', plain), [true, 'both.pem']],
        [hash('sha256', radius), [false, 'keyless.cer']],
      ]),
    );
    // The issuer is in a file of its own.
    const credential = await ring.credential(hash('sha256', client));
    assert.deepEqual(
      credential.certificates.map((der) => new X509Certificate(der).subject),
      [client.x509.subject, middle.x509.subject],
    );
    const signature = await credential.sign('ecdsa-sha256', Uint8Array.of(1));
    assert.ok(verifySignature(parseCertificate(client.der).spki, 'ecdsa-sha256', Uint8Array.of(1), signature));
  });

  test('a key that others can read is not used, and that is said', async () => {
    const directory = directoryWith({ 'a.pem': client.pem, 'a.key': client.key });
    chmodSync(path.join(directory, 'a.key'), 0o644);
    const ring = openKeyRing([{ kind: 'directory', path: directory }], { authorities });
    assert.deepEqual(
      (await ring.candidates()).map(({ hasKey }) => hasKey),
      [false],
    );
    assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-101');
    await assert.rejects(
      ring.credential(hash('sha256', client)),
      (error) => error instanceof HostError && error.code === 'AOV-HOST-111',
    );
  });

  test('what has come since is found', async () => {
    const directory = directoryWith({});
    const ring = openKeyRing([{ kind: 'directory', path: directory }], { authorities });
    assert.deepEqual(await ring.candidates(), []);
    writeFileSync(path.join(directory, 'late.pem'), client.pem + client.key, { mode: 0o600 });
    assert.equal((await ring.credential(hash('sha256', client))).onToken, false);
  });
});

const radius = pki.issue('radius', { issuer: root, extensions: [...server, 'subjectAltName=DNS:radius.example.com'] });

suite('key ring: what a credential does', () => {
  const directory = directoryWith({ 'p12.secret': 'geheim\n' });
  const file = pkcs12(directory, 'client.p12', client, 'geheim');
  const sources = [
    { kind: 'pem', certificate: client.certificatePath, key: client.keyPath },
    { kind: 'pkcs12', file, passwordFile: path.join(directory, 'p12.secret') },
  ] as const;
  for (const source of sources) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      test(`${source.kind}: IKE signature, and client of ${version}`, async () => {
        const credential = await openKeyRing([source], { authorities }).credential(hash('sha256', client));
        assert.equal(credential.onToken, false);
        const signature = await credential.sign('ecdsa-sha256', Uint8Array.of(1));
        assert.ok(verifySignature(parseCertificate(client.der).spki, 'ecdsa-sha256', Uint8Array.of(1), signature));
        const tlsServer = new TestServer({ certificate: radius, version, clientRoots: [root, middle] });
        const trust = { validate: true, serverNames: [], trustedRoots: [] };
        const engine = createTlsEngine({ credential, roots: [root.der] });
        const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
        assert.equal(run.output.state.kind, 'established');
        assert.doesNotMatch(JSON.stringify(credential), /PRIVATE|geheim/);
      });
    }
  }

  test('a wrong password is told with its file', async () => {
    const wrong = path.join(directory, 'wrong.secret');
    writeFileSync(wrong, 'falsch', { mode: 0o600 });
    const ring = openKeyRing([{ kind: 'pkcs12', file, passwordFile: wrong }], { authorities });
    assert.deepEqual(await ring.candidates(), []);
    assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-120');
    assert.equal(ring.problems()[0]?.source, `PKCS#12 ${file}`);
  });
});
