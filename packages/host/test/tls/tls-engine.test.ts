import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import { after, suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createSecureContext, TLSSocket, type SecureVersion } from 'node:tls';
import { concat } from '@aovpn/bytes';
import { startEapPeer, stepEap, type EapAction, type EapEvent, type TlsServerTrust } from '@aovpn/eap';
import { createEapCrypto } from '../../src/crypto/eap-crypto.ts';
import { loadCredential } from '../../src/keys/credential.ts';
import { createTlsEngine, type TlsEngine } from '../../src/tls/tls-engine.ts';
import { authority, ecKey, rsaKey, server, TestPki, type TestCertificate } from '../trust/test-pki.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const name = 'radius.example.com';
const day = 86_400_000;
const root = pki.issue('root', { extensions: authority });
const middle = pki.issue('middle', { issuer: root, extensions: authority });
const radius = pki.issue('radius', { issuer: middle, extensions: [...server, `subjectAltName=DNS:${name}`] });
const client = pki.issue('client', { issuer: middle, extensions: ['extendedKeyUsage=clientAuth'] });
const trust: TlsServerTrust = { validate: true, serverNames: [name], trustedRoots: [thumbprint(root)] };

function thumbprint(certificate: TestCertificate): string {
  return createHash('sha1').update(certificate.der).digest('hex');
}

async function engineOf(certificate: TestCertificate = client, roots = [root], now?: Date): Promise<TlsEngine> {
  const credential = await loadCredential({ certificate: certificate.certificatePath, key: certificate.keyPath });
  return createTlsEngine({ credential, roots: roots.map(({ der }) => der), now: () => now ?? new Date() });
}

interface ServerOptions {
  readonly certificate?: TestCertificate;
  readonly chain?: readonly TestCertificate[];
  readonly clientRoots?: readonly TestCertificate[];
  readonly version: SecureVersion;
  /** What is said after a TLS 1.3 handshake. */
  readonly commitment?: Uint8Array;
}

/** A TLS server over octets, and the EAP-TLS packets around it (RFC 5216), with fragments of `size`. */
class EapTlsServer {
  readonly #written: Uint8Array[] = [];
  readonly #wire: Duplex;
  readonly #socket: TLSSocket;
  #incoming: Uint8Array[] = [];
  #outgoing: Uint8Array = new Uint8Array();
  #sent = 0;
  #identifier = 0;
  readonly #size: number;
  secure = false;
  clientSubject: string | undefined;
  problem: string | undefined;
  keys: Buffer | undefined;

  constructor(options: ServerOptions, size = 1200) {
    this.#size = size;
    this.#wire = new Duplex({
      write: (chunk: Buffer, _, done) => {
        this.#written.push(Uint8Array.from(chunk));
        done();
      },
      read: () => undefined,
    });
    const certificate = options.certificate ?? radius;
    this.#socket = new TLSSocket(this.#wire, {
      isServer: true,
      requestCert: true,
      rejectUnauthorized: true,
      secureContext: createSecureContext({
        cert: [certificate, ...(options.chain ?? [middle])].map(({ pem }) => pem).join(''),
        key: certificate.key,
        ca: (options.clientRoots ?? [root, middle]).map(({ pem }) => pem),
        minVersion: options.version,
        maxVersion: options.version,
      }),
    });
    this.#socket.on('secure', () => {
      const refused: unknown = (this.#socket as unknown as { ssl: { verifyError(): Error | null } }).ssl.verifyError();
      if (refused instanceof Error) {
        this.problem = refused.message;
        this.#socket.destroy(refused);
        return;
      }
      this.secure = true;
      this.clientSubject = this.#socket.getPeerX509Certificate()?.subject;
      const isOld = options.version === 'TLSv1.2';
      const label = isOld ? 'client EAP encryption' : 'EXPORTER_EAP_TLS_Key_Material';
      const exporter = this.#socket as unknown as {
        exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer;
      };
      this.keys = isOld
        ? exporter.exportKeyingMaterial(128, label)
        : exporter.exportKeyingMaterial(128, label, Buffer.from([13]));
      if (!isOld && options.commitment !== undefined) this.#socket.write(options.commitment);
    });
    this.#socket.on('error', (error) => (this.problem ??= error.message));
  }

  start(): Uint8Array {
    return this.#request(Uint8Array.of(0x20));
  }

  /** The next Request, or Success or Failure. */
  async next(response: Uint8Array): Promise<Uint8Array> {
    const flags = response[5]!;
    const data = response.subarray((flags & 0x80) !== 0 ? 10 : 6);
    if (data.length > 0) {
      this.#incoming.push(data.slice());
      if ((flags & 0x40) !== 0) return this.#request(Uint8Array.of(0));
      this.#wire.push(concat(...this.#incoming));
      this.#incoming = [];
      for (let i = 0; i < 30; i++) await nextTurn();
      this.#outgoing = concat(...this.#written.splice(0));
      this.#sent = 0;
    }
    if (this.#sent < this.#outgoing.length) {
      const piece = this.#outgoing.subarray(this.#sent, this.#sent + this.#size);
      const first = this.#sent === 0;
      this.#sent += piece.length;
      const more = this.#sent < this.#outgoing.length;
      const total = new Uint8Array(4);
      new DataView(total.buffer).setUint32(0, this.#outgoing.length);
      return this.#request(
        concat(Uint8Array.of((first ? 0x80 : 0) | (more ? 0x40 : 0)), first ? total : new Uint8Array(), piece),
      );
    }
    return Uint8Array.of(this.secure && this.problem === undefined ? 3 : 4, this.#identifier, 0, 4);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #request(typeData: Uint8Array): Uint8Array {
    this.#identifier = (this.#identifier + 1) & 0xff;
    const length = 5 + typeData.length;
    return concat(Uint8Array.of(1, this.#identifier, length >> 8, length & 0xff, 13), typeData);
  }
}

interface Outcome {
  readonly last: EapAction['kind'] | undefined;
  readonly msk: Uint8Array | undefined;
  readonly method: string | undefined;
  readonly failure: Extract<EapAction, { kind: 'failed' }>['failure'] | undefined;
  readonly replies: readonly Uint8Array[];
  readonly server: EapTlsServer;
}

/** Peer, engine and server until one of them is done. */
async function converse(
  engine: TlsEngine,
  serverOptions: ServerOptions,
  wanted: TlsServerTrust = trust,
  size?: number,
): Promise<Outcome> {
  const tlsServer = new EapTlsServer(serverOptions, size);
  let state = startEapPeer({ identity: 'user', method: { kind: 'tls', trust: wanted } });
  let event: EapEvent | undefined = { kind: 'packet', packet: tlsServer.start() };
  const seen: EapAction[] = [];
  const replies: Uint8Array[] = [];
  try {
    while (event) {
      const step = stepEap(createEapCrypto(), state, event);
      state = step.state;
      event = undefined;
      for (const action of step.actions) {
        seen.push(action);
        if (isTlsAction(action)) event = await engine.handle(action);
        if (action.kind === 'reply') {
          replies.push(action.packet);
          event = { kind: 'packet', packet: await tlsServer.next(action.packet) };
        }
      }
      if (seen.some((action) => action.kind === 'failed')) break;
    }
  } finally {
    tlsServer.destroy();
    await engine.handle({ kind: 'tls-close', channel: 'outer', remember: false });
  }
  const succeeded = seen.find((action) => action.kind === 'succeeded');
  const failed = seen.find((action) => action.kind === 'failed');
  return {
    last: seen.at(-1)?.kind,
    msk: succeeded?.msk,
    method: succeeded?.method,
    failure: failed?.failure,
    replies,
    server: tlsServer,
  };
}

type TlsAction = Parameters<TlsEngine['handle']>[0];

function isTlsAction(action: EapAction): action is TlsAction {
  return action.kind.startsWith('tls-');
}

function startOf(request: number): Extract<TlsAction, { kind: 'tls-start' }> {
  const keying = { kind: 'eap-tls' } as const;
  return { kind: 'tls-start', request, channel: 'outer', trust, keying, clientCertificate: true, resume: false };
}

const commitment = Uint8Array.of(0);
const versions = [
  { version: 'TLSv1.2', commitment },
  { version: 'TLSv1.3', commitment },
] as const;

for (const options of versions) {
  suite(`EAP-TLS over a real TLS server, ${options.version}`, () => {
    test('succeeds; both ends have the same keys', async () => {
      const outcome = await converse(await engineOf(), options);
      assert.equal(outcome.failure, undefined, outcome.failure?.detail);
      assert.equal(outcome.method, `EAP-TLS with TLS ${options.version.slice(4)}`);
      assert.deepEqual(Buffer.from(outcome.msk ?? []), outcome.server.keys?.subarray(0, 64));
      assert.equal(outcome.server.clientSubject, 'CN=client');
    });

    test('small fragments, and flights of ours that need several', async () => {
      const key = rsaKey(4096);
      const long = pki.issue('client', {
        issuer: middle,
        key,
        extensions: ['extendedKeyUsage=clientAuth', `nsComment=${'x'.repeat(2000)}`],
      });
      const outcome = await converse(await engineOf(long), options, trust, 100);
      assert.equal(outcome.failure, undefined, outcome.failure?.detail);
      assert.ok(outcome.replies.some((reply) => (reply[5]! & 0x40) !== 0));
    });

    for (const [kind, key] of [
      ['RSA', rsaKey(2048)],
      ['P-384', ecKey('P-384')],
    ] as const) {
      test(`client key ${kind}`, async () => {
        const other = pki.issue('client', { issuer: middle, key, extensions: ['extendedKeyUsage=clientAuth'] });
        assert.equal((await converse(await engineOf(other), options)).failure, undefined);
      });
    }

    const refused: readonly (readonly [string, string, RegExp, () => Promise<Outcome>])[] = [
      [
        'another root (CVE-2023-26463)',
        'untrusted',
        /no path/,
        async () =>
          converse(await engineOf(client, [pki.issue('x', { extensions: authority })]), options, { ...trust, trustedRoots: [] }),
      ],
      [
        'a root that the profile does not name',
        'untrusted',
        /none of the roots/,
        async () => converse(await engineOf(), options, { ...trust, trustedRoots: ['00'.repeat(20)] }),
      ],
      [
        'a second root in the store, which the profile does not name',
        'untrusted',
        /no path/,
        async () => {
          const second = pki.issue('second', { extensions: authority });
          return converse(await engineOf(client, [root, second]), options, { ...trust, trustedRoots: [thumbprint(second)] });
        },
      ],
      [
        'a wrong name',
        'wrong-name',
        /the profile wants other/,
        async () => converse(await engineOf(), options, { ...trust, serverNames: ['other.example.com'] }),
      ],
      [
        'an expired certificate',
        'expired',
        /expired/,
        async () => converse(await engineOf(client, [root], new Date(Date.now() + 31 * day)), options),
      ],
      [
        'a client certificate as server',
        'wrong-eku',
        /not for servers/,
        async () =>
          converse(await engineOf(), {
            ...options,
            certificate: pki.issue('x', {
              issuer: root,
              extensions: ['extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`],
            }),
          }),
      ],
      [
        'a self-signed certificate',
        'untrusted',
        /no path/,
        async () =>
          converse(await engineOf(), {
            ...options,
            certificate: pki.issue('self', { extensions: [...server, `subjectAltName=DNS:${name}`] }),
            chain: [],
          }),
      ],
    ];
    for (const [what, reason, detail, run] of refused) {
      test(`the server is refused: ${what}; it learns nothing of us`, async () => {
        const outcome = await run();
        assert.equal(outcome.failure?.tls?.reason, reason, outcome.failure?.detail);
        assert.match(outcome.failure?.detail ?? '', detail);
        assert.equal(outcome.msk, undefined);
        const sent = Buffer.concat(outcome.replies);
        assert.ok(!sent.includes(Buffer.from(client.der.subarray(0, 100))), 'our certificate has left');
        assert.equal(outcome.server.secure, false);
      });
    }

    test('not validated when the profile says so', async () => {
      const outcome = await converse(await engineOf(client, [pki.issue('x', { extensions: authority })]), options, {
        ...trust,
        validate: false,
      });
      assert.equal(outcome.failure, undefined, outcome.failure?.detail);
    });

    test('any name below an accepted root when the profile names none', async () => {
      assert.equal((await converse(await engineOf(), options, { ...trust, serverNames: [] })).failure, undefined);
    });

    test('the server refuses our certificate', async () => {
      const stranger = pki.issue('stranger', { extensions: ['extendedKeyUsage=clientAuth'] });
      const outcome = await converse(await engineOf(stranger), options);
      // Node's server closes without an alert, so that EAP-Failure is all that comes.
      assert.ok(outcome.failure);
      assert.equal(outcome.msk, undefined);
    });
  });
}

suite('TLS engine', () => {
  test('TLS 1.3 without the protected success indication is no success', async () => {
    const outcome = await converse(await engineOf(), { version: 'TLSv1.3' });
    assert.equal(outcome.failure?.kind, 'out-of-order', outcome.failure?.detail);
  });

  test('no client certificate: nothing is sent', async () => {
    const engine = createTlsEngine({ roots: [root.der] });
    const event = await engine.handle(startOf(1));
    assert.ok(event?.kind === 'tls-output' && event.state.kind === 'failed');
    assert.equal(event.state.failure.reason, 'no-client-certificate');
    assert.equal(event.records.length, 0);
  });

  test('ClientHello names no server, and no version below 1.2', async () => {
    const engine = await engineOf();
    const event = await engine.handle(startOf(7));
    assert.ok(event?.kind === 'tls-output' && event.request === 7 && event.state.kind === 'handshaking');
    const text = Buffer.from(event.records).toString('latin1');
    assert.ok(!text.includes('example'));
    // supported_versions: TLS 1.3, TLS 1.2.
    assert.ok(Buffer.from(event.records).includes(Buffer.from('002b00050403040303', 'hex')));
    await engine.handle({ kind: 'tls-close', channel: 'outer', remember: false });
  });

  const rubbish: readonly (readonly [string, Uint8Array])[] = [
    ['one octet', Uint8Array.of(0)],
    ['no TLS', new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['a record longer than any', concat(Uint8Array.of(22, 3, 3, 0xff, 0xff), new Uint8Array(0xffff))],
    ['64 KiB of zeros', new Uint8Array(0x10000)],
  ];
  for (const [what, octets] of rubbish) {
    test(`${what} in place of ServerHello`, async () => {
      const engine = await engineOf();
      await engine.handle(startOf(1));
      const event = await engine.handle({ kind: 'tls-input', request: 2, channel: 'outer', records: octets });
      assert.ok(event?.kind === 'tls-output');
      assert.notEqual(event.state.kind, 'established');
      assert.equal(await engine.handle({ kind: 'tls-close', channel: 'outer', remember: false }), undefined);
    });
  }

  test('input before the start, and after the end', async () => {
    const engine = await engineOf();
    const input = { kind: 'tls-input', request: 1, channel: 'outer', records: Uint8Array.of(1) } as const;
    for (let i = 0; i < 2; i++) {
      const event = await engine.handle(input);
      assert.ok(event?.kind === 'tls-output' && event.state.kind === 'failed');
      await engine.handle({ kind: 'tls-close', channel: 'outer', remember: false });
    }
  });
});
