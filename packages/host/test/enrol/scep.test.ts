// SCEP against scepserver (micromdm) of Debian; what that cannot do, and what a hostile network does, against a server of our own with openssl's authority.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enrolledFile } from '../../src/enrol/enrolled-file.ts';
import { obtainCertificate, type CertificateObtained, type CertificateWanted } from '../../src/enrol/obtain-certificate.ts';
import { loadCredential } from '../../src/keys/credential.ts';
import { ScepServer, type ScepConduct } from '../../testkit/scep-server.ts';
import { authority, rsaKey, TestPki } from '../trust/test-pki.ts';

const program = fileURLToPath(new URL('../../../../.build/debian/scep/usr/bin/scepserver', import.meta.url));
const secret = 'challenge 4711';
const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-scep-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** For a program that cannot say which one it was given: below those that the kernel gives to whoever asks for any (ip(7)). */
async function freePort(): Promise<number> {
  for (let port = 20_000 + (process.pid % 5000) * 2; ; port++) {
    const free = createServer().listen(port, '127.0.0.1');
    const isFree = await once(free, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    free.close();
    await once(free, 'close');
    return port;
  }
}

let count = 0;
beforeEach(() => void count++);
const name = (): string => `m${count}`;
const file = (): string => enrolledFile(directory, name());
const sha256 = (pem: string): Uint8Array => new Uint8Array(createHash('sha256').update(new X509Certificate(pem).raw).digest());
const wantedFrom = (url: string, fingerprint: Uint8Array, more: Partial<CertificateWanted> = {}): CertificateWanted => ({
  directory,
  name: name(),
  protocol: 'scep',
  url,
  fingerprint,
  names: {
    subject: [
      { type: '2.5.4.10', text: 'Example', as: 'utf8' },
      { type: '2.5.4.3', text: 'laptop.corp.example', as: 'utf8' },
    ],
    dns: ['laptop.corp.example'],
    email: [],
    upn: [],
  },
  how: 'enrol',
  weak: false,
  anew: false,
  secret: { userName: '', octets: new TextEncoder().encode(secret) },
  ...more,
});
async function fails(wanted: CertificateWanted, failure: string, detail: RegExp): Promise<CertificateObtained> {
  const result = await obtainCertificate(wanted);
  assert.ok(result.kind === 'failed', JSON.stringify(result));
  assert.equal(result.failure, failure, result.detail);
  assert.match(result.detail, detail);
  assert.ok(!result.detail.includes(secret));
  return result;
}

suite('SCEP, by scepserver', () => {
  const depot = path.join(directory, 'depot');
  const servers: ChildProcess[] = [];
  /** It wants the challenge in every request. */
  let url: string;
  /** It wants none, and lets a certificate renew itself. */
  let renewing: string;
  let ca: string;
  let said = '';
  async function start(...more: readonly string[]): Promise<string> {
    const port = await freePort();
    const options = ['-depot', depot, '-port', String(port), '-allowrenew', '0', '-crtvalid', '1', '-debug', ...more];
    const server = spawn(program, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    servers.push(server);
    for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    const place = `http://127.0.0.1:${port}/scep`;
    for (const end = performance.now() + 60_000; ;) {
      const answer = await fetch(`${place}?operation=GetCACaps`).catch(() => undefined);
      if (answer?.ok === true) return place;
      assert.ok(performance.now() < end && server.exitCode === null, said);
      await sleep(20);
    }
  }
  before(async () => {
    const init = ['ca', '-init', '-depot', depot, '-keySize', '2048', '-organization', 'Example'];
    const made = spawnSync(program, init, { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    ca = readFileSync(path.join(depot, 'ca.pem'), 'utf8');
    url = await start('-challenge', secret);
    renewing = await start();
  });
  after(async () => {
    for (const server of servers) {
      if (server.exitCode !== null) continue;
      const ended = once(server, 'exit');
      server.kill();
      await ended;
    }
  });
  /** It signs its answers over SHA-1, whatever it was asked with. */
  const wanted = (more: Partial<CertificateWanted> = {}): CertificateWanted =>
    wantedFrom(url, sha256(ca), { weak: true, ...more });

  test('its answers, signed over SHA-1, count only where that is allowed', async () => {
    await fails(wanted({ weak: false }), 'unusable', /SHA-1, which allow-weak would let pass/);
    assert.throws(() => statSync(file()));
  });

  test('a challenge enrols, and the certificate renews itself with a new key and the same names', async () => {
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' }, said);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    const first = await loadCredential({ certificate: file() });
    assert.match(first.subject, /CN=laptop\.corp\.example/);
    assert.deepEqual(first.names.dns, ['laptop.corp.example']);
    assert.equal(new X509Certificate(first.certificates[0]!).publicKey.asymmetricKeyDetails?.modulusLength, 2048);
    // A certificate ends on a whole second; the next one has to end later.
    await sleep(1100);
    const { secret: _, ...renewal } = wanted({ url: renewing, how: 'renew', key: 'rsa3072' });
    const renewed = await obtainCertificate(renewal);
    assert.deepEqual(renewed, { kind: 'issued' }, said);
    const second = await loadCredential({ certificate: file() });
    assert.equal(second.subject, first.subject);
    assert.deepEqual(second.names, first.names);
    assert.ok(second.notAfter > first.notAfter);
    assert.equal(new X509Certificate(second.certificates[0]!).publicKey.asymmetricKeyDetails?.modulusLength, 3072);
  });

  test('a wrong challenge is taken for a wrong secret', async () => {
    await fails(wanted({ secret: { userName: '', octets: new TextEncoder().encode('guess') } }), 'secret-refused', /badRequest/);
    assert.throws(() => statSync(file()));
  });

  test('an authority of another fingerprint is asked for nothing', async () => {
    const before = said.split('PKIOperation').length;
    await fails(wanted({ fingerprint: new Uint8Array(32) }), 'untrusted', /fingerprint/);
    assert.equal(said.split('PKIOperation').length, before);
  });

  test('a server that is not there', async () => {
    await fails({ ...wanted(), url: 'http://127.0.0.1:1/scep' }, 'unreachable', /ECONNREFUSED/);
  });
});

suite('SCEP, by a server that can be told what to do', () => {
  const pki = new TestPki();
  const root = pki.issue('Root', { extensions: authority, key: rsaKey(2048) });
  const issuing = pki.issue('Issuing', { issuer: root, extensions: authority, key: rsaKey(2048) });
  const usage = ['basicConstraints=critical,CA:false', 'keyUsage=critical,digitalSignature,keyEncipherment'];
  const agent = pki.issue('RA', { issuer: issuing, extensions: usage, key: rsaKey(2048) });
  const foreign = pki.issue('Foreign', { extensions: authority, key: rsaKey(2048) });
  const foreignAgent = pki.issue('Foreign RA', { issuer: foreign, extensions: usage, key: rsaKey(2048) });
  const ordinary: ScepConduct = { capabilities: 'SCEPStandard\nRenewal\n' };
  let conduct: ScepConduct;
  let server: ScepServer;
  let withAgent: ScepServer;
  let withImpostor: ScepServer;
  const files = { certificatePem: issuing.pem, keyPem: issuing.key, chainPem: root.pem };
  before(async () => {
    const start = (more: Partial<Parameters<typeof ScepServer.start>[0]> = {}): Promise<ScepServer> =>
      ScepServer.start({ authority: files, certificates: issuing.pem, conduct: () => conduct, ...more });
    server = await start();
    const as = ({ pem, key }: typeof agent): { certificatePem: string; keyPem: string } => ({ certificatePem: pem, keyPem: key });
    withAgent = await start({ agent: as(agent), certificates: agent.pem + issuing.pem + root.pem });
    withImpostor = await start({ agent: as(foreignAgent), certificates: foreignAgent.pem + foreign.pem + issuing.pem });
  });
  beforeEach(() => {
    conduct = ordinary;
    for (const one of [server, withAgent, withImpostor]) one.seen.length = 0;
  });
  after(async () => {
    for (const one of [server, withAgent, withImpostor]) await one?.close();
    pki[Symbol.dispose]();
  });
  const wanted = (more: Partial<CertificateWanted> = {}): CertificateWanted => wantedFrom(server.url, sha256(issuing.pem), more);

  test('by GET where the server takes nothing else', async () => {
    conduct = { capabilities: 'AES\nSHA-256' };
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.deepEqual(server.seen, ['GET', 'PKCSReq']);
  });

  test('a registration authority below the one of the fingerprint decrypts and signs; one of somebody else’s is told nothing and not believed', async () => {
    assert.deepEqual(await obtainCertificate(wanted({ url: withAgent.url, fingerprint: sha256(root.pem) })), { kind: 'issued' });
    const { certificates } = await loadCredential({ certificate: file() });
    assert.deepEqual(
      certificates.map((der) => new X509Certificate(der).issuer),
      ['CN=Issuing', 'CN=Root'],
    );
    count++;
    await fails(wanted({ url: withImpostor.url }), 'unreachable', /HTTP 500/);
    assert.deepEqual(withImpostor.seen, ['POST', 'PKCSReq']);
  });

  test('what is pending is polled, with the same key, until it is there', async () => {
    conduct = { ...ordinary, answer: 'pending' };
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'pending' });
    const kept = readFileSync(path.join(directory, `${name()}.pending`), 'utf8');
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'pending' });
    conduct = ordinary;
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.deepEqual(server.seen, ['POST', 'PKCSReq', 'POST', 'CertPoll', 'POST', 'CertPoll']);
    assert.ok(readFileSync(file(), 'utf8').startsWith(kept));
  });

  test('what was pending and is refused begins anew', async () => {
    conduct = { ...ordinary, answer: 'pending' };
    await obtainCertificate(wanted());
    conduct = { ...ordinary, answer: '2' };
    await fails(wanted(), 'refused', /badRequest/);
    conduct = ordinary;
    assert.deepEqual(await obtainCertificate(wanted()), { kind: 'issued' });
    assert.equal(server.seen.at(-1), 'PKCSReq');
  });

  test('a renewal that fails leaves the pair, also where the server cannot renew', async () => {
    await obtainCertificate(wanted());
    const text = readFileSync(file(), 'utf8');
    conduct = { ...ordinary, answer: '4' };
    await fails(wanted({ how: 'renew' }), 'refused', /badCertId/);
    conduct = { capabilities: 'SCEPStandard' };
    await fails(wanted({ how: 'renew' }), 'refused', /does not renew/);
    assert.equal(readFileSync(file(), 'utf8'), text);
  });

  test('without AES and SHA-256 there is nothing, unless that is allowed', async () => {
    conduct = { capabilities: 'DES3\nSHA-1\nPOSTPKIOperation' };
    await fails(wanted(), 'refused', /AES and SHA-256/);
    assert.deepEqual(server.seen, []);
    assert.deepEqual(await obtainCertificate(wanted({ weak: true })), { kind: 'issued' });
  });

  test('a server that does not say what it can do can do nothing of it (RFC 8894 §3.5.2)', async () => {
    conduct = { capabilities: undefined };
    await fails(wanted(), 'refused', /AES and SHA-256/);
    assert.deepEqual(server.seen, []);
    assert.deepEqual(await obtainCertificate(wanted({ weak: true })), { kind: 'issued' });
    assert.deepEqual(server.seen, ['GET', 'PKCSReq']);
  });

  test('answers that were changed on their way, and those to another request, are not believed', async () => {
    // In the content; in the signed attributes; in the signature.
    for (const at of [500, 1000, -300, -10]) {
      conduct = {
        ...ordinary,
        tamper: (answer) => {
          const changed = Buffer.from(answer);
          changed[at < 0 ? changed.length + at : at]! ^= 1;
          return changed;
        },
      };
      await fails(wanted(), 'unusable', /./);
    }
    conduct = ordinary;
    await obtainCertificate(wanted());
    rmSync(file());
    conduct = { ...ordinary, replay: true };
    await fails(wanted(), 'unusable', /another transaction/);
    conduct = { ...ordinary, tamper: (answer) => answer.subarray(0, 40) };
    await fails(wanted(), 'unusable', /CMS/);
    assert.throws(() => statSync(file()));
  });

  test('openssl reads what is sent, and we read what openssl writes', async () => {
    const { encryptFor, decryptWith, signMessage, verifyMessage } = await import('../../src/enrol/cms.ts');
    const { parseCertificate } = await import('../../src/trust/certificate.ts');
    const { createPrivateKey } = await import('node:crypto');
    const at = (one: string): string => path.join(directory, one);
    const content = Buffer.from('some octets, \0 among them');
    const certificate = parseCertificate(agent.der);
    const key = createPrivateKey(agent.key);
    writeFileSync(at('content'), content);
    writeFileSync(at('authorities'), root.pem + issuing.pem);
    writeFileSync(at('encrypted'), encryptFor(certificate, content));
    pki.openssl(
      'cms',
      '-decrypt',
      '-inform',
      'DER',
      '-in',
      at('encrypted'),
      '-recip',
      agent.certificatePath,
      '-inkey',
      agent.keyPath,
      '-binary',
      '-out',
      at('opened'),
    );
    assert.deepEqual(readFileSync(at('opened')), content);
    writeFileSync(at('signed'), signMessage({ certificate, key }, content, []));
    pki.openssl(
      'cms',
      '-verify',
      '-inform',
      'DER',
      '-in',
      at('signed'),
      '-CAfile',
      at('authorities'),
      '-purpose',
      'any',
      '-binary',
      '-out',
      at('verified'),
    );
    assert.deepEqual(readFileSync(at('verified')), content);
    for (const cipher of ['-aes128', '-aes192', '-aes256']) {
      pki.openssl(
        'cms',
        '-encrypt',
        cipher,
        '-binary',
        '-outform',
        'DER',
        '-in',
        at('content'),
        '-out',
        at('theirs'),
        agent.certificatePath,
      );
      assert.deepEqual(Buffer.from(decryptWith(key, readFileSync(at('theirs')), false)), content);
    }
    pki.openssl(
      'cms',
      '-encrypt',
      '-des3',
      '-binary',
      '-outform',
      'DER',
      '-in',
      at('content'),
      '-out',
      at('theirs'),
      agent.certificatePath,
    );
    assert.throws(() => decryptWith(key, readFileSync(at('theirs')), false), /3DES/);
    assert.deepEqual(Buffer.from(decryptWith(key, readFileSync(at('theirs')), true)), content);
    for (const [digest, weak] of [
      ['sha256', false],
      ['sha512', false],
      ['sha1', true],
    ] as const) {
      pki.openssl(
        'cms',
        '-sign',
        '-md',
        digest,
        '-nodetach',
        '-binary',
        '-outform',
        'DER',
        '-in',
        at('content'),
        '-signer',
        agent.certificatePath,
        '-inkey',
        agent.keyPath,
        '-out',
        at('theirs'),
      );
      assert.deepEqual(Buffer.from(verifyMessage(readFileSync(at('theirs')), [certificate], weak).content!), content);
      if (weak) assert.throws(() => verifyMessage(readFileSync(at('theirs')), [certificate], false), /SHA-1/);
    }
    assert.throws(
      () => verifyMessage(readFileSync(at('theirs')), [parseCertificate(foreignAgent.der)], true),
      /neither the authority/,
    );
  });
});
