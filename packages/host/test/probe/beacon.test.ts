// Beacons are asked over real TLS on loopback; who answers is anybody's guess until the key has proven itself.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { parseAddress } from '@aovpn/bytes';
import { loadCredential, type Credential } from '../../src/keys/credential.ts';
import { askBeacon, type BeaconQuestion, type BeaconResult } from '../../src/probe/beacon.ts';
import { authority, ecKey, server as forServer, TestPki, type TestCertificate } from '../trust/test-pki.ts';

interface Demanding {
  readonly port: number;
  readonly said: () => string;
}

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
    askBeacon({ address: parseAddress('127.0.0.1')!, port, name, proof, mark: 0, timeoutMs: 60_000, ...changes });
  const byRoot = { kind: 'authorities', pem: root.pem } as const;

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`proves itself by an authority or by its key, ${version}`, async () => {
      const port = await serve(good, version);
      assert.deepEqual(await ask(port, byRoot), { proven: true });
      assert.deepEqual(await ask(port, { kind: 'pins', pins: ['A'.repeat(43) + '=', pinOf(good)] }), { proven: true });
    });

  for (const [what, certificate, why] of [
    ['of another authority', pki.issue('a', { issuer: stranger, extensions: names(`DNS:${name}`) }), /no path from/],
    ['of another name', pki.issue('b', { issuer: root, extensions: names('DNS:www.corp.example') }), /does not name/],
    [
      'with the name as subject only',
      pki.issue('c', { issuer: root, subject: `/CN=${name}`, extensions: forServer }),
      /not name/,
    ],
    ['with a partial wildcard', pki.issue('d', { issuer: root, extensions: names('DNS:bea*.corp.example') }), /does not name/],
    ['that has expired', pki.issue('e', { issuer: root, extensions: names(`DNS:${name}`), days: -1 }), /expired/],
    ['signed by itself', pki.issue('f', { extensions: names(`DNS:${name}`) }), /no path from/],
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

  suite('that asks for our certificate', () => {
    const client = ['basicConstraints=critical,CA:false', 'keyUsage=critical,digitalSignature', 'extendedKeyUsage=clientAuth'];
    const ours = pki.issue('laptop-4711', { issuer: root, extensions: client });
    const theirs = pki.issue('stranger-1', { issuer: stranger, extensions: client });
    const credential = ({ certificatePath: certificate, keyPath: key }: TestCertificate): Promise<Credential> =>
      loadCredential({ certificate, key });
    /** OpenSSL's own server: it refuses by an alert whom its authority does not vouch for. */
    const demand = async ({ certificatePath, keyPath }: TestCertificate, ...more: readonly string[]): Promise<Demanding> => {
      const files = ['-cert', certificatePath, '-key', keyPath, '-CAfile', root.certificatePath];
      const argv = ['s_server', '-accept', '127.0.0.1:0', ...files, '-Verify', '3', '-verify_return_error', ...more];
      const child = spawn('openssl', argv, { stdio: ['pipe', 'pipe', 'pipe'] });
      children.push(child);
      let said = '';
      child.stderr.on('data', (data: Buffer) => void (said += data.toString()));
      const port = await new Promise<number>((resolve, reject) => {
        child.stdout.on('data', (data: Buffer) => {
          said += data.toString();
          const found = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said);
          if (found) resolve(Number(found[1]));
        });
        child.once('exit', () => reject(new Error(said)));
      });
      return { port, said: () => said };
    };
    const children: ChildProcess[] = [];
    after(async () => {
      for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
        child.kill('SIGKILL');
        await once(child, 'close');
      }
    });
    /** Hands everything on and writes down the content types of the client's records (RFC 8446 §5.1). */
    const listenIn = async (
      to: number,
    ): Promise<{ readonly port: number; readonly types: number[]; readonly octets: () => Buffer }> => {
      const types: number[] = [];
      let all = Buffer.alloc(0);
      const port = await listen(
        createTcpServer((from) => {
          const onward = connect(to, '127.0.0.1');
          let rest = Buffer.alloc(0);
          from.on('data', (data: Buffer) => {
            all = Buffer.concat([all, data]);
            rest = Buffer.concat([rest, data]);
            while (rest.length >= 5 && rest.length >= 5 + rest.readUInt16BE(3)) {
              types.push(rest[0]!);
              rest = rest.subarray(5 + rest.readUInt16BE(3));
            }
          });
          for (const end of [from, onward]) end.on('error', () => {});
          from.pipe(onward).pipe(from);
        }),
      );
      return { port, types, octets: () => all };
    };

    test('is shown it, once it has proven itself, and nobody on the way reads it', async () => {
      const server = await demand(good);
      const way = await listenIn(server.port);
      assert.deepEqual(await ask(way.port, byRoot, { credential: await credential(ours) }), { proven: true });
      // What openssl writes comes by a pipe of its own, some time after the handshake.
      for (const end = performance.now() + 60_000; !/CN ?= ?laptop-4711/.test(server.said()); await sleep(5))
        assert.ok(performance.now() < end, server.said());
      assert.ok(way.types.includes(23));
      assert.ok(!way.octets().includes('laptop-4711'));
      const pinned = { kind: 'pins', pins: [pinOf(good)] } as const;
      assert.deepEqual(await ask(server.port, pinned, { credential: await credential(ours) }), { proven: true });
    });

    test('that refuses it is none', async () => {
      const server = await demand(good);
      const refused = await ask(server.port, byRoot, { credential: await credential(theirs) });
      assert.ok(!refused.proven);
      assert.match(refused.why, /does not take our certificate: .*unknown ca/i);
    });

    test('an impostor does not get to see it, whatever it shows itself', async () => {
      const twin = pki.issue('good', { issuer: stranger, extensions: names(`DNS:${name}`) });
      const otherName = pki.issue('www', { issuer: root, extensions: names('DNS:www.corp.example') });
      for (const impostor of [twin, otherName]) {
        const server = await demand(impostor);
        const way = await listenIn(server.port);
        const result = await ask(way.port, byRoot, { credential: await credential(ours) });
        assert.ok(!result.proven);
        assert.match(result.why, /its certificate/);
        assert.ok(way.types.includes(22), 'it was spoken to');
        assert.ok(!way.types.includes(23), 'nothing encrypted has left, as a certificate would be');
        assert.doesNotMatch(server.said(), /laptop-4711/);
      }
    });

    test('with TLS 1.2 it would go in the clear: the handshake ends before', async () => {
      const server = await demand(good, '-tls1_2');
      const way = await listenIn(server.port);
      const result = await ask(way.port, byRoot, { credential: await credential(ours) });
      assert.ok(!result.proven);
      assert.match(result.why, /protocol version|unsupported protocol/i);
      assert.ok(!way.octets().includes('laptop-4711'));
    });

    test('one that asks for none is a beacon all the same', async () => {
      assert.deepEqual(await ask(await serve(good), byRoot, { credential: await credential(ours) }), { proven: true });
    });
  });

  test('silence, nonsense and a closed port end in time', async () => {
    const silent = await listen(createTcpServer((socket) => socket.on('error', () => {})));
    assert.deepEqual(await ask(silent, byRoot, { timeoutMs: 200 }), { proven: false, why: 'no answer in time' });
    const noise = await listen(createTcpServer((socket) => void socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n')));
    assert.equal((await ask(noise, byRoot)).proven, false);
    // Of the ports that nobody is given by the kernel: what one test has just closed, another program may open.
    assert.match(JSON.stringify(await ask(1, byRoot)), /ECONNREFUSED/);
  });
});
