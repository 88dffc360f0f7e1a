import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, suite, test } from 'node:test';
import type { TlsKeying, TlsServerTrust } from '@aovpn/eap';
import { loadCredential } from '../../src/keys/credential.ts';
import { createTlsSessionCache, SessionCache } from '../../src/tls/session-cache.ts';
import { createTlsEngine, type TlsEngineOptions } from '../../src/tls/tls-engine.ts';
import type { TrustQuestion, VerifiedServer } from '../../src/tls/verify-server.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { writeOcspRequest } from '../../src/trust/ocsp.ts';
import { createRevocationChecker } from '../../src/trust/revocation.ts';
import { authority, server as serverExtensions, TestPki, type TestCertificate } from '../trust/test-pki.ts';
import { handle, handshake, read, TestServer, write, type Run, type StartOptions, type TestServerOptions } from './tls-server.ts';

const pki = new TestPki();
after(() => pki[Symbol.dispose]());

const name = 'radius.example.com';
const root = pki.issue('root', { extensions: authority });
const middle = pki.issue('middle', { issuer: root, extensions: authority });
const radius = pki.issue('radius', { issuer: middle, extensions: [...serverExtensions, `subjectAltName=DNS:${name}`] });
const other = pki.issue('other radius', { issuer: middle, extensions: [...serverExtensions, `subjectAltName=DNS:${name}`] });
const client = pki.issue('client', { issuer: middle, extensions: ['extendedKeyUsage=clientAuth'] });
const trust: TlsServerTrust = { validate: true, serverNames: [name], trustedRoots: [sha1(root)] };
const peap: TlsKeying = { kind: 'peap' };

function sha1(certificate: TestCertificate): string {
  return createHash('sha1').update(certificate.der).digest('hex');
}

function hex(octets: Uint8Array | undefined): string {
  return Buffer.from(octets ?? []).toString('hex');
}

const engineOf = (options: Partial<TlsEngineOptions> = {}): ReturnType<typeof createTlsEngine> =>
  createTlsEngine({ roots: [root.der], ...options });

function established({ output }: Run): Extract<Run['output']['state'], { kind: 'established' }> {
  assert.ok(output.state.kind === 'established', JSON.stringify(output.state));
  return output.state;
}

function failure({ output }: Run): { readonly reason: string; readonly detail: string } {
  assert.ok(output.state.kind === 'failed', output.state.kind);
  return output.state.failure;
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const isOld = version === 'TLSv1.2';
  const options: TestServerOptions = { certificate: radius, chain: [middle], version };

  suite(`TLS tunnel, ${version}`, () => {
    const methods: readonly (readonly [TlsKeying, number, string])[] = [
      [{ kind: 'eap-tls' }, 13, 'client EAP encryption'],
      [peap, 25, 'client EAP encryption'],
      [{ kind: 'ttls', challengeLength: 17 }, 21, 'ttls keying material'],
    ];
    for (const [keying, type, label] of methods) {
      test(`${keying.kind}: both ends export the same keys`, async () => {
        const server = new TestServer(options);
        const run = await handshake(engineOf(), server, { trust, keying });
        const state = established(run);
        assert.equal(state.version, isOld ? '1.2' : '1.3');
        assert.equal(state.resumed, false);
        assert.equal(state.keyMaterial.length, 128);
        const context = Uint8Array.of(type);
        const theirs = isOld ? server.export(128, label) : server.export(128, 'EXPORTER_EAP_TLS_Key_Material', context);
        assert.equal(hex(state.keyMaterial), hex(theirs));
        assert.equal(state.sessionId[0], type);
        assert.equal(state.sessionId.length, 65);
        if (!isOld) assert.equal(hex(state.sessionId.subarray(1)), hex(server.export(64, 'EXPORTER_EAP_TLS_Method-Id', context)));
        assert.equal(hex(state.challenge), keying.kind === 'ttls' ? hex(server.export(17, 'ttls challenge')) : '');
      });
    }

    test('whoever overwrites the keys overwrites a copy', async () => {
      const engine = engineOf();
      const server = new TestServer(options);
      const run = await handshake(engine, server, { trust, keying: peap });
      const keys = hex(established(run).keyMaterial);
      established(run).keyMaterial.fill(0);
      const next = await write(engine, run, 'x');
      assert.equal(hex(established({ ...run, output: next }).keyMaterial), keys);
    });

    test('application data both ways, and the plain text on no wire', async () => {
      const engine = engineOf();
      const server = new TestServer(options);
      const run = await handshake(engine, server, { trust, keying: peap });
      const output = await write(engine, run, 'inner identity');
      assert.ok(!Buffer.from(output.records).includes('inner'));
      assert.equal(Buffer.concat(server.received).toString(), 'inner identity');
      assert.equal(await read(engine, run, server, 'inner request'), 'inner request');
      const long = 'x'.repeat(40_000);
      await write(engine, run, long);
      assert.equal(Buffer.concat(server.received).toString(), `inner identity${long}`);
    });

    test('a tunnel shows no client certificate, though there is one and the server asks', async () => {
      const credential = await loadCredential({ certificate: client.certificatePath, key: client.keyPath });
      const asking = new TestServer({ ...options, clientRoots: [root, middle] });
      const run = await handshake(engineOf({ credential }), asking, { trust, keying: peap });
      assert.ok(!Buffer.from(run.sent).includes(Buffer.from(client.der.subarray(0, 100))));
      assert.equal(asking.connection, undefined);
      const willing = new TestServer({ ...options, clientRoots: [root, middle] });
      const shown = await handshake(engineOf({ credential }), willing, { trust, keying: peap, clientCertificate: true });
      established(shown);
      assert.equal(willing.connection?.getPeerX509Certificate()?.subject, 'CN=client');
    });

    test('inner and outer conversations are apart', async () => {
      const credential = await loadCredential({ certificate: client.certificatePath, key: client.keyPath });
      const servers: VerifiedServer[] = [];
      const engine = engineOf({ credential, onServer: (server) => servers.push(server) });
      const outerServer = new TestServer(options);
      const outer = await handshake(engine, outerServer, { trust, keying: peap });
      const innerServer = new TestServer({ ...options, clientRoots: [root, middle] });
      const innerOptions = { trust, keying: { kind: 'eap-tls' }, channel: 'inner', clientCertificate: true } as const;
      const inner = await handshake(engine, innerServer, innerOptions);
      assert.notEqual(hex(established(outer).keyMaterial), hex(established(inner).keyMaterial));
      await write(engine, inner, 'to the inner', 'inner');
      await engine.handle({ kind: 'tls-close', channel: 'inner', remember: false });
      await write(engine, outer, 'to the outer');
      assert.equal(Buffer.concat(innerServer.received).toString(), 'to the inner');
      assert.equal(Buffer.concat(outerServer.received).toString(), 'to the outer');
      assert.deepEqual(
        servers.map(({ channel, subject, names, rootSubject, rootSha1, validated, asked, resumed }) => [
          channel,
          subject,
          names,
          rootSubject,
          rootSha1,
          validated,
          asked,
          resumed,
        ]),
        [
          ['outer', 'CN=radius', [name], 'CN=root', sha1(root), true, false, false],
          ['inner', 'CN=radius', [name], 'CN=root', sha1(root), true, false, false],
        ],
      );
    });

    for (const keying of [peap, { kind: 'ttls', challengeLength: 0 }] as const) {
      test(`${keying.kind}: a server that is not believed gets nothing through the tunnel (CVE-2023-26463)`, async () => {
        const self = pki.issue('self', { extensions: [...serverExtensions, `subjectAltName=DNS:${name}`] });
        const impostors: readonly (readonly [string, Partial<TestServerOptions>, TlsServerTrust, string])[] = [
          ['self-signed, with the real root in its chain', { certificate: self, chain: [root] }, trust, 'untrusted'],
          ['below a root that the profile does not name', {}, { ...trust, trustedRoots: [sha1(self)] }, 'untrusted'],
          ['another name', {}, { ...trust, serverNames: ['nps.example.com'] }, 'wrong-name'],
          ['a client certificate of the same authority', { certificate: client }, { ...trust, serverNames: [] }, 'wrong-eku'],
        ];
        for (const [what, serverOptions, wanted, reason] of impostors) {
          const engine = engineOf();
          const impostor = new TestServer({ ...options, ...serverOptions });
          const run = await handshake(engine, impostor, { trust: wanted, keying });
          assert.equal(failure(run).reason, reason, what);
          const output = await handle(engine, { kind: 'tls-write', request: 99, channel: 'outer', data: Uint8Array.of(1, 2, 3) });
          assert.equal(output.records.length, 0, what);
          assert.equal(output.state.kind, 'failed', what);
          assert.deepEqual([impostor.connection, impostor.received], [undefined, []], what);
        }
      });
    }

    test('nothing is encrypted before the server has proven itself', async () => {
      const engine = engineOf();
      const server = new TestServer(options);
      const answer = server.connect();
      const start = {
        kind: 'tls-start',
        request: 1,
        channel: 'outer',
        trust,
        keying: peap,
        clientCertificate: false,
        resume: false,
      } as const;
      await answer((await handle(engine, start)).records);
      const output = await handle(engine, {
        kind: 'tls-write',
        request: 2,
        channel: 'outer',
        data: new TextEncoder().encode('secret'),
      });
      assert.equal(output.state.kind, 'failed');
      assert.equal(output.records.length, 0);
      const unknown = await handle(engine, { kind: 'tls-write', request: 3, channel: 'inner', data: Uint8Array.of(1) });
      assert.equal(unknown.state.kind, 'failed');
    });

    suite('resumption', () => {
      const ticketKeys = randomBytes(48);
      const again = { ...options, ticketKeys };
      const start: StartOptions = { trust, keying: peap, resume: true };

      async function first(
        engine: ReturnType<typeof engineOf>,
        remember = true,
        serverOptions: TestServerOptions = again,
      ): Promise<TestServer> {
        const server = new TestServer(serverOptions);
        const run = await handshake(engine, server, start);
        assert.equal(established(run).resumed, false);
        // TLS 1.3 tickets may come with the first words of the server.
        await read(engine, run, server, 'hello');
        await engine.handle({ kind: 'tls-close', channel: 'outer', remember });
        return server;
      }

      test('a remembered session is resumed, with new keys that both ends have; and again', async () => {
        const sessions = createTlsSessionCache();
        const servers: VerifiedServer[] = [];
        const engine = engineOf({ sessions, onServer: (server) => servers.push(server) });
        await first(engine);
        const keys = new Set<string>();
        // Node's server gives two tickets with TLS 1.3, and none when it resumes: each is used once, then comes a whole handshake.
        const expected = isOld ? [true, true, true] : [true, true, false];
        for (const isResumed of expected) {
          const server = new TestServer(again);
          const run = await handshake(engine, server, start);
          const state = established(run);
          assert.equal(state.resumed, isResumed);
          const label = isOld
            ? server.export(128, 'client EAP encryption')
            : server.export(128, 'EXPORTER_EAP_TLS_Key_Material', Uint8Array.of(25));
          assert.equal(hex(state.keyMaterial), hex(label));
          keys.add(hex(state.keyMaterial));
          assert.equal(await read(engine, run, server, 'hello'), 'hello');
          await engine.handle({ kind: 'tls-close', channel: 'outer', remember: true });
        }
        assert.equal(keys.size, 3);
        assert.deepEqual(
          servers.map(({ resumed, rootSha1 }) => [resumed, rootSha1]),
          [false, ...expected].map((resumed) => [resumed, sha1(root)]),
        );
      });

      const cases: readonly (readonly [string, boolean, Partial<TlsEngineOptions>, Partial<StartOptions>])[] = [
        ['the profile allows it', true, {}, {}],
        ['the peer does not want it', false, {}, { resume: false }],
        ['other server names', false, {}, { trust: { ...trust, serverNames: [name, 'b.example.com'] } }],
        ['other roots in the profile', false, {}, { trust: { ...trust, trustedRoots: [] } }],
        ['another trust store', false, { roots: [root.der, middle.der] }, {}],
        ['another version of the profile', false, { profileVersion: '2' }, {}],
        ['another method', false, {}, { keying: { kind: 'ttls', challengeLength: 0 } }],
        ['no validation any more', false, {}, { trust: { ...trust, validate: false } }],
      ];
      for (const [what, resumed, engineOptions, startOptions] of cases) {
        test(`${resumed ? '' : 'not '}resumed: ${what}`, async () => {
          const sessions = createTlsSessionCache();
          await first(engineOf({ sessions, profileVersion: '1' }));
          const engine = engineOf({ sessions, profileVersion: '1', ...engineOptions });
          const run = await handshake(engine, new TestServer(again), { ...start, ...startOptions });
          assert.equal(established(run).resumed, resumed);
        });
      }

      test('not resumed: another client certificate', async () => {
        const sessions = createTlsSessionCache();
        const asking = { ...again, clientRoots: [root, middle] };
        const second = pki.issue('second client', { issuer: middle, extensions: ['extendedKeyUsage=clientAuth'] });
        const mine = { trust, keying: { kind: 'eap-tls' }, clientCertificate: true, resume: true } as const;
        const seen: boolean[] = [];
        for (const certificate of [client, client, second]) {
          const credential = await loadCredential({ certificate: certificate.certificatePath, key: certificate.keyPath });
          const engine = engineOf({ sessions, credential });
          const server = new TestServer(asking);
          const run = await handshake(engine, server, mine);
          seen.push(established(run).resumed);
          await read(engine, run, server, 'hello');
          await engine.handle({ kind: 'tls-close', channel: 'outer', remember: true });
        }
        assert.deepEqual(seen, [false, true, false]);
      });

      test('not resumed: it was not remembered, it was forgotten, or its ten hours are over', async () => {
        for (const spoil of [
          async (sessions: SessionCache) => first(engineOf({ sessions }), false),
          async (sessions: SessionCache) => {
            await first(engineOf({ sessions }));
            sessions.clear();
          },
          async (sessions: SessionCache) => {
            await first(engineOf({ sessions, now: () => new Date(Date.now() - 11 * 3_600_000 + 86_400_000) }));
          },
        ]) {
          const sessions = new SessionCache();
          await spoil(sessions);
          const now = (): Date => new Date(Date.now() + 86_400_000);
          const run = await handshake(engineOf({ sessions, now }), new TestServer(again), start);
          assert.equal(established(run).resumed, false);
        }
      });

      test('not offered when its server would not be believed any more: the certificate has expired since', async () => {
        const brief = pki.issue('brief', {
          issuer: middle,
          extensions: [...serverExtensions, `subjectAltName=DNS:${name}`],
          days: 1,
        });
        const sessions = createTlsSessionCache();
        const at = new Date(brief.x509.validTo).getTime();
        await first(engineOf({ sessions, now: () => new Date(at - 3_600_000) }), true, { ...again, certificate: brief });
        const engine = engineOf({ sessions, now: () => new Date(at + 3_600_000) });
        const run = await handshake(engine, new TestServer({ ...again, certificate: brief }), start);
        assert.equal(failure(run).reason, 'expired');
      });

      test('a server that refuses the session is judged by the certificate that it shows now', async () => {
        const sessions = createTlsSessionCache();
        await first(engineOf({ sessions }));
        const servers: VerifiedServer[] = [];
        const engine = engineOf({ sessions, onServer: (server) => servers.push(server) });
        const run = await handshake(
          engine,
          new TestServer({ ...options, certificate: other, ticketKeys: randomBytes(48) }),
          start,
        );
        assert.equal(established(run).resumed, false);
        assert.equal(servers[0]?.subject, 'CN=other radius');

        await first(engineOf({ sessions }));
        const stranger = pki.issue('stranger', { extensions: [...serverExtensions, `subjectAltName=DNS:${name}`] });
        const evil = new TestServer({ version, certificate: stranger, ticketKeys: randomBytes(48) });
        assert.equal(failure(await handshake(engineOf({ sessions }), evil, start)).reason, 'untrusted');
        assert.equal(evil.connection, undefined);
      });

      test('a refused session of the same server: a whole handshake', async () => {
        const sessions = createTlsSessionCache();
        await first(engineOf({ sessions }));
        const run = await handshake(engineOf({ sessions }), new TestServer({ ...options, ticketKeys: randomBytes(48) }), start);
        assert.equal(established(run).resumed, false);
      });

      if (isOld) {
        test('by session identifier, without tickets', async () => {
          const sessions = createTlsSessionCache();
          const plain = { ...options, withoutTickets: true };
          const server = await first(engineOf({ sessions }), true, plain);
          assert.ok(server.sessions.size > 0);
          const run = await handshake(engineOf({ sessions }), new TestServer(plain, server.sessions), start);
          assert.equal(established(run).resumed, true);
        });
      }

      test('what the cache shows has no session in it', async () => {
        const sessions = createTlsSessionCache();
        await first(engineOf({ sessions }));
        assert.equal(JSON.stringify(sessions), '{}');
      });
    });

    suite('a person decides (mayAsk)', () => {
      const asking = { ...trust, mayAsk: true };
      const day = 86_400_000;
      const stranger = pki.issue('stranger', { extensions: [...serverExtensions, `subjectAltName=DNS:${name}`] });
      const wrongUse = pki.issue('wrong use', { extensions: ['extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`] });
      const cases: readonly (readonly [
        string,
        Partial<TestServerOptions>,
        TlsServerTrust,
        number,
        string | undefined,
        string,
      ])[] = [
        ['an unknown root', { certificate: stranger, chain: [] }, asking, 0, 'untrusted', 'untrusted'],
        [
          'a root that the profile does not name',
          {},
          { ...asking, trustedRoots: ['00'.repeat(20)] },
          0,
          'untrusted',
          'untrusted',
        ],
        ['another name', {}, { ...asking, serverNames: ['b.example.com'] }, 0, 'wrong-name', 'wrong-name'],
        ['the profile forbids it', {}, { ...trust, serverNames: ['b.example.com'] }, 0, undefined, 'wrong-name'],
        ['expired', {}, asking, 40 * day, undefined, 'expired'],
        ['expired below an unknown root', { certificate: stranger, chain: [] }, asking, 40 * day, undefined, 'expired'],
        ['no certificate for servers', { certificate: wrongUse, chain: [] }, asking, 0, undefined, 'wrong-eku'],
      ];
      for (const [what, serverOptions, wanted, later, asked, reason] of cases) {
        test(`${what}: ${asked === undefined ? 'nobody is asked' : 'asked; yes is yes, no is no'}`, async () => {
          const questions: TrustQuestion[] = [];
          const now = (): Date => new Date(Date.now() + later);
          for (const answer of [true, false]) {
            const engine = engineOf({
              now,
              askTrust: (question) => {
                questions.push(question);
                return Promise.resolve(answer);
              },
            });
            const run = await handshake(engine, new TestServer({ ...options, ...serverOptions }), {
              trust: wanted,
              keying: peap,
            });
            if (asked !== undefined && answer) assert.equal(established(run).resumed, false);
            else assert.equal(failure(run).reason, reason);
          }
          assert.equal(questions.length, asked === undefined ? 0 : 2);
          if (asked === undefined) return;
          const certificate = serverOptions.certificate ?? radius;
          assert.equal(questions[0]?.failure.reason, asked);
          assert.equal(questions[0]?.sha1, sha1(certificate));
          assert.equal(questions[0]?.subject, `CN=${certificate.name}`);
          assert.deepEqual(questions[0]?.names, [name]);
        });
      }

      test('a question that nobody can put is a no', async () => {
        const engine = engineOf({ askTrust: () => Promise.reject(new Error('no terminal')) });
        const run = await handshake(engine, new TestServer(options), {
          trust: { ...asking, serverNames: ['x.example'] },
          keying: peap,
        });
        assert.equal(failure(run).reason, 'wrong-name');
      });
    });

    suite('revocation', () => {
      const listed = pki.issue('listed', {
        issuer: root,
        extensions: [
          ...serverExtensions,
          `subjectAltName=DNS:${name}`,
          'crlDistributionPoints=URI:http://crl.example.com/root.crl',
        ],
      });
      const ocspOf = (revoked: readonly TestCertificate[]): Uint8Array => {
        const request = writeOcspRequest(parseCertificate(listed.der), parseCertificate(root.der));
        return pki.ocsp(root, root, revoked, request);
      };
      const settings = { ...options, certificate: listed, chain: [] };
      const start = { trust, keying: peap } as const;

      test('the OCSP response that the server staples is heeded without any network', async () => {
        const good = new TestServer({ ...settings, ocsp: ocspOf([]) });
        established(await handshake(engineOf(), good, start));
        const bad = new TestServer({ ...settings, ocsp: ocspOf([listed]) });
        const run = await handshake(engineOf(), bad, start);
        assert.equal(failure(run).reason, 'revoked');
        assert.equal(bad.connection, undefined);
      });

      test('a revoked server is no question for a person', async () => {
        const engine = engineOf({ askTrust: () => Promise.resolve(true) });
        const server = new TestServer({ ...settings, ocsp: ocspOf([listed]) });
        for (const wanted of [{ ...trust, mayAsk: true, serverNames: ['x.example'] }]) {
          assert.equal(failure(await handshake(engine, server, { trust: wanted, keying: peap })).reason, 'revoked');
        }
      });

      test('a list is asked where the settings want it; soft lets silence pass', async () => {
        const listWith = (revoked: readonly TestCertificate[]): Uint8Array => pki.crl(root, revoked);
        const cases: readonly (readonly ['soft' | 'hard', () => Promise<Uint8Array>, string | undefined])[] = [
          ['soft', () => Promise.resolve(listWith([])), undefined],
          ['soft', () => Promise.resolve(listWith([listed])), 'revoked'],
          ['soft', () => Promise.reject(new Error('unreachable')), undefined],
          ['hard', () => Promise.reject(new Error('unreachable')), 'revocation-unknown'],
        ];
        for (const [policy, fetch, reason] of cases) {
          const revocation = { policy, checker: createRevocationChecker({ fetch }) };
          const run = await handshake(engineOf({ revocation }), new TestServer(settings), start);
          if (reason === undefined) established(run);
          else assert.equal(failure(run).reason, reason);
        }
      });

      test('nothing is fetched for a server below no root of ours (CVE-2022-40617)', async () => {
        let fetched = 0;
        const fetch = (): Promise<Uint8Array> => {
          fetched++;
          return Promise.reject(new Error('unreachable'));
        };
        const revocation = { policy: 'soft', checker: createRevocationChecker({ fetch }) } as const;
        const elsewhere = pki.issue('elsewhere', { extensions: authority });
        const engine = engineOf({ revocation, roots: [elsewhere.der], askTrust: () => Promise.resolve(true) });
        await handshake(engine, new TestServer(settings), { trust: { ...trust, trustedRoots: [], mayAsk: true }, keying: peap });
        assert.equal(fetched, 0);
      });
    });
  });
}
