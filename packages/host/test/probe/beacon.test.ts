// Beacons are asked over real TLS on loopback; who answers is anybody's guess until the key has proven itself.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { after, suite, test } from 'node:test';
import { createServer } from 'node:tls';
import { parseAddress } from '@aovpn/bytes';
import { askBeacon, type BeaconQuestion, type BeaconResult } from '../../src/probe/beacon.ts';
import { authority, ecKey, server as forServer, TestPki, type TestCertificate } from '../trust/test-pki.ts';

const name = 'beacon.corp.example';
const pki = new TestPki();
const root = pki.issue('Corp Root', { extensions: authority });
const stranger = pki.issue('Somebody Else', { extensions: authority });
const names = (...all: readonly string[]): readonly string[] => [...forServer, `subjectAltName=${all.join(',')}`];
const good = pki.issue('good', { issuer: root, extensions: names(`DNS:${name}`) });

const pinOf = (certificate: TestCertificate): string =>
  createHash('sha256')
    .update(certificate.x509.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');

suite('beacon', () => {
  const servers: Server[] = [];
  after(() => {
    for (const server of servers) server.close();
    pki[Symbol.dispose]();
  });
  const listen = async (server: Server): Promise<number> => {
    servers.push(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return (server.address() as AddressInfo).port;
  };
  const serve = async ({ pem, key }: TestCertificate, maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3'): Promise<number> => {
    const server = createServer({ cert: pem, key, maxVersion }, (socket) => socket.on('error', () => {}));
    server.on('tlsClientError', () => {});
    return await listen(server);
  };
  const ask = (port: number, proof: BeaconQuestion['proof'], changes: Partial<BeaconQuestion> = {}): Promise<BeaconResult> =>
    askBeacon({ address: parseAddress('127.0.0.1')!, port, name, proof, mark: 0, timeoutMs: 20_000, ...changes });
  const byRoot = { kind: 'authorities', pem: root.pem } as const;

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`proves itself by an authority or by its key, ${version}`, async () => {
      const port = await serve(good, version);
      assert.deepEqual(await ask(port, byRoot), { proven: true });
      assert.deepEqual(await ask(port, { kind: 'pins', pins: ['A'.repeat(43) + '=', pinOf(good)] }), { proven: true });
    });

  for (const [what, certificate, why] of [
    ['of another authority', pki.issue('a', { issuer: stranger, extensions: names(`DNS:${name}`) }), /issuer|verify/],
    ['of another name', pki.issue('b', { issuer: root, extensions: names('DNS:www.corp.example') }), /does not name/],
    [
      'with the name as subject only',
      pki.issue('c', { issuer: root, subject: `/CN=${name}`, extensions: forServer }),
      /not name/,
    ],
    ['with a partial wildcard', pki.issue('d', { issuer: root, extensions: names('DNS:bea*.corp.example') }), /does not name/],
    ['that has expired', pki.issue('e', { issuer: root, extensions: names(`DNS:${name}`), days: -1 }), /expired/],
    ['signed by itself', pki.issue('f', { extensions: names(`DNS:${name}`) }), /self.signed/],
  ] as const)
    test(`a certificate ${what} proves nothing`, async () => {
      const result = await ask(await serve(certificate), byRoot);
      assert.ok(!result.proven);
      assert.match(result.why, why);
    });

  test('another key with the very same certificate fields is not pinned', async () => {
    const twin = pki.issue('good', { issuer: root, extensions: names(`DNS:${name}`), key: ecKey() });
    const result = await ask(await serve(twin), { kind: 'pins', pins: [pinOf(good)] });
    assert.deepEqual(result, { proven: false, why: `its key is sha256/${pinOf(twin)}, which is not pinned` });
  });

  test('the address of a beacon that has no name', async () => {
    const numbered = pki.issue('g', { issuer: root, extensions: names('IP:127.0.0.1') });
    assert.deepEqual(await ask(await serve(numbered), byRoot, { name: '127.0.0.1' }), { proven: true });
    assert.equal((await ask(await serve(good), byRoot, { name: '127.0.0.1' })).proven, false);
  });

  test('silence, nonsense and a closed port end in time', async () => {
    const silent = await listen(createTcpServer((socket) => socket.on('error', () => {})));
    assert.deepEqual(await ask(silent, byRoot, { timeoutMs: 200 }), { proven: false, why: 'no answer in time' });
    const noise = await listen(createTcpServer((socket) => void socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n')));
    assert.equal((await ask(noise, byRoot)).proven, false);
    const closing = createTcpServer();
    const port = await listen(closing);
    await new Promise((resolve) => closing.close(resolve));
    assert.match(JSON.stringify(await ask(port, byRoot)), /ECONNREFUSED/);
  });
});
