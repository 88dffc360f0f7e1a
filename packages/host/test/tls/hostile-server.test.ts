import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { spawn } from 'node:child_process';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { concat } from '@aovpn/bytes';
import type { TlsServerTrust } from '@aovpn/eap';
import { loadCredential, type Credential } from '../../src/keys/credential.ts';
import { createTlsEngine, type TlsEngine } from '../../src/tls/tls-engine.ts';
import { authority, rsaKey, server as serverExtensions, TestPki } from '../trust/test-pki.ts';
import { AnchorStore } from '../../src/trust/anchor-store.ts';
import { createRevocationChecker } from '../../src/trust/revocation.ts';
import { openTlsContext, TlsConversation } from '../../src/tls/tls-conversation.ts';
import { handle, handshake, TestServer, type TestServerOptions } from './tls-server.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const name = 'radius.example.com';
const extensions = [...serverExtensions, `subjectAltName=DNS:${name}`];
const root = pki.issue('root', { extensions: authority });
const radius = pki.issue('radius', { issuer: root, extensions });
const client = pki.issue('client', { issuer: root, extensions: ['extendedKeyUsage=clientAuth'] });
const stranger = pki.issue('stranger', { extensions: authority });
const impostor = pki.issue('impostor', { issuer: stranger, extensions });
const trust: TlsServerTrust = {
  validate: true,
  serverNames: [name],
  trustedRoots: [createHash('sha1').update(root.der).digest('hex')],
};
const peap = { kind: 'peap' } as const;

const ourCertificate = (): Promise<Credential> => loadCredential({ certificate: client.certificatePath, key: client.keyPath });

async function engine(): Promise<TlsEngine> {
  return createTlsEngine({ roots: [root.der], credential: await ourCertificate() });
}

const start = {
  kind: 'tls-start',
  request: 1,
  channel: 'outer',
  trust,
  keying: { kind: 'eap-tls' },
  clientCertificate: true,
  resume: false,
} as const;

suite('a hostile TLS server', () => {
  const extras: readonly (readonly [string, readonly number[]])[] = [
    ['an alert', [21, 3, 3, 0, 2, 2, 40]],
    ['a record that cannot be read', [23, 3, 3, 0, 4, 1, 2, 3, 4]],
  ];
  for (const [what, octets] of extras) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      test(`${what} right behind an impostor's flight does not bring out our certificate, ${version}`, async () => {
        const tls = await engine();
        const exchange = new TestServer({ certificate: impostor, version, clientRoots: [root] }).connect();
        const hello = await handle(tls, start);
        const flight = await exchange(hello.records);
        const records = concat(flight, Uint8Array.from(octets));
        const output = await handle(tls, { kind: 'tls-input', request: 2, channel: 'outer', records });
        assert.equal(output.state.kind, 'failed');
        assert.ok(!Buffer.from(output.records).includes(Buffer.from(client.der.subarray(0, 100))), 'our certificate left');
        assert.ok(output.records.length <= 64, `${output.records.length} octets left`);
      });
    }
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options: TestServerOptions = { certificate: radius, version };
    test(`octets behind the end of TLS end the exchange, ${version}`, async () => {
      const tls = await engine();
      const server = new TestServer(options);
      const run = await handshake(tls, server, { trust, keying: peap });
      assert.equal(run.output.state.kind, 'established');
      server.connection?.end();
      const close = await run.exchange(new Uint8Array());
      const records = concat(close, new Uint8Array(100_000));
      const output = await handle(tls, { kind: 'tls-input', request: 900, channel: 'outer', records });
      assert.ok(output.state.kind === 'established' || output.state.kind === 'failed');
      const again = await handle(tls, { kind: 'tls-input', request: 901, channel: 'outer', records });
      assert.ok(again.state.kind === 'established' || again.state.kind === 'failed');
    });
  }
});

suite('a fault of ours that a server finds', () => {
  test('is a failure, and nothing is believed after it', async () => {
    const checker = createRevocationChecker();
    checker.check = () => Promise.reject(new Error('a fault'));
    const tls = createTlsEngine({
      roots: [root.der],
      credential: await ourCertificate(),
      revocation: { policy: 'soft', checker },
    });
    const server = new TestServer({ certificate: radius, version: 'TLSv1.3', clientRoots: [root] });
    const { output } = await handshake(tls, server, { trust, keying: peap, clientCertificate: true });
    assert.ok(output.state.kind === 'failed');
    assert.deepEqual([output.state.failure.detail, output.records.length], ['unexpected: a fault', 0]);
    const after = await handle(tls, { kind: 'tls-input', request: 9, channel: 'outer', records: Uint8Array.of(22) });
    assert.equal(after.state.kind, 'failed');
  });
});

suite('a TLS server with tickets without end', () => {
  test('a few are kept', async () => {
    const tickets = 60;
    const files = ['-cert', radius.certificatePath, '-key', radius.keyPath];
    const process = spawn('openssl', ['s_server', '-accept', '127.0.0.1:0', '-tls1_3', '-num_tickets', `${tickets}`, ...files], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    let socket: Socket | undefined;
    try {
      let said = '';
      for await (const part of process.stdout) {
        said += String(part);
        if (/^ACCEPT \S*:\d+\n/m.test(said)) break;
      }
      const arrived: Uint8Array[] = [];
      socket = connect(Number(/^ACCEPT \S*:(\d+)$/m.exec(said)?.[1]), '127.0.0.1');
      socket.on('data', (data) => arrived.push(new Uint8Array(data)));
      await once(socket, 'connect');
      const conversation = new TlsConversation({
        context: openTlsContext(undefined),
        channel: 'outer',
        trust,
        keying: peap,
        credential: undefined,
        offer: undefined,
        judge: { roots: AnchorStore.fromDer([root.der]), now: () => new Date() },
        onServer: undefined,
      });
      let output = await conversation.exchange(1, undefined);
      let records = 0;
      const end = performance.now() + 60_000;
      for (let request = 2; records < tickets && performance.now() < end; request++) {
        if (output.records.length > 0) socket.write(output.records);
        if (arrived.length === 0) await delay(5);
        const input = concat(...arrived.splice(0));
        if (input.length === 0) {
          output = { ...output, records: input };
          continue;
        }
        if (output.state.kind === 'established') records += input.length / 250;
        output = await conversation.exchange(request, input);
      }
      assert.equal(output.state.kind, 'established');
      const kept = conversation.takeSessions()?.sessions ?? [];
      assert.equal(kept.length, 4);
      assert.ok(kept.every((session) => session.some((octet) => octet !== 0)));
      conversation.close();
    } finally {
      socket?.destroy();
      process.kill();
    }
  });
});

suite('a TLS that is given up while a person looks for the PIN', () => {
  test('does not begin afterwards', async () => {
    const credential = await ourCertificate();
    const pin = Promise.withResolvers<void>();
    const tls = createTlsEngine({ roots: [root.der], credential: { ...credential, unlock: () => pin.promise } });
    const starting = handle(tls, start);
    await tls.handle({ kind: 'tls-close', channel: 'outer', remember: false });
    pin.resolve();
    const output = await starting;
    assert.deepEqual([output.state.kind, output.records.length], ['failed', 0]);
    const input = { kind: 'tls-input', request: 2, channel: 'outer', records: Uint8Array.of(22) } as const;
    const { state } = await handle(tls, input);
    assert.ok(state.kind === 'failed' && state.failure.detail === 'TLS has not been started');
  });

  test('the newer of two starts counts', async () => {
    const credential = await ourCertificate();
    const pins = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let asked = 0;
    const tls = createTlsEngine({ roots: [root.der], credential: { ...credential, unlock: () => pins[asked++]!.promise } });
    const outputs = [handle(tls, start), handle(tls, { ...start, request: 2 })];
    pins[1]!.resolve();
    assert.equal((await outputs[1])!.state.kind, 'handshaking');
    pins[0]!.resolve();
    assert.equal((await outputs[0])!.state.kind, 'failed');
    const server = new TestServer({ certificate: radius, version: 'TLSv1.3' });
    const flight = await server.connect()((await outputs[1])!.records);
    const { state } = await handle(tls, { kind: 'tls-input', request: 3, channel: 'outer', records: flight });
    assert.equal(state.kind, 'established');
  });
});

suite('what a failure is called (Windows 853 to 866)', () => {
  const alerts: readonly (readonly [number, string])[] = [
    [40, 'alert'],
    [41, 'no-client-certificate'],
    [42, 'client-certificate-refused'],
    [43, 'client-certificate-refused'],
    [44, 'client-certificate-refused'],
    [45, 'client-certificate-refused'],
    [46, 'client-certificate-refused'],
    [48, 'client-certificate-refused'],
    [49, 'client-certificate-refused'],
    [80, 'alert'],
    [116, 'no-client-certificate'],
  ];
  for (const [alert, reason] of alerts) {
    test(`alert ${alert} is ${reason}, and keeps its number`, async () => {
      const tls = await engine();
      await handle(tls, start);
      const records = Uint8Array.of(21, 3, 3, 0, 2, 2, alert);
      const { state } = await handle(tls, { kind: 'tls-input', request: 2, channel: 'outer', records });
      assert.ok(state.kind === 'failed');
      assert.deepEqual([state.failure.reason, state.failure.alert], [reason, alert]);
    });
  }

  const day = 86_400_000;
  const shortRoot = pki.issue('short root', { extensions: authority, days: 2 });
  const belowShort = pki.issue('below', { issuer: shortRoot, extensions, days: 30 });
  const weak = pki.issue('weak', { issuer: root, extensions, key: rsaKey(1024) });
  const forClients = pki.issue('for clients', {
    issuer: root,
    extensions: ['extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`],
  });
  const noAuthority = pki.issue('no authority', { extensions: ['basicConstraints=critical,CA:false'] });
  const belowNone = pki.issue('below none', { issuer: noAuthority, extensions });
  const cases: readonly (readonly [
    string,
    TestServerOptions['certificate'],
    TestServerOptions['certificate'],
    number,
    string,
  ])[] = [
    ['expired', radius, root, 40 * day, 'expired'],
    ['not yet valid', radius, root, -40 * day, 'not-yet-valid'],
    ['the root has expired', belowShort, shortRoot, 3 * day, 'invalid-root'],
    ['the root is no authority', belowNone, noAuthority, 0, 'invalid-root'],
    ['a short key', weak, root, 0, 'weak'],
    ['for clients', forClients, root, 0, 'wrong-eku'],
    ['nobody knows its issuer', impostor, root, 0, 'untrusted'],
  ];
  for (const [what, certificate, anchor, later, reason] of cases) {
    test(`${what}: ${reason}`, async () => {
      const tls = createTlsEngine({ roots: [anchor.der], now: () => new Date(Date.now() + later) });
      const settings = { ciphers: 'DEFAULT:@SECLEVEL=0' };
      const server = new TestServer({ certificate, version: 'TLSv1.2', settings });
      const { output } = await handshake(tls, server, { trust: { ...trust, trustedRoots: [] }, keying: peap });
      assert.ok(output.state.kind === 'failed');
      assert.equal(output.state.failure.reason, reason, output.state.failure.detail);
    });
  }
});
