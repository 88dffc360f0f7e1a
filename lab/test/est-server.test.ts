// Debian 12 has no EST server, so the one of the tests is ours; that it is one says strongSwan's client (pki --est), which is not.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { EstServer, type EstConduct } from '../../packages/host/testkit/est-server.ts';
import { Authority } from '../pki/authority.ts';
import { inUnpacked } from '../unpacked.ts';

const run = promisify(execFile);

suite('the EST server of the tests, asked by strongSwan', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-est-'));
  const root = new Authority('Example Root CA');
  let conduct: EstConduct = { lifetimeSeconds: 3600, secrets: [{ user: 'laptop', secret: 'once' }] };
  const said: string[] = [];
  let server: EstServer;
  const at = (name: string): string => path.join(directory, name);
  /** Standard output, as octets. */
  async function pki(...args: readonly string[]): Promise<Buffer> {
    const { stdout } = await run(inUnpacked('strongswan-pki', 'usr/bin/pki'), [...args], {
      encoding: 'buffer',
      timeout: 120_000,
    });
    return stdout;
  }

  before(async () => {
    const tls = root.issue({ commonName: 'localhost', dns: ['localhost'], usages: ['serverAuth'] });
    server = await EstServer.start({
      authority: { certificatePem: root.certificatePem, keyPem: root.keyPem },
      server: { certificatePem: tls.chainPem, keyPem: tls.keyPem },
      host: '127.0.0.1',
      port: 0,
      conduct: () => conduct,
      log: (line) => said.push(line),
    });
    writeFileSync(at('root.pem'), root.certificatePem);
  });
  after(async () => {
    await server?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function request(name: string): Promise<void> {
    writeFileSync(at(`${name}.key`), await pki('--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem'), { mode: 0o600 });
    const names = ['--dn', 'O=Example, CN=laptop', '--san', 'laptop.corp.example'];
    writeFileSync(at(`${name}.csr`), await pki('--req', '--type', 'priv', '--in', at(`${name}.key`), ...names));
  }
  const url = (): string => `https://localhost:${server.port}`;

  test('its authorities are the right ones', async () => {
    await pki('--estca', '--url', url(), '--cacert', at('root.pem'), '--caout', at('ca.pem'), '--outform', 'pem');
    assert.deepEqual(new X509Certificate(readFileSync(at('ca.pem'))).raw, Buffer.from(root.certificate));
  });

  test('a secret enrols once, and what it enrolled renews itself', async () => {
    await request('first');
    const ask = [
      '--est',
      '--url',
      url(),
      '--cacert',
      at('root.pem'),
      '--outform',
      'pem',
      '--interval',
      '1',
      '--maxpolltime',
      '60',
    ];
    const first = await pki(...ask, '--in', at('first.csr'), '--userpass', 'laptop:once');
    writeFileSync(at('first.pem'), first);
    assert.equal(new X509Certificate(first).subjectAltName, 'DNS:laptop.corp.example');
    await assert.rejects(pki(...ask, '--in', at('first.csr'), '--userpass', 'laptop:once'));
    await request('second');
    conduct = { ...conduct, lifetimeSeconds: 7200 };
    const old = ['--cert', at('first.pem'), '--key', at('first.key')];
    const second = new X509Certificate(await pki(...ask, '--in', at('second.csr'), ...old));
    assert.ok(second.validToDate > new X509Certificate(first).validToDate);
    assert.ok(
      said.some((line) => /simplereenroll .* certificate /.test(line)),
      said.join('\n'),
    );
  });
});
