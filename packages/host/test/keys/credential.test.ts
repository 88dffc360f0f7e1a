import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, verify, type KeyObject } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { after, suite, test } from 'node:test';
import type { SignatureScheme } from '@aovpn/ike';
import { HostError, hostErrors } from '../../src/host-error.ts';
import { loadCredential, type CredentialFiles } from '../../src/keys/credential.ts';
import { readSecretFile } from '../../src/keys/secret-file.ts';
import { authority, ecKey, rsaKey, TestPki, type TestCertificate } from '../trust/test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const root = pki.issue('root', { extensions: authority });
const middle = pki.issue('middle', { issuer: root, extensions: authority });
const names =
  'subjectAltName=DNS:laptop.example.com,email:user@example.com,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:user@corp.example';
const client = pki.issue('client', {
  issuer: middle,
  subject: '/O=Example/CN=laptop',
  extensions: [names, 'extendedKeyUsage=clientAuth'],
});

let files = 0;
function file(content: string | Uint8Array, mode = 0o600): string {
  const name = path.join(pki.directory, `file-${++files}`);
  writeFileSync(name, content);
  chmodSync(name, mode);
  return name;
}

function keyPem(key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1'): string {
  return key.export({ type: type, format: 'pem' }).toString();
}

async function fails(code: string, what: RegExp, promise: Promise<unknown>, cure = /.{10}/): Promise<void> {
  const error = await promise.then(
    () => assert.fail('no error'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof HostError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.what, what);
  assert.match(error.cure, cure);
  assert.ok(hostErrors.some((entry) => entry.code === code));
}

suite('credential: facts', () => {
  test('chain, names, times', async () => {
    const credential = await loadCredential({ certificate: file(client.pem + middle.pem + root.pem), key: client.keyPath });
    assert.deepEqual(
      credential.certificates.map((der) => Buffer.from(der).toString('base64')),
      [client, middle].map(({ der }) => Buffer.from(der).toString('base64')),
    );
    assert.equal(credential.subject, 'O=Example, CN=laptop');
    assert.equal(
      Buffer.from(credential.subjectDn).toString('hex'),
      '30233110300e060355040a0c074578616d706c65310f300d06035504030c066c6170746f70',
    );
    assert.equal(credential.issuer, 'CN=middle');
    assert.deepEqual(credential.names, { dns: ['laptop.example.com'], email: ['user@example.com'], upn: ['user@corp.example'] });
    assert.deepEqual(credential.extendedKeyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.ok(credential.notBefore < credential.notAfter);
  });

  test('certificates in any order after the leaf', async () => {
    const other = pki.issue('other', { extensions: authority });
    const credential = await loadCredential({
      certificate: file(client.pem + other.pem + root.pem + middle.pem),
      key: client.keyPath,
    });
    assert.equal(credential.certificates.length, 2);
  });

  test('the key stays behind the functions', async () => {
    const credential = await loadCredential({ certificate: client.certificatePath, key: client.keyPath });
    const shown = JSON.stringify(credential, (_, value: unknown) => (value instanceof Uint8Array ? 'octets' : value));
    assert.doesNotMatch(shown, /PRIVATE|"d"/);
    assert.ok(
      !Object.values(credential).some((value) => typeof value === 'object' && value !== null && 'asymmetricKeyType' in value),
    );
  });
});

suite('credential: forms of a key', () => {
  const rsa = rsaKey(2048);
  const forms: readonly (readonly [string, KeyObject, 'pkcs8' | 'pkcs1' | 'sec1'])[] = [
    ['RSA, PKCS#8', rsa, 'pkcs8'],
    ['RSA, PKCS#1', rsa, 'pkcs1'],
    ['P-256, PKCS#8', ecKey(), 'pkcs8'],
    ['P-256, SEC1', ecKey(), 'sec1'],
  ];
  for (const [name, key, type] of forms) {
    test(`${name}, in one file with the certificate`, async () => {
      const certificate = pki.issue('leaf', { key });
      for (const text of [certificate.pem + keyPem(key, type), keyPem(key, type) + certificate.pem]) {
        assert.equal((await loadCredential({ certificate: file(`some text\n${text}`) })).certificates.length, 1);
      }
    });
  }
  test('SEC1 with its EC PARAMETERS block, as openssl ecparam writes it', async () => {
    const text = pki.openssl('ecparam', '-name', 'prime256v1', '-genkey');
    const keyPath = file(text);
    const out = path.join(pki.directory, 'ecparam.crt');
    pki.openssl('req', '-x509', '-new', '-key', keyPath, '-subj', '/CN=x', '-out', out);
    assert.deepEqual((await loadCredential({ certificate: out, key: keyPath })).schemes, ['ecdsa-sha256']);
  });
  test('a DER certificate', async () => {
    assert.equal((await loadCredential({ certificate: file(client.der), key: client.keyPath })).subject, 'O=Example, CN=laptop');
  });
});

suite('credential: signing', () => {
  const data = new TextEncoder().encode('to be signed');
  const keys: readonly (readonly [string, () => KeyObject, readonly SignatureScheme[]])[] = [
    [
      'RSA',
      () => rsaKey(2048),
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
    ['P-256', () => ecKey(), ['ecdsa-sha256']],
    ['P-384', () => ecKey('P-384'), ['ecdsa-sha384']],
    ['P-521', () => ecKey('P-521'), ['ecdsa-sha512']],
    ['Ed25519', () => generateKeyPairSync('ed25519').privateKey, ['ed25519']],
  ];
  for (const [name, make, schemes] of keys) {
    test(name, async () => {
      const key = make();
      const certificate = name === 'Ed25519' ? ed25519Certificate(key) : pki.issue('signer', { key });
      const credential = await loadCredential({ certificate: certificate.certificatePath, key: certificate.keyPath });
      assert.deepEqual(credential.schemes, schemes);
      for (const scheme of schemes) {
        const signature = await credential.sign(scheme, data);
        const hash = scheme === 'ed25519' ? null : scheme.replace(/^.*-/, '');
        const padding = scheme.startsWith('rsa-pss') ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
        const options = scheme.startsWith('rsa') ? { padding } : {};
        assert.ok(verify(hash, data, { key: certificate.x509.publicKey, ...options }, signature), scheme);
      }
    });
  }

  test('a scheme that the key cannot do', async () => {
    const credential = await loadCredential({ certificate: client.certificatePath, key: client.keyPath });
    await fails('AOV-HOST-130', /ed25519/, credential.sign('ed25519', data));
  });

  function ed25519Certificate(key: KeyObject): Pick<TestCertificate, 'certificatePath' | 'keyPath' | 'x509'> {
    // OpenSSL 3.0 takes no digest for Ed25519, so `req -x509` makes it in one go.
    const keyPath = file(keyPem(key, 'pkcs8'));
    const certificatePath = path.join(pki.directory, 'ed25519.crt');
    pki.openssl('req', '-x509', '-new', '-key', keyPath, '-subj', '/CN=ed', '-out', certificatePath);
    return { keyPath, certificatePath, x509: { publicKey: key } as unknown as TestCertificate['x509'] };
  }
});

suite('credential: refused', () => {
  const load = (request: CredentialFiles): Promise<unknown> => loadCredential(request);

  test('nothing named', () => fails('AOV-HOST-116', /neither/, load({})));
  test('no such file', () => fails('AOV-HOST-100', /ENOENT/, load({ certificate: '/nonexistent/x.pem' })));
  test('a directory', () =>
    fails('AOV-HOST-103', /not a regular file/, load({ certificate: client.certificatePath, key: pki.directory })));
  for (const mode of [0o640, 0o604, 0o620, 0o610, 0o644]) {
    test(`a key with mode ${mode.toString(8)}`, async () => {
      const key = file(client.key, mode);
      const mention = new RegExp(`mode 0${mode.toString(8)}`);
      const cure = new RegExp(`^Run: chmod 600 ${key}$`);
      await fails('AOV-HOST-101', mention, load({ certificate: client.certificatePath, key }), cure);
    });
  }
  test('a certificate file with mode 644 and the key in it', () => {
    return fails('AOV-HOST-101', /mode 0644/, load({ certificate: file(client.pem + client.key, 0o644) }));
  });
  test('a certificate file of its own may be public', async () => {
    await loadCredential({ certificate: file(client.pem, 0o644), key: client.keyPath });
  });
  test('a key of another user', { skip: process.geteuid?.() === 0 ? false : 'needs root' }, async () => {
    const key = file(client.key);
    chownSync(key, 65534, 65534);
    await fails('AOV-HOST-102', /belongs to user 65534/, load({ certificate: client.certificatePath, key }));
  });
  test('a link to a strict file is followed, to an open one refused', async () => {
    const links = path.join(pki.directory, 'links');
    mkdirSync(links);
    symlinkSync(client.keyPath, path.join(links, 'good'));
    symlinkSync(file(client.key, 0o644), path.join(links, 'open'));
    await loadCredential({ certificate: client.certificatePath, key: path.join(links, 'good') });
    await fails('AOV-HOST-101', /open/, load({ certificate: client.certificatePath, key: path.join(links, 'open') }));
  });
  test('a huge file', () =>
    fails('AOV-HOST-104', /limit/, load({ certificate: client.certificatePath, key: file(new Uint8Array((1 << 20) + 1)) })));
  test('no certificate', () =>
    fails('AOV-HOST-110', /no certificate/, load({ certificate: file(client.key), key: client.keyPath })));
  test('no key', () => fails('AOV-HOST-111', /no private key/, load({ certificate: file(client.pem) })));
  test('two keys', () =>
    fails('AOV-HOST-111', /2 private keys/, load({ certificate: client.certificatePath, key: file(client.key + root.key) })));
  test('a broken certificate', () => {
    const broken = client.pem.replace(/\n.{4}/, '\nAAAA');
    return fails('AOV-HOST-112', /decoded|no DER/, load({ certificate: file(broken), key: client.keyPath }));
  });
  test('a broken key', () => {
    const broken = client.key.replace(/\n.{8}/, '\nAAAAAAAA');
    return fails('AOV-HOST-111', /cannot be decoded/, load({ certificate: client.certificatePath, key: file(broken) }));
  });
  test('an encrypted key', async () => {
    const encrypted = ecKey().export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString();
    await fails('AOV-HOST-113', /encrypted/, load({ certificate: client.certificatePath, key: file(encrypted) }));
    const old = pki.openssl(
      'rsa',
      '-in',
      file(keyPem(rsaKey(2048), 'pkcs1')),
      '-traditional',
      '-aes128',
      '-passout',
      'pass:x1234',
    );
    await fails('AOV-HOST-113', /encrypted/, load({ certificate: client.certificatePath, key: file(old) }));
  });
  test('the key of another certificate', () => {
    return fails(
      'AOV-HOST-114',
      /"O=Example, CN=laptop"\) was issued for another key/,
      load({ certificate: client.certificatePath, key: root.keyPath }),
    );
  });
  test('RSA with 1024 bits, and a curve that IKE does not have', async () => {
    for (const key of [rsaKey(1024), ecKey('secp256k1')]) {
      const certificate = pki.issue('weak', { key });
      await fails('AOV-HOST-115', /1024|secp256k1/, load({ certificate: certificate.certificatePath, key: certificate.keyPath }));
    }
  });
});

suite('credential: PKCS#12', () => {
  const password = 'Pässwörd 😀';
  const passwordFile = file(`${password}\n`);
  function bundle(options: readonly string[], key: TestCertificate = client): string {
    const out = path.join(pki.directory, `bundle-${++files}.p12`);
    const chain = file(middle.pem + root.pem);
    pki.openssl(
      'pkcs12',
      '-export',
      '-in',
      key.certificatePath,
      '-inkey',
      key.keyPath,
      '-certfile',
      chain,
      '-passout',
      `file:${passwordFile}`,
      '-out',
      out,
      ...options,
    );
    chmodSync(out, 0o600);
    return out;
  }

  const protections: readonly (readonly [string, readonly string[]])[] = [
    ['the default of OpenSSL 3: AES-256, PBKDF2 with SHA-256', []],
    ['AES-128', ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-128-CBC']],
    [
      'SHA-1 and triple DES, as older Windows exports',
      ['-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'],
    ],
    ['certificates in the clear', ['-certpbe', 'NONE']],
    ['key and certificates in the clear', ['-certpbe', 'NONE', '-keypbe', 'NONE']],
    ['MAC with SHA-512', ['-macalg', 'sha512']],
  ];
  for (const [name, options] of protections) {
    test(name, async () => {
      const credential = await loadCredential({ pkcs12: bundle(options), pkcs12PasswordFile: passwordFile });
      assert.equal(credential.subject, 'O=Example, CN=laptop');
      assert.equal(credential.certificates.length, 2);
      await credential.sign('ecdsa-sha256', new Uint8Array(3));
    });
  }

  test('the empty password', async () => {
    const out = path.join(pki.directory, 'empty.p12');
    pki.openssl('pkcs12', '-export', '-in', client.certificatePath, '-inkey', client.keyPath, '-passout', 'pass:', '-out', out);
    chmodSync(out, 0o600);
    assert.equal((await loadCredential({ pkcs12: out })).certificates.length, 1);
  });
  test('a wrong password', async () => {
    await fails(
      'AOV-HOST-120',
      /^the password does not open \S+$/,
      loadCredential({ pkcs12: bundle([]), pkcs12PasswordFile: file('wrong') }),
    );
  });
  test('no MAC', () =>
    fails('AOV-HOST-122', /no MAC/, loadCredential({ pkcs12: bundle(['-nomac']), pkcs12PasswordFile: passwordFile })));
  test('too many iterations', async () => {
    const large = bundle(['-iter', '6000000', '-keypbe', 'NONE', '-certpbe', 'NONE']);
    await fails('AOV-HOST-122', /iterated/, loadCredential({ pkcs12: large, pkcs12PasswordFile: passwordFile }));
  });
  test('not PKCS#12', async () => {
    for (const content of ['hello', new Uint8Array(), client.der, new Uint8Array(200).fill(0x30)]) {
      await fails('AOV-HOST-121', /decoded/, loadCredential({ pkcs12: file(content), pkcs12PasswordFile: passwordFile }));
    }
  });
  test('open to others', async () => {
    const open = bundle([]);
    chmodSync(open, 0o640);
    await fails('AOV-HOST-101', /mode 0640/, loadCredential({ pkcs12: open, pkcs12PasswordFile: passwordFile }));
  });
});

suite('secret file', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['secret', 'secret'],
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['secret\n\n', 'secret\n'],
    [' secret ', ' secret '],
    ['secret\r', 'secret\r'],
  ];
  for (const [content, secret] of cases) {
    test(JSON.stringify(content), async () => assert.equal(Buffer.from(await readSecretFile(file(content))).toString(), secret));
  }
  test('empty', () => fails('AOV-HOST-105', /empty/, readSecretFile(file('\n'))));
  test('open to others', () => fails('AOV-HOST-101', /mode 0644/, readSecretFile(file('x', 0o644))));
  test('too large', () => fails('AOV-HOST-104', /limit/, readSecretFile(file('x'.repeat(65_537)))));
});
