// EST over real TLS on loopback. Requests are read and certificates made by openssl.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, suite, test } from 'node:test';
import { loadCredential } from '../../src/keys/credential.ts';
import { enrolledFile } from '../../src/enrol/enrolled-file.ts';
import { obtainCertificate, type CertificateObtained, type CertificateWanted } from '../../src/enrol/obtain-certificate.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { EstServer, type EstConduct } from '../../testkit/est-server.ts';
import { authority, server as forServer, TestPki } from '../trust/test-pki.ts';

const pki = new TestPki();
const root = pki.issue('Company Root', { extensions: authority });
const issuing = pki.issue('Company Issuing', { issuer: root, extensions: authority });
const stranger = pki.issue('Somebody Else', { extensions: authority });
const names = [...forServer, 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
const tls = pki.issue('est', { issuer: root, extensions: names });
const strange = pki.issue('est', { issuer: stranger, extensions: names });
const fingerprint = (pem: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(new X509Certificate(pem).raw).digest());
const secret = 'one-time & "secret"';

suite('EST', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-enrol-'));
  const ordinary: EstConduct = { lifetimeSeconds: 3600, secrets: [] };
  let conduct: EstConduct;
  let said: string[];
  let count = 0;
  const servers: EstServer[] = [];
  let good: EstServer;
  let impostor: EstServer;
  const start = async (more: Partial<Parameters<typeof EstServer.start>[0]> = {}): Promise<EstServer> => {
    const started = await EstServer.start({
      authority: { certificatePem: issuing.pem, keyPem: issuing.key, chainPem: root.pem },
      server: { certificatePem: tls.pem, keyPem: tls.key },
      host: '127.0.0.1',
      port: 0,
      conduct: () => conduct,
      log: (line) => said.push(line),
      lineBreaks: true,
      ...more,
    });
    servers.push(started);
    return started;
  };
  before(async () => {
    said = [];
    good = await start();
    impostor = await start({ server: { certificatePem: strange.pem, keyPem: strange.key } });
  });
  beforeEach(() => {
    said = [];
    count++;
    conduct = { ...ordinary, secrets: [{ user: `m${count}`, secret }] };
  });
  after(async () => {
    for (const one of servers) await one.close();
    pki[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  const wanted = (more: Partial<CertificateWanted> = {}): CertificateWanted => ({
    directory,
    name: `m${count}`,
    protocol: 'est',
    url: `https://127.0.0.1:${good.port}/.well-known/est`,
    fingerprint: fingerprint(root.pem),
    names: {
      subject: [
        { type: '2.5.4.3', text: 'Büro "7"', as: 'utf8' },
        { type: '2.5.4.10', text: 'Example', as: 'utf8' },
      ],
      dns: ['laptop.corp.example'],
      email: ['a@corp.example'],
      upn: ['alice@corp.example'],
    },
    how: 'enrol',
    weak: false,
    anew: false,
    secret: { userName: `m${count}`, octets: new TextEncoder().encode(secret) },
    ...more,
  });
  const file = (): string => enrolledFile(directory, `m${count}`);
  async function fails(
    failure: string,
    detail: RegExp,
    more: Partial<CertificateWanted> = {},
  ): Promise<CertificateObtained & { kind: 'failed' }> {
    const result = await obtainCertificate(wanted(more));
    assert.equal(result.kind, 'failed', JSON.stringify(result));
    assert.ok(result.kind === 'failed');
    assert.equal(result.failure, failure, result.detail);
    assert.match(result.detail, detail);
    return result;
  }

  test('a secret and a fingerprint are enough: the key is made here, names are as written, the chain is whole, the file is root’s alone', async () => {
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    assert.equal(statSync(directory).mode & 0o077, 0);
    const credential = await loadCredential({ certificate: file() });
    assert.equal(credential.subject, String.raw`CN=Büro \"7\", O=Example`);
    assert.deepEqual(credential.names, { dns: ['laptop.corp.example'], email: ['a@corp.example'], upn: ['alice@corp.example'] });
    assert.deepEqual(credential.schemes, ['ecdsa-sha256']);
    assert.deepEqual(
      credential.certificates.map((der) => new X509Certificate(der).issuer),
      ['CN=Company Issuing', 'CN=Company Root'],
    );
    assert.ok(said.some((line) => line.startsWith('issued')));
  });

  for (const [key, schemes] of [
    ['p384', /^ecdsa-sha384/],
    ['rsa2048', /^rsa-pss/],
    ['rsa3072', /^rsa-pss/],
  ] as const) {
    test(`a key of kind ${key}`, async () => {
      assert.deepEqual(await obtainCertificate(wanted({ key })), { kind: 'issued' });
      const credential = await loadCredential({ certificate: file() });
      assert.match(credential.schemes[0]!, schemes);
      if (key.startsWith('rsa'))
        assert.equal(
          new X509Certificate(credential.certificates[0]!).publicKey.asymmetricKeyDetails?.modulusLength,
          Number(key.slice(3)),
        );
    });
  }

  test('a file of authorities is another way to know the server', async () => {
    const { fingerprint: _, ...rest } = wanted({ authorities: root.pem });
    assert.deepEqual(await obtainCertificate(rest), { kind: 'issued' });
  });

  test('who has neither the fingerprint nor the authority is told nothing, least of all the secret', async () => {
    const url = `https://127.0.0.1:${impostor.port}/.well-known/est`;
    await fails('untrusted', /its certificate/, { url });
    assert.deepEqual(
      said.map((line) => line.split(' ')[1]),
      ['/.well-known/est/cacerts'],
    );
    said = [];
    const { fingerprint: _, ...rest } = wanted({ url, authorities: root.pem });
    const byFile = await obtainCertificate(rest);
    assert.ok(byFile.kind === 'failed' && byFile.failure === 'untrusted', JSON.stringify(byFile));
    assert.deepEqual(said, []);
    await fails('untrusted', /fingerprint/, { fingerprint: fingerprint(stranger.pem) });
    assert.throws(() => statSync(file()));
  });

  test('a server of another name is none', async () => {
    const other = pki.issue('other', { issuer: root, extensions: [...forServer, 'subjectAltName=DNS:other.example'] });
    const misnamed = await start({ server: { certificatePem: other.pem, keyPem: other.key } });
    await fails('untrusted', /does not name 127\.0\.0\.1/, { url: `https://127.0.0.1:${misnamed.port}/.well-known/est` });
  });

  test('without anybody to believe nothing is asked', async () => {
    const { fingerprint: _, ...rest } = wanted();
    const result = await obtainCertificate(rest);
    assert.ok(result.kind === 'failed' && result.failure === 'untrusted');
    assert.deepEqual(said, []);
  });

  test('a wrong secret is told apart, and is in no error, whatever the server says', async () => {
    const octets = new TextEncoder().encode('wrong secret');
    const result = await fails('secret-refused', /HTTP 401: "not a secret that counts/, {
      secret: { userName: `m${count}`, octets },
    });
    assert.ok(!result.detail.includes('wrong secret'), result.detail);
  });

  test('a renewal has a new key, the same names, no secret, and the old pair until the new one is whole', async () => {
    await obtainCertificate(wanted());
    const before = await loadCredential({ certificate: file() });
    const text = readFileSync(file(), 'utf8');
    conduct = { ...ordinary, lifetimeSeconds: 7200, refuse: { status: 403, words: 'not <b>today</b>' } };
    const { secret: _, ...rest } = wanted({ how: 'renew', names: { subject: [], dns: ['changed.example'], email: [], upn: [] } });
    const refused = await obtainCertificate(rest);
    assert.deepEqual(refused, { kind: 'failed', failure: 'refused', detail: 'HTTP 403: "not today"' });
    assert.equal(readFileSync(file(), 'utf8'), text);
    conduct = { ...ordinary, lifetimeSeconds: 7200 };
    assert.deepEqual(await obtainCertificate(rest), { kind: 'issued' });
    const after = await loadCredential({ certificate: file() });
    assert.equal(after.subject, before.subject);
    assert.deepEqual(after.names, before.names);
    assert.ok(after.notAfter > before.notAfter);
    const [old, now] = [before, after].map(({ certificates }) =>
      new X509Certificate(certificates[0]!).publicKey.export({ format: 'der', type: 'spki' }),
    );
    assert.notDeepEqual(old, now);
    assert.ok(said.some((line) => /simplereenroll .* certificate /.test(line)));
  });

  test('a certificate that the server does not know any more renews nothing', async () => {
    const mine = pki.issue('gone', { issuer: stranger });
    writeFileSync(file(), mine.key + mine.pem, { mode: 0o600 });
    await fails('refused', /HTTP 401/, { how: 'renew' });
    assert.equal(readFileSync(file(), 'utf8'), mine.key + mine.pem);
  });

  test('an existing certificate enrols in the place of a secret', async () => {
    const mine = pki.issue('from the maker', { issuer: issuing });
    const { secret: _, ...rest } = wanted({ credential: { certificate: mine.certificatePath, key: mine.keyPath } });
    assert.deepEqual(await obtainCertificate(rest), { kind: 'issued' });
    assert.ok(said.some((line) => /simpleenroll .* certificate CN=from the maker/.test(line)));
  });

  test('what is pending is asked for again with the same key', async () => {
    conduct = { ...conduct, pendingSeconds: 7 };
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'pending', retryAfter: 7000 });
    const pending = path.join(directory, `m${count}.pending`);
    assert.equal(statSync(pending).mode & 0o777, 0o600);
    const kept = readFileSync(pending, 'utf8');
    const { pendingSeconds: _, ...granted } = conduct;
    conduct = granted;
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.ok(readFileSync(file(), 'utf8').startsWith(kept));
    assert.throws(() => statSync(pending));
  });

  test('a request is bound to its connection where the server wants it (TLS 1.2)', async () => {
    conduct = { ...conduct, binding: true };
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.ok(said.some((line) => /simpleenroll TLSv1\.2/.test(line)));
  });

  test('kind of key, hash and extensions that the server wants are in the request; the administrator’s word on the key goes first', async () => {
    // SEQUENCE { ecdsa-with-SHA384, { ecPublicKey, { secp384r1 } }, { extensionRequest, {{ keyUsage, critical, digitalSignature }} }, 1.2.3 }
    const attributes = Buffer.from(
      '304006082a8648ce3d040303301206072a8648ce3d020131070605' +
        '2b81040022' +
        '301c06092a864886f70d01090e310f300d300b0603551d0f0404' +
        '03020780' +
        '06022a03',
      'hex',
    ).toString('base64');
    conduct = { ...conduct, attributes };
    const result = await obtainCertificate(wanted());
    assert.deepEqual(result, { kind: 'issued' });
    const { certificates } = await loadCredential({ certificate: file() });
    const made = new X509Certificate(certificates[0]!);
    assert.equal(made.publicKey.asymmetricKeyDetails?.namedCurve, 'secp384r1');
    assert.deepEqual(parseCertificate(certificates[0]!).keyUsage, {
      digitalSignature: true,
      contentCommitment: false,
      keyEncipherment: false,
      certSign: false,
      crlSign: false,
    });
    conduct = { ...conduct, secrets: [{ user: `m${count}`, secret: 'another' }] };
    const octets = new TextEncoder().encode('another');
    assert.deepEqual(await obtainCertificate(wanted({ key: 'p256', secret: { userName: `m${count}`, octets } })), {
      kind: 'issued',
    });
    const again = await loadCredential({ certificate: file() });
    assert.equal(new X509Certificate(again.certificates[0]!).publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  });

  test('an answer that is no certificate of ours changes nothing', async () => {
    const other = pki.issue('other', { issuer: issuing });
    const answer = (pem: string): string => {
      writeFileSync(path.join(pki.directory, 'answer.pem'), pem);
      pki.openssl(
        'crl2pkcs7',
        '-nocrl',
        '-certfile',
        path.join(pki.directory, 'answer.pem'),
        '-outform',
        'DER',
        '-out',
        path.join(pki.directory, 'answer.p7'),
      );
      return readFileSync(path.join(pki.directory, 'answer.p7')).toString('base64');
    };
    conduct = { ...conduct, answer: answer(other.pem) };
    await fails('unusable', /for our key/);
    conduct = { ...conduct, answer: Buffer.from('no pkcs7').toString('base64') };
    await fails('unusable', /PKCS#7/);
    assert.throws(() => statSync(file()));
  });

  test('a renewal that ends no later is refused', async () => {
    await obtainCertificate(wanted());
    const text = readFileSync(file(), 'utf8');
    conduct = { ...ordinary, lifetimeSeconds: 60 };
    await fails('unusable', /no later than the one in use/, { how: 'renew' });
    assert.equal(readFileSync(file(), 'utf8'), text);
  });

  test('a server that is in trouble, or not there, is asked again later', async () => {
    conduct = { ...conduct, refuse: { status: 503, words: 'too much to do' } };
    await fails('unreachable', /HTTP 503.*too much to do/);
    await fails('unreachable', /ECONNREFUSED/, { url: 'https://127.0.0.1:1/.well-known/est' });
  });

  test('redirects lead to the same server only', async () => {
    await fails('refused', /HTTP 404/, { url: `https://127.0.0.1:${good.port}/.well-known/est/moved` });
    assert.ok(
      said.some((line) => line.includes('GET /.well-known/est/cacerts')),
      said.join('\n'),
    );
    await fails('refused', /to another server/, { url: `https://127.0.0.1:${good.port}/.well-known/est/away` });
  });

  test('a state directory that cannot be written is this machine’s fault', async () => {
    await fails('host', /ENOTDIR|EEXIST/, { directory: path.join(root.certificatePath, 'below') });
  });

  test('no file but the pairs is left', () => {
    assert.ok(
      readdirSync(directory).every((name) => /^m\d+\.pem$/.test(name)),
      readdirSync(directory).join(' '),
    );
  });
});
