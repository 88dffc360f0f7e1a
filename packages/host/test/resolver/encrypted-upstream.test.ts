// DNS over TLS (RFC 7858) as the stub resolver speaks it: with servers that lie, stall and die, and with Debian's unbound.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer, type TLSSocket } from 'node:tls';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import type { EncryptedServer } from '@aovpn/policy';
import { readRcode } from '../../src/resolver/dns-message.ts';
import type { EncryptedResolverState } from '../../src/resolver/encrypted-upstream.ts';
import { frame, FrameReader } from '../../src/resolver/message-frames.ts';
import { openStubResolver, type StubResolver } from '../../src/resolver/stub-resolver.ts';
import { createUpstreamAsker } from '../../src/resolver/upstream.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';
import { authority, server as forServer, TestPki, type TestCertificate } from '../trust/test-pki.ts';
import { answerTo, query } from './dns-sample.ts';

const stubText = '127.0.0.96';
const name = 'dns.corp.example';
const place = '127.0.0.41';

function address(text: string): IpAddress {
  return parseAddress(text)!;
}

/** What a server does with a question. */
type Handle = (question: Uint8Array, reply: (answer: Uint8Array) => void, socket: TLSSocket) => void;

interface Seen {
  connections: number;
  readonly asked: Uint8Array[];
  readonly names: (string | false)[];
  readonly protocols: (string | false | null)[];
}

/** The question alone, as an answer repeats it: what is behind it is the OPT record of {@link padQuery}. */
function bare(message: Uint8Array): Uint8Array {
  let end = 12;
  while (message[end] !== 0) end += message[end]! + 1;
  const question = Uint8Array.from(message.subarray(0, end + 5));
  question[10] = question[11] = 0;
  return question;
}

const says = (last: number): Handle => {
  return (question, reply) => reply(answerTo(bare(question), [10, 0, 0, last]));
};

inOwnNamespace(import.meta.url, () => {
  const pki = new TestPki();
  const root = pki.issue('Corp Root', { extensions: authority });
  const names = (one: string): readonly string[] => [...forServer, `subjectAltName=DNS:${one}`];
  const good = pki.issue('good', { issuer: root, extensions: names(name) });
  const digestOf = ({ x509 }: TestCertificate, hash: 'sha256' | 'sha384' | 'sha512') => ({
    hash,
    octets: new Uint8Array(
      createHash(hash)
        .update(x509.publicKey.export({ type: 'spki', format: 'der' }))
        .digest(),
    ),
  });
  const byRoot = { kind: 'authorities', pem: root.pem } as const;
  const encrypted = (more: Partial<EncryptedServer> = {}): EncryptedServer => ({
    address: address(place),
    port: 853,
    name,
    proof: byRoot,
    ...more,
  });

  let stub: StubResolver;
  const told: EncryptedResolverState[] = [];
  const open: { close(): void }[] = [];

  async function listen(server: Server, ip: string, port: number): Promise<void> {
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    });
    await once(server.listen(port, ip), 'listening');
    open.push({
      close: () => {
        server.close();
        for (const socket of sockets) socket.destroy();
      },
    });
  }

  async function serve(handle: Handle, certificate = good, ip = place, port = 853): Promise<Seen> {
    const seen: Seen = { connections: 0, asked: [], names: [], protocols: [] };
    const server = createServer(
      { cert: certificate.pem, key: certificate.key, ALPNProtocols: ['dot'], ticketKeys: Buffer.alloc(48, 7) },
      (socket) => {
        seen.connections++;
        seen.names.push((socket as TLSSocket & { servername: string | false }).servername);
        seen.protocols.push(socket.alpnProtocol);
        const reader = new FrameReader();
        socket.on('error', () => {});
        socket.on('data', (chunk) => {
          reader.push(chunk, (question) => {
            seen.asked.push(question);
            handle(question, (answer) => socket.write(frame(answer)), socket);
            return true;
          });
        });
      },
    );
    server.on('tlsClientError', () => {});
    await listen(server, ip, port);
    return seen;
  }

  /** Somebody who answers every question in the clear, at the same address; what was asked. */
  async function serveClear(ip: string, last: number): Promise<string[]> {
    const asked: string[] = [];
    const socket = createSocket('udp4');
    socket.on('message', (message, from) => {
      asked.push(`udp ${message.length}`);
      socket.send(answerTo(bare(Uint8Array.from(message)), [10, 0, 0, last]), from.port, from.address);
    });
    socket.bind(53, ip);
    await once(socket, 'listening');
    open.push(socket);
    await listen(
      createTcpServer((client) => client.on('data', (chunk) => asked.push(`tcp ${chunk.length}`))),
      ip,
      53,
    );
    return asked;
  }

  async function ask(asked: string | Uint8Array, timeoutMs = 60_000): Promise<Uint8Array | undefined> {
    const socket = createSocket('udp4');
    try {
      return await new Promise((resolve) => {
        const timer = setTimeout(() => resolve(undefined), timeoutMs);
        socket.on('message', (message) => {
          clearTimeout(timer);
          resolve(Uint8Array.from(message));
        });
        socket.send(typeof asked === 'string' ? query(asked, 0x0707) : asked, 53, stubText);
      });
    } finally {
      socket.close();
    }
  }
  /** The last octet of the address, or why there is none. */
  const outcome = (answer: Uint8Array | undefined): string =>
    answer === undefined ? 'silence' : readRcode(answer) === 0 ? `10.0.0.${answer.at(-1)}` : `rcode ${readRcode(answer)}`;
  const lookUp = async (asked = 'web.corp.example'): Promise<string> => outcome(await ask(asked));

  const configure = (servers: readonly EncryptedServer[], clear: readonly string[] = []): void =>
    stub.configure({
      rules: [
        {
          name: '.',
          servers: [...servers.map((server) => server.address), ...clear.map(address)],
          encrypted: servers,
          clear: clear.map(address),
        },
      ],
      physical: [],
      mark: 0,
    });
  const stateOf = (which = 0): EncryptedResolverState => stub.encrypted()[which]!;

  suite('DNS over TLS', () => {
    after(() => pki[Symbol.dispose]());
    afterEach(async () => {
      await stub.close();
      for (const one of open.splice(0)) one.close();
      told.length = 0;
    });
    // A stub of its own for each: what is known of a server is no other test's.
    const fresh = async (): Promise<void> => {
      stub = await openStubResolver(address(stubText), undefined, { onEncrypted: (state) => told.push(state) });
    };

    test('a question goes by TLS alone, to the name that was given, padded; the client gets what it asked for', async () => {
      await fresh();
      const seen = await serve((question, reply) => {
        // With the OPT record and its padding, as a server that pads does (RFC 8467 §4.2).
        const answer = answerTo(bare(question), [10, 0, 0, 1]);
        const opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 104, 0, 12, 0, 100, ...Array.from({ length: 100 }, () => 0)];
        const padded = Uint8Array.from([...answer, ...opt]);
        padded[11] = 1;
        reply(padded);
      });
      const clear = await serveClear(place, 66);
      configure([encrypted()]);
      const answer = (await ask(query('WeB.Corp.example', 0xbeef)))!;
      assert.deepEqual([...answer.subarray(0, 2)], [0xbe, 0xef]);
      assert.deepEqual(answer, answerTo(query('WeB.Corp.example', 0xbeef), [10, 0, 0, 1]));
      assert.deepEqual([seen.names, seen.protocols], [[name], ['dot']]);
      assert.equal(seen.asked[0]!.length, 128);
      assert.equal(await lookUp(`${'a'.repeat(60)}.${'b'.repeat(40)}.example`), '10.0.0.1');
      assert.equal(seen.asked[1]!.length, 256);
      // A client with an OPT record of its own keeps it, without the padding.
      const own = Uint8Array.from([...query('web.example', 1), 0, 0, 41, 16, 0, 0, 0, 128, 0, 0, 0]);
      own[11] = 1;
      const withOpt = (await ask(own))!;
      assert.deepEqual([...withOpt.subarray(-11)], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
      assert.deepEqual([...seen.asked[2]!.subarray(29, 40)], [0, 0, 41, 16, 0, 0, 0, 128, 0, 0, 88]);
      assert.equal(seen.connections, 1);
      assert.deepEqual(clear, []);
      assert.equal(stateOf().state, 'proven');
      assert.deepEqual(
        told.map(({ state }) => state),
        ['proven'],
      );
    });

    test('a thousand questions on one connection, answered in any order, each get their own answer', async () => {
      await fresh();
      const waiting: (() => void)[] = [];
      const seen = await serve((question, reply) => {
        const number = Number(Buffer.from(question.subarray(14, 18)).toString('latin1'));
        waiting.push(() => reply(answerTo(bare(question), [10, 0, number >> 8, number & 0xff])));
        if (waiting.length === 1000) for (const go of waiting.sort(() => Math.random() - 0.5)) go();
      });
      const asker = createUpstreamAsker();
      open.push(asker);
      const upstream = { address: address(place), mark: 0, tls: encrypted() };
      const answers = await Promise.all(
        Array.from({ length: 1000 }, (_, i) => {
          const message = query(`n${String(i).padStart(4, '0')}.example`, 1);
          return new Promise<boolean>((resolve) => {
            asker.ask(upstream, message, message.length, false, 120_000, (result) =>
              resolve(result.ok && ((result.answer.at(-2)! << 8) | result.answer.at(-1)!) === i),
            );
          });
        }),
      );
      assert.equal(answers.filter(Boolean).length, 1000);
      assert.equal(seen.connections, 1);
      assert.equal(new Set(seen.asked.map((one) => (one[0]! << 8) | one[1]!)).size, 1000, 'each has an id of its own');
    });

    test('thousands of questions that are never answered, and given up, keep nobody else from being answered', async () => {
      await fresh();
      const seen = await serve((question, reply) => {
        if (question[13] !== 'x'.charCodeAt(0)) reply(answerTo(bare(question), [10, 0, 0, 5]));
      });
      const asker = createUpstreamAsker();
      open.push(asker);
      const upstream = { address: address(place), mark: 0, tls: encrypted() };
      const asked = (name: string, patience: number): Promise<boolean> => {
        const message = query(name, 1);
        return new Promise((resolve) => {
          asker.ask(upstream, message, message.length, false, patience, ({ ok }) => resolve(ok));
        });
      };
      for (let round = 0; round < 3; round++) {
        const lost = await Promise.all(Array.from({ length: 2500 }, (_, i) => asked(`x${i}.example`, 500)));
        assert.ok(!lost.includes(true));
        assert.equal(await asked('web.corp.example', 60_000), true);
      }
      assert.ok(seen.connections <= 4, `${seen.connections} connections`);
      assert.equal(asker.encrypted(upstream)?.state, 'proven');
    });

    suite('who does not prove itself is not asked, nor is anybody else', () => {
      const stranger = pki.issue('Somebody Else', { extensions: authority });
      const cases: readonly (readonly [string, TestCertificate, EncryptedServer['proof'], string])[] = [
        ['another name', pki.issue('n', { issuer: root, extensions: names('dns.other.example') }), byRoot, 'AOV-HOST-343'],
        ['a name in the subject alone', pki.issue(name, { issuer: root, extensions: forServer }), byRoot, 'AOV-HOST-343'],
        ['expired', pki.issue('e', { issuer: root, extensions: names(name), days: -1 }), byRoot, 'AOV-HOST-344'],
        ['another authority', pki.issue('a', { issuer: stranger, extensions: names(name) }), byRoot, 'AOV-HOST-345'],
        ['no authority', good, { kind: 'authorities', pem: '' }, 'AOV-HOST-345'],
        ['not of the system', good, { kind: 'authorities' }, 'AOV-HOST-345'],
        [
          'a client’s certificate',
          pki.issue('c', { issuer: root, extensions: [`subjectAltName=DNS:${name}`, 'extendedKeyUsage=clientAuth'] }),
          byRoot,
          'AOV-HOST-345',
        ],
        ['another key', good, { kind: 'digests', digests: [digestOf(root, 'sha256')] }, 'AOV-HOST-346'],
        [
          'a digest that is cut short',
          good,
          { kind: 'digests', digests: [{ hash: 'sha256', octets: digestOf(good, 'sha256').octets.subarray(0, 16) }] },
          'AOV-HOST-346',
        ],
      ];
      for (const [what, certificate, proof, code] of cases)
        test(what, async () => {
          await fresh();
          const seen = await serve(says(66), certificate);
          const clear = await serveClear(place, 67);
          configure([encrypted({ proof })]);
          assert.equal(await lookUp(), 'rcode 2');
          assert.deepEqual([seen.asked, clear], [[], []]);
          assert.equal(stateOf().failure?.code, code, stateOf().failure?.what);
          assert.equal(stateOf().failure?.side, 'gateway');
          assert.deepEqual(
            told.map(({ failure }) => failure?.code),
            [code],
          );
        });

      test('somebody who speaks no TLS at the port', async () => {
        await fresh();
        let heard = '';
        await listen(
          createTcpServer((client) => {
            client.on('data', (chunk) => (heard += chunk.toString('latin1')));
            client.write(frame(answerTo(query('web.corp.example', 1), [10, 0, 0, 66])));
          }),
          place,
          853,
        );
        configure([encrypted()]);
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().failure?.code, 'AOV-HOST-342');
        assert.ok(!heard.includes('web'), 'nothing of the question was said');
      });

      test('nobody listens', async () => {
        await fresh();
        const clear = await serveClear(place, 67);
        configure([encrypted()]);
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().failure?.code, 'AOV-HOST-341');
        assert.deepEqual(clear, []);
      });

      test('somebody who accepts and says nothing', async () => {
        await fresh();
        await listen(createTcpServer(), place, 853);
        configure([encrypted()]);
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().failure?.code, 'AOV-HOST-340');
        assert.equal(stateOf().failure?.side, 'network');
      });
    });

    test('a digest of the key proves it, whatever the certificate says (RFC 9464 §4)', async () => {
      await fresh();
      const own = pki.issue('own', { extensions: names('anything.example'), days: -1 });
      await serve(says(1), own);
      const digests = [digestOf(good, 'sha256'), digestOf(own, 'sha384')];
      configure([encrypted({ proof: { kind: 'digests', digests } })]);
      assert.equal(await lookUp(), '10.0.0.1');
    });

    test('names that are no server names: an address that the certificate names, and a name that no certificate can have', async () => {
      await fresh();
      const byAddress = pki.issue('address', { issuer: root, extensions: [...forServer, `subjectAltName=IP:${place}`] });
      const seen = await serve(says(1), byAddress);
      configure([encrypted({ name: place })]);
      assert.equal(await lookUp(), '10.0.0.1');
      assert.deepEqual(seen.names, [false]);
      for (const odd of ['_dns.example', 'a'.repeat(63), '1.2.3', `${'x.'.repeat(120)}example`]) {
        configure([encrypted({ name: odd })]);
        assert.equal(await lookUp(), 'rcode 2', odd);
        assert.ok(stateOf().failure, odd);
      }
    });

    test('where the settings permit, clear servers answer when no encrypted one does, and not before', async () => {
      await fresh();
      const seen = await serve(says(1));
      const clear = await serveClear('127.0.0.42', 2);
      configure([encrypted()], ['127.0.0.42']);
      assert.equal(await lookUp(), '10.0.0.1');
      assert.deepEqual(clear, []);
      configure([encrypted({ proof: { kind: 'digests', digests: [digestOf(root, 'sha256')] } })], ['127.0.0.42']);
      assert.equal(await lookUp(), '10.0.0.2');
      assert.equal(clear.length, 1, 'what is asked in the clear is seen');
      assert.equal(seen.asked.length, 1);
    });

    test('of several the next one is asked, in the order of the gateway', async () => {
      await fresh();
      await serve(says(66), pki.issue('n', { issuer: root, extensions: names('dns.other.example') }));
      const second = await serve(says(2), good, '127.0.0.43');
      const third = await serve(says(3), good, '127.0.0.44');
      configure([encrypted(), encrypted({ address: address('127.0.0.43') }), encrypted({ address: address('127.0.0.44') })]);
      for (let i = 0; i < 5; i++) assert.equal(await lookUp(), '10.0.0.2');
      assert.deepEqual([second.asked.length, third.asked.length], [5, 0]);
      assert.deepEqual(
        stub.encrypted().map(({ state }) => state),
        ['failing', 'proven', 'unasked'],
      );
    });

    test('one that fails is left alone for a while', async () => {
      await fresh();
      let connections = 0;
      await listen(
        createTcpServer((client) => {
          connections++;
          client.destroy();
        }),
        place,
        853,
      );
      configure([encrypted()]);
      for (let i = 0; i < 200; i++) assert.equal(await lookUp(), 'rcode 2');
      assert.ok(connections >= 1 && connections < 12, `${connections} connections`);
      assert.equal(stateOf().failure?.code, 'AOV-HOST-341');
    });

    test('a connection that dies with questions on it: they are asked again on another one, once', async () => {
      await fresh();
      let died = 0;
      const seen = await serve((question, reply, socket) => {
        if (died++ === 0) socket.destroy();
        else says(1)(question, reply, socket);
      });
      configure([encrypted()]);
      assert.equal(await lookUp(), '10.0.0.1');
      assert.equal(seen.connections, 2);
      died = -100;
      // It dies each time: nobody is asked without end.
      const deadly = await serve((_question, _reply, socket) => socket.destroy(), good, '127.0.0.45');
      configure([encrypted({ address: address('127.0.0.45') })]);
      assert.equal(await lookUp(), 'rcode 2');
      assert.equal(deadly.connections, 2);
    });

    test('that a server closes what is idle is no failure, and no answer is believed of a key that has changed', async () => {
      await fresh();
      let closed = 0;
      const seen = await serve((question, reply, socket) => {
        socket.once('close', () => closed++);
        says(1)(question, reply, socket);
        socket.end();
      });
      configure([encrypted()]);
      assert.equal(await lookUp(), '10.0.0.1');
      while (closed === 0) await sleep(5);
      assert.deepEqual([stateOf().state, stateOf().failure], ['proven', undefined]);
      assert.equal(await lookUp(), '10.0.0.1');
      assert.equal(seen.connections, 2);
      // The same place, the same keys for tickets, another certificate: each connection is proven anew.
      for (const one of open.splice(0)) one.close();
      const other = await serve(says(66), pki.issue('x', { issuer: root, extensions: names('dns.other.example') }));
      assert.equal(await lookUp(), 'rcode 2');
      assert.deepEqual([other.asked, stateOf().failure?.code], [[], 'AOV-HOST-343']);
    });

    test('answers to other questions are not believed, and end the connection', async () => {
      await fresh();
      const seen = await serve((question, reply, socket) => {
        const asked = bare(question);
        for (let i = 0; i < 8; i++) {
          reply(answerTo(asked, [6, 6, 6, 6]).with(1, asked[1]! ^ (i + 1)));
          reply(answerTo(asked, [6, 6, 6, 6]).with(13, asked[13]! ^ 0x20));
        }
        if (seen.connections > 1) says(1)(question, reply, socket);
      });
      const before = stub.counts().mismatched;
      configure([encrypted()]);
      assert.equal(await lookUp(), 'rcode 2');
      assert.equal(stub.counts().mismatched - before, 32, 'sixteen on each of two connections');
      assert.equal(stateOf().failure?.code, 'AOV-HOST-342');
    });

    test('an answer that is sent octet by octet keeps nobody waiting, and the connection is given up', async () => {
      await fresh();
      const timers: NodeJS.Timeout[] = [];
      open.push({ close: () => timers.forEach((timer) => clearInterval(timer)) });
      const seen = await serve((question, reply, socket) => {
        if (seen.connections > 1) return says(1)(question, reply, socket);
        socket.write(Uint8Array.of(0xff, 0xff));
        timers.push(setInterval(() => socket.write(Uint8Array.of(0)), 20));
      });
      configure([encrypted()]);
      assert.notEqual(await lookUp(), '10.0.0.66');
      assert.equal(await lookUp(), '10.0.0.1');
      assert.equal(seen.connections, 2);
    });

    test('lengths that no message has end the connection; the longest that one can have does not', async () => {
      await fresh();
      for (const length of [0, 11]) {
        const seen = await serve(
          (_question, _reply, socket) => socket.write(Uint8Array.of(0, length)),
          good,
          `127.0.1.${length}`,
        );
        configure([encrypted({ address: address(`127.0.1.${length}`) })]);
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().failure?.code, 'AOV-HOST-342');
        assert.equal(seen.connections, 2);
      }
      // 65,535 octets: no answer to anything, then a right one.
      await serve((question, reply, socket) => {
        reply(new Uint8Array(65_535));
        says(1)(question, reply, socket);
      });
      configure([encrypted()]);
      assert.equal(await lookUp(), '10.0.0.1');
      // An answer of 65,535 octets that holds together goes to a client of TCP, and one of UDP is told to come by TCP.
      const { length } = bare(query('big.example', 1));
      await serve(
        (question, reply) => {
          const records = Math.floor((65_535 - length) / 65_000);
          const big = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0xfe, 0, ...Array.from({ length: 0xfe00 }, () => 1)];
          const answer = Uint8Array.from([...bare(question), ...big]);
          answer.set([0x81, 0x80], 2);
          answer[7] = records;
          reply(answer);
        },
        good,
        '127.0.0.46',
      );
      configure([encrypted({ address: address('127.0.0.46') })]);
      const cut = (await ask('big.example'))!;
      assert.equal(cut[2]! & 0x02, 0x02);
    });

    test('whatever a proven resolver sends, a client gets an answer to its own question or is told that there is none', async () => {
      await fresh();
      // Numerical Recipes' generator: the same octets each time.
      let seed = 7;
      const next = (below: number): number => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) % below;
      let honest = false;
      await serve((question, reply, socket) => {
        if (honest) return says(1)(question, reply, socket);
        const answer = frame(answerTo(bare(question), [10, 0, 0, 1]));
        for (let i = next(4); i > 0; i--) answer[next(answer.length)] = next(256);
        const noise = Uint8Array.from({ length: next(300) }, () => next(256));
        const all = [answer, noise, frame(question), answer].slice(next(4));
        for (const part of all) socket.write(part.subarray(0, next(3) === 0 ? next(part.length + 1) : part.length));
        socket.end();
      });
      for (let i = 0; i < 150; i++) {
        // Whatever was learnt of the server is forgotten, or it would be left alone.
        configure([encrypted()]);
        const asked = query(`n${i}.example`, i);
        const answer = await ask(asked);
        assert.ok(answer, 'the client was told something');
        assert.deepEqual([answer[0], answer[1]], [i >> 8, i & 0xff]);
        if (answer.length > 12) assert.deepEqual(answer.subarray(12, asked.length), asked.subarray(12));
      }
      honest = true;
      configure([encrypted()]);
      assert.equal(await lookUp(), '10.0.0.1');
    });

    test('a change of the rules loses no question that is under way', async () => {
      await fresh();
      let go: (() => void) | undefined;
      const seen = await serve((question, reply, socket) => {
        if (seen.asked.length > 1) says(1)(question, reply, socket);
        else go = () => says(1)(question, reply, socket);
      });
      configure([encrypted()]);
      const first = lookUp('first.example');
      while (!go) await sleep(5);
      configure([encrypted()]);
      assert.equal(await lookUp('second.example'), '10.0.0.1');
      go();
      assert.equal(await first, '10.0.0.1');
      assert.equal(seen.connections, 2, 'what comes after the change has a connection of its own');
    });

    suite('with unbound', () => {
      let daemon: ChildProcess | undefined;
      const start = async (certificate: TestCertificate): Promise<void> => {
        const directory = mkdtempSync(join(tmpdir(), 'unbound-'));
        const config = `server:\n  interface: 127.0.0.47@853\n  tls-port: 853\n  tls-service-key: "${certificate.keyPath}"\n  tls-service-pem: "${certificate.certificatePath}"\n  access-control: 127.0.0.0/8 allow\n  pad-responses: yes\n  username: ""\n  chroot: ""\n  directory: "${directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: ""\n  do-daemonize: no\n  local-zone: "corp.example." static\n  local-data: "web.corp.example. IN A 10.0.0.80"\nremote-control:\n  control-enable: no\n`;
        writeFileSync(join(directory, 'unbound.conf'), config);
        daemon = spawn('unbound', ['-d', '-c', join(directory, 'unbound.conf')], { stdio: 'ignore' });
        for (const end = performance.now() + 60_000; performance.now() < end;) {
          if (run('ss', '-Hltn', 'sport', '=', '853').includes('127.0.0.47')) return;
          await sleep(50);
        }
        throw new Error('unbound does not start');
      };
      const stop = async (): Promise<void> => {
        const gone = daemon && once(daemon, 'exit');
        daemon?.kill('SIGKILL');
        await gone;
        daemon = undefined;
      };
      afterEach(stop);
      const unbound = encrypted({ address: address('127.0.0.47') });

      test('it answers, pads, dies in the middle and comes back', async () => {
        await fresh();
        await start(good);
        configure([unbound]);
        const answer = (await ask('web.corp.example'))!;
        assert.equal(outcome(answer), '10.0.0.80');
        assert.ok(answer.length < 128, 'the padding of unbound is taken out');
        assert.equal(await lookUp('no.corp.example'), 'rcode 3');
        await stop();
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().state, 'failing');
        await start(good);
        let last = '';
        for (const end = performance.now() + 60_000; last !== '10.0.0.80' && performance.now() < end;) {
          last = await lookUp();
          if (last !== '10.0.0.80') await sleep(50);
        }
        assert.equal(last, '10.0.0.80');
        assert.deepEqual([stateOf().state, stateOf().failure], ['proven', undefined]);
      });

      test('a certificate of another name is not asked', async () => {
        await fresh();
        await start(pki.issue('n', { issuer: root, extensions: names('dns.other.example') }));
        configure([unbound]);
        assert.equal(await lookUp(), 'rcode 2');
        assert.equal(stateOf().failure?.code, 'AOV-HOST-343');
      });
    });
  });
});
