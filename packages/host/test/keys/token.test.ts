import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { createServer, type SecureContext } from 'node:tls';
import { runInNewContext } from 'node:vm';
import { parseAddress } from '@aovpn/bytes';
import type { SignatureScheme } from '@aovpn/ike';
import { verifySignature } from '../../src/crypto/signature.ts';
import { HostError, hostErrors } from '../../src/host-error.ts';
import type { Credential } from '../../src/keys/credential.ts';
import { openKeyRing, type KeyRing } from '../../src/keys/key-ring.ts';
import type { KeySource } from '../../src/keys/key-source.ts';
import type { PinQuestion } from '../../src/keys/pkcs11/pin.ts';
import { askBeacon } from '../../src/probe/beacon.ts';
import { foreignKeyCount } from '../../src/sys/openssl-engine.ts';
import { createTlsEngine } from '../../src/tls/tls-engine.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { handshake, TestServer } from '../tls/tls-server.ts';
import { authority, ecKey, rsaKey, server, TestPki, type TestCertificate } from '../trust/test-pki.ts';
import { softModule, SoftTokens } from './soft-token.ts';

const pki = new TestPki();
const tokens = new SoftTokens();
const rings: KeyRing[] = [];
// SoftHSM shows a token that another process has made only after a new start, which waits until nobody is logged in.
afterEach(async () => {
  for (const ring of rings.splice(0)) await ring.close();
});
after(() => {
  pki[Symbol.dispose]();
  tokens[Symbol.dispose]();
});

const root = pki.issue('root', { extensions: authority });
const radius = pki.issue('radius', { issuer: root, extensions: [...server, 'subjectAltName=DNS:radius.example.com'] });
const trust = { validate: true, serverNames: ['radius.example.com'], trustedRoots: [] };
const forClients = ['extendedKeyUsage=clientAuth', 'keyUsage=critical,digitalSignature'];
const rsa = pki.issue('laptop rsa', { issuer: root, key: rsaKey(2048), extensions: forClients });
const p256 = pki.issue('laptop p256', { issuer: root, key: ecKey('P-256'), extensions: forClients });
const p384 = pki.issue('laptop p384', { issuer: root, key: ecKey('P-384'), extensions: forClients });

tokens.create('card');
for (const certificate of [rsa, p256, p384]) tokens.add('card', certificate);
const pinFile = tokens.file('pin', '123456\n');

function ringOf(
  source: Partial<Extract<KeySource, { kind: 'pkcs11' }>> = {},
  options: Parameters<typeof openKeyRing>[1] = {},
): KeyRing {
  const ring = openKeyRing([{ kind: 'pkcs11', module: softModule, token: 'card', ...source }], options);
  rings.push(ring);
  return ring;
}

function idOf(certificate: TestCertificate): string {
  return createHash('sha256').update(certificate.der).digest('hex');
}

async function fails(code: string, promise: Promise<unknown>, what = /./): Promise<void> {
  const error = await promise.then(
    () => assert.fail('no error'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof HostError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.what, what);
  assert.doesNotMatch(error.message + error.cure, /123456|999999/);
  assert.ok(hostErrors.some((entry) => entry.code === code));
}

const data = new TextEncoder().encode('octets of IKE_AUTH');

async function signsWell(credential: Credential, certificate: TestCertificate, scheme = credential.schemes[0]!): Promise<void> {
  const signature = await credential.sign(scheme, data);
  assert.ok(verifySignature(parseCertificate(certificate.der).spki, scheme, data, signature), scheme);
}

suite('PKCS#11: what is there', () => {
  test('certificates with their facts, before any PIN is given', async () => {
    let asked = 0;
    const ring = ringOf({}, { authorities: [root.der], askPin: () => Promise.resolve((asked++, undefined)) });
    const candidates = await ring.candidates();
    assert.equal(asked, 0);
    assert.deepEqual(ring.problems(), []);
    assert.deepEqual(candidates.map(({ id }) => id).toSorted(), [rsa, p256, p384].map(idOf).toSorted());
    const candidate = candidates.find(({ id }) => id === idOf(rsa))!;
    assert.deepEqual(candidate, {
      id: idOf(rsa),
      source: 'token "card", object "laptop rsa"',
      onToken: true,
      hasKey: true,
      subject: 'CN=laptop rsa',
      issuer: 'CN=root',
      commonName: 'laptop rsa',
      userPrincipalNames: [],
      emailAddresses: [],
      dnsNames: [],
      notBefore: new Date(rsa.x509.validFrom).getTime(),
      notAfter: new Date(rsa.x509.validTo).getTime(),
      extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'],
      digitalSignature: true,
      issuerHashes: [createHash('sha1').update(root.der).digest('hex')],
      issuerSubjects: ['CN=root'],
      issuerValidity: [{ notAfter: new Date(root.x509.validTo).getTime(), isRoot: true }],
    });
  });

  test('one object of many; a certificate whose key is elsewhere', async () => {
    tokens.create('keyless');
    tokens.addCertificate('keyless', rsa, 'beef');
    assert.deepEqual(
      (await ringOf({ object: 'laptop p256' }).candidates()).map(({ id }) => id),
      [idOf(p256)],
    );
    const open = ringOf({ token: 'keyless', pinFile });
    assert.deepEqual(
      (await open.candidates()).map(({ hasKey }) => hasKey),
      [false],
    );
    await fails(
      'AOV-HOST-156',
      open.credential(idOf(rsa)).then((credential) => credential.sign('rsa-pss-sha256', data)),
    );
  });

  test('a token that is not there, a certificate that is not there', async () => {
    const ring = ringOf({ token: 'nobody' });
    assert.deepEqual(await ring.candidates(), []);
    assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-151');
    await fails('AOV-HOST-151', ring.credential(idOf(rsa)), /token "nobody"/);
    await fails('AOV-HOST-117', ringOf({ pinFile }).credential('00'.repeat(32)));
  });

  test('a module that others could have written, or that is none', async () => {
    const own = path.join(tokens.directory, 'module.so');
    copyFileSync(softModule, own);
    chmodSync(own, 0o755);
    const text = tokens.file('text.so', 'no module');
    for (const [module, what] of [
      [own, /can be written by other users|belongs to/],
      [text, /can be written by other users|belongs to/],
      ['libsofthsm2.so', /not named by its full path/],
      ['/usr/lib/softhsm/nothing.so', /ENOENT/],
      ['/usr/lib/softhsm', /not a regular file/],
      ['/usr/bin/true', /cannot be used/],
    ] as const) {
      const ring = ringOf({ module });
      assert.deepEqual(await ring.candidates(), []);
      assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-150', module);
      assert.match(ring.problems()[0]?.error.what ?? '', what);
    }
  });
});

suite('PKCS#11: signatures for IKE', () => {
  const schemes: readonly (readonly [TestCertificate, readonly SignatureScheme[]])[] = [
    [
      rsa,
      [
        'rsa-pss-sha256',
        'rsa-pss-sha384',
        'rsa-pss-sha512',
        'rsa-pkcs1-sha256',
        'rsa-pkcs1-sha384',
        'rsa-pkcs1-sha512',
        'rsa-pkcs1-sha1',
      ],
    ],
    [p256, ['ecdsa-sha256']],
    [p384, ['ecdsa-sha384']],
  ];
  for (const [certificate, wanted] of schemes) {
    test(certificate.name, async () => {
      const credential = await ringOf({ pinFile }).credential(idOf(certificate));
      assert.deepEqual(credential.schemes, wanted);
      assert.equal(credential.onToken, true);
      assert.equal(credential.id, idOf(certificate));
      for (const scheme of wanted) await signsWell(credential, certificate, scheme);
      await fails('AOV-HOST-130', credential.sign('ed25519', data));
    });
  }

  test('r and s of every length become DER', async () => {
    const credential = await ringOf({ pinFile }).credential(idOf(p256));
    const lengths = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const message = Uint8Array.of(i);
      const signature = await credential.sign('ecdsa-sha256', message);
      assert.ok(verifySignature(parseCertificate(p256.der).spki, 'ecdsa-sha256', message, signature));
      lengths.add(signature.length);
    }
    assert.ok(lengths.size > 1);
  });

  test('many at once, without blocking the event loop', async () => {
    const credential = await ringOf({ pinFile }).credential(idOf(rsa));
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await Promise.all(Array.from({ length: 20 }, () => signsWell(credential, rsa, 'rsa-pkcs1-sha256')));
    clearInterval(timer);
    assert.ok(turns > 2);
  });

  test('a key under the same identifier that is not the certificate’s', async () => {
    tokens.create('mixed');
    tokens.add('mixed', p256, { key: pki.issue('another', { key: ecKey() }) });
    const credential = await ringOf({ token: 'mixed', pinFile }).credential(idOf(p256));
    await fails('AOV-HOST-114', credential.sign('ecdsa-sha256', data), /does not belong/);
  });

  test('opened, closed and collected, again and again: what native code points to stays', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let i = 0; i < 6; i++) {
      const ring = ringOf({ pinFile });
      await signsWell(await ring.credential(idOf(rsa)), rsa, 'rsa-pkcs1-sha256');
      await ring.close();
      collect();
      await nextTurn();
    }
  });

  test('the key stays behind the functions', async () => {
    const credential = await ringOf({ pinFile }).credential(idOf(rsa));
    assert.doesNotMatch(JSON.stringify(credential), /123456|PRIVATE|pin/i);
  });
});

suite('PKCS#11: TLS client authentication', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const certificate of [rsa, p256, p384]) {
      test(`${version}, ${certificate.name}`, async () => {
        const credential = await ringOf({ pinFile }).credential(idOf(certificate));
        const engine = createTlsEngine({ credential, roots: [root.der] });
        // Twice: the second time everything native is there already.
        for (let i = 0; i < 2; i++) {
          const tlsServer = new TestServer({ certificate: radius, version, clientRoots: [root] });
          const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
          assert.equal(run.output.state.kind, 'established', JSON.stringify(run.output.state));
          assert.equal(tlsServer.connection?.getPeerX509Certificate()?.subject, `CN=${certificate.name}`);
        }
      });
    }
  }

  test('for a trusted beacon', async () => {
    const credential = await ringOf({ pinFile }).credential(idOf(p256));
    await credential.unlock();
    const shown = Promise.withResolvers<string | undefined>();
    const beacon = createServer({ cert: radius.pem, key: radius.key, ca: root.pem, requestCert: true }, (socket) => {
      socket.on('error', () => {});
      shown.resolve(socket.getPeerX509Certificate()?.subject);
    });
    try {
      await once(beacon.listen(0, '127.0.0.1'), 'listening');
      const { port } = beacon.address() as AddressInfo;
      const question = { address: parseAddress('127.0.0.1')!, port, name: 'radius.example.com', mark: 0, timeoutMs: 60_000 };
      const proof = { kind: 'authorities', pem: root.pem } as const;
      assert.deepEqual(await askBeacon({ ...question, proof, credential }), { proven: true });
      assert.equal(await shown.promise, `CN=${p256.name}`);
    } finally {
      beacon.close();
    }
  });

  test('the PIN is asked for before the handshake, and only once', async () => {
    tokens.create('asked');
    tokens.add('asked', p256);
    const questions: PinQuestion[] = [];
    const answers: Uint8Array[] = [];
    const askPin = (question: PinQuestion): Promise<Uint8Array> => {
      questions.push(question);
      const pin = new TextEncoder().encode('123456');
      answers.push(pin);
      return Promise.resolve(pin);
    };
    const credential = await ringOf({ token: 'asked' }, { askPin }).credential(idOf(p256));
    assert.equal(questions.length, 0);
    const engine = createTlsEngine({ credential, roots: [root.der] });
    for (let i = 0; i < 2; i++) {
      const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root] });
      const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
      assert.equal(run.output.state.kind, 'established');
    }
    await signsWell(credential, p256);
    assert.equal(questions.length, 1);
    assert.equal(questions[0]?.label, 'asked');
    assert.equal(questions[0]?.retry, false);
    assert.deepEqual([...answers[0]!], [0, 0, 0, 0, 0, 0], 'the PIN is still in memory');
  });

  for (const certificate of [rsa, p256]) {
    test(`two connections with the same certificate sign each for itself, ${certificate.name}`, async () => {
      const rings = [ringOf({ pinFile }), ringOf({ pinFile })] as const;
      const [first, second] = await Promise.all(rings.map((ring) => ring.credential(idOf(certificate))));
      const run = async (credential: Credential, context: SecureContext): Promise<string> => {
        const ready = { ...credential, unlock: () => Promise.resolve(), secureContext: () => context };
        const engine = createTlsEngine({ credential: ready, roots: [root.der] });
        const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root] });
        const { output } = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
        return output.state.kind === 'failed' ? output.state.failure.detail : output.state.kind;
      };
      await first!.unlock();
      await second!.unlock();
      const contexts = [first!.secureContext({}), second!.secureContext({})] as const;
      await rings[1].close();
      assert.match(await run(second!, contexts[1]), /AOV-HOST-155/, 'its own token is not ready');
      assert.equal(first!.takeFailure(), undefined, 'it is no failure of the other');
      assert.equal(await run(first!, contexts[0]), 'established');
    });
  }

  test('keys that nobody uses any more are let go of, also by OpenSSL', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const before = foreignKeyCount();
    const ring = ringOf({ pinFile });
    const use = async (): Promise<void> => {
      const credential = await ring.credential(idOf(rsa));
      credential.secureContext({});
      credential.secureContext({});
    };
    for (let i = 0; i < 5; i++) await use();
    assert.ok(foreignKeyCount() <= before + 5, 'one for each credential, however often it is used');
    for (let i = 0; i < 50 && foreignKeyCount() >= before + 5; i++) {
      collect();
      await nextTurn();
    }
    assert.ok(foreignKeyCount() < before + 5, 'none was let go of');
    const credential = await ring.credential(idOf(rsa));
    const engine = createTlsEngine({ credential, roots: [root.der] });
    const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.2', clientRoots: [root] });
    const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
    assert.equal(run.output.state.kind, 'established');
  });

  test('no PIN: TLS does not start, and the key room says why', async () => {
    tokens.create('closed');
    tokens.add('closed', p256);
    const credential = await ringOf({ token: 'closed' }).credential(idOf(p256));
    const engine = createTlsEngine({ credential, roots: [root.der] });
    const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root] });
    const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
    assert.ok(run.output.state.kind === 'failed');
    assert.equal(run.output.state.failure.reason, 'no-client-certificate');
    assert.match(run.output.state.failure.detail, /AOV-HOST-154/);
    assert.equal(run.sent.length, 0);
  });
});

suite('PKCS#11: a token that can do less', () => {
  after(() => tokens.configure());

  test('without the bare RSA operation: TLS 1.2, since there the older padding will do', async () => {
    tokens.configure('slots.mechanisms = CKM_RSA_PKCS,CKM_RSA_PKCS_PSS');
    const credential = await ringOf({ pinFile }).credential(idOf(rsa));
    await signsWell(credential, rsa, 'rsa-pss-sha256');
    const settings = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } as const;
    const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root], settings });
    const engine = createTlsEngine({ credential, roots: [root.der] });
    const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
    assert.ok(run.output.state.kind === 'established', JSON.stringify(run.output.state));
    assert.equal(run.output.state.version, '1.2');
  });

  test('without RSA-PSS: IKE is told what is left', async () => {
    tokens.configure('slots.mechanisms = CKM_RSA_PKCS,CKM_RSA_X_509');
    const credential = await ringOf({ pinFile }).credential(idOf(rsa));
    assert.deepEqual(credential.schemes, ['rsa-pkcs1-sha256', 'rsa-pkcs1-sha384', 'rsa-pkcs1-sha512', 'rsa-pkcs1-sha1']);
    await signsWell(credential, rsa);
  });

  test('without any: an error that says so', async () => {
    tokens.configure('slots.mechanisms = CKM_RSA_PKCS');
    await fails('AOV-HOST-156', ringOf({ pinFile }).credential(idOf(p256)), /cannot sign/);
  });
});

suite('PKCS#11: PINs', () => {
  test('a wrong PIN in the file is tried once, ever; a new one is tried', async () => {
    tokens.create('wrong');
    tokens.add('wrong', p256);
    const file = tokens.file('wrong-pin', '999999');
    const ring = ringOf({ token: 'wrong', pinFile: file });
    assert.equal((await ring.candidates()).length, 1);
    assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-152');
    const credential = await ring.credential(idOf(p256));
    await fails('AOV-HOST-157', credential.sign('ecdsa-sha256', data), /not tried again/);
    // Another ring, in the same process: it is the token that must be spared.
    await fails(
      'AOV-HOST-157',
      ringOf({ token: 'wrong', pinFile: file })
        .credential(idOf(p256))
        .then((other) => other.sign('ecdsa-sha256', data)),
    );
    writeFileSync(file, '123456\n');
    await signsWell(credential, p256);
  });

  test('a person is asked again after a wrong PIN, is told so, and the same one is not tried twice', async () => {
    tokens.create('typed');
    tokens.add('typed', p256);
    const questions: PinQuestion[] = [];
    const typed = ['999999', '999999', '123456'];
    const askPin = (question: PinQuestion): Promise<Uint8Array> => {
      questions.push(question);
      return Promise.resolve(new TextEncoder().encode(typed.shift()));
    };
    await signsWell(await ringOf({ token: 'typed' }, { askPin }).credential(idOf(p256)), p256);
    assert.deepEqual(
      questions.map(({ retry }) => retry),
      [false, true, true],
    );
  });

  test('nobody answers; nobody answers right', async () => {
    tokens.create('silent');
    tokens.add('silent', p256);
    const silent = await ringOf({ token: 'silent' }, { askPin: () => Promise.resolve(undefined) }).credential(idOf(p256));
    await fails('AOV-HOST-154', silent.sign('ecdsa-sha256', data));
    let asked = 0;
    const wrong = await ringOf(
      { token: 'silent' },
      { askPin: () => Promise.resolve(new TextEncoder().encode(`99999${asked++}`)) },
    ).credential(idOf(p256));
    await fails('AOV-HOST-152', wrong.sign('ecdsa-sha256', data));
    assert.equal(asked, 3);
  });

  test('a PIN file that others can read is not used', async () => {
    const open = tokens.file('open-pin', '123456');
    chmodSync(open, 0o644);
    const ring = ringOf({ pinFile: open });
    assert.equal((await ring.candidates()).length, 3);
    assert.equal(ring.problems()[0]?.error.code, 'AOV-HOST-101');
  });
});

suite('PKCS#11: the token is taken out and put back', () => {
  test('a clean error while it is out, and everything works again without anybody’s help', async () => {
    const ring = ringOf({ pinFile });
    const credential = await ring.credential(idOf(rsa));
    await signsWell(credential, rsa);
    const putBack = tokens.takeOut();
    try {
      for (const _ of [1, 2]) {
        const error: unknown = await credential.sign('rsa-pss-sha256', data).catch((reason: unknown) => reason);
        assert.ok(error instanceof HostError);
        assert.match(error.code, /^AOV-HOST-15[156]$/, error.message);
      }
      const engine = createTlsEngine({ credential, roots: [root.der] });
      const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root] });
      const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true });
      assert.ok(run.output.state.kind === 'failed');
      assert.match(run.output.state.failure.detail, /AOV-HOST-15/);
    } finally {
      putBack();
    }
    await signsWell(credential, rsa);
    assert.ok((await ring.candidates()).length >= 3);
  });

  test('taken out between the PIN and the handshake’s signature', async () => {
    const credential = await ringOf({ pinFile }).credential(idOf(rsa));
    await credential.unlock();
    const engine = createTlsEngine({ credential: { ...credential, unlock: () => Promise.resolve() }, roots: [root.der] });
    const putBack = tokens.takeOut();
    const tlsServer = new TestServer({ certificate: radius, version: 'TLSv1.2', clientRoots: [root] });
    const run = await handshake(engine, tlsServer, { trust, keying: { kind: 'eap-tls' }, clientCertificate: true }).finally(
      putBack,
    );
    assert.ok(run.output.state.kind === 'failed');
    assert.match(run.output.state.failure.detail, /AOV-HOST-15[56]/);
    await signsWell(credential, rsa);
  });
});
