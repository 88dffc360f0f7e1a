import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, mock, suite, test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { emptyPlan, type DnsRule, type Plan } from '@aovpn/policy';
import { HostError } from '../../src/host-error.ts';
import { openNetwork } from '../../src/network/network.ts';
import { readRcode } from '../../src/resolver/dns-message.ts';
import { openStubResolver, type StubResolver } from '../../src/resolver/stub-resolver.ts';
import { createUpstreamAsker, type UpstreamResult } from '../../src/resolver/upstream.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import { answerTo, query } from './dns-sample.ts';

const stubText = '127.0.0.96';

function address(text: string): IpAddress {
  return parseAddress(text)!;
}

inOwnNamespace(import.meta.url, () => {
  let stub: StubResolver;
  const open: { close(): void }[] = [];

  /** A server whose every datagram is handled as told; remembers what it was asked. */
  async function serve(
    ip: string,
    handle: (question: Uint8Array, reply: (answer: Uint8Array) => void, from: RemoteInfo) => void,
  ): Promise<{ asked: Uint8Array[]; ports: number[]; socket: Socket }> {
    const socket = createSocket('udp4');
    const seen = { asked: [] as Uint8Array[], ports: [] as number[], socket };
    socket.on('message', (message, from) => {
      seen.asked.push(Uint8Array.from(message));
      seen.ports.push(from.port);
      handle(Uint8Array.from(message), (answer) => socket.send(answer, from.port, from.address), from);
    });
    socket.bind(53, ip);
    await once(socket, 'listening');
    open.push(socket);
    return seen;
  }
  async function ask(name: string, id = 0x0707, timeoutMs = 60_000): Promise<Uint8Array | undefined> {
    const socket = createSocket('udp4');
    try {
      return await new Promise((resolve) => {
        const timer = setTimeout(() => resolve(undefined), timeoutMs);
        socket.on('message', (message) => {
          // As any client: what has another id is no answer.
          if (message.readUInt16BE(0) !== id) return;
          clearTimeout(timer);
          resolve(Uint8Array.from(message));
        });
        socket.send(query(name, id), 53, stubText);
      });
    } finally {
      socket.close();
    }
  }
  /** As any client: one datagram may find no room in the queue of a socket that is flooded. */
  async function askAgain(name: string): Promise<Uint8Array | undefined> {
    for (const end = performance.now() + 60_000; performance.now() < end;) {
      const answer = await ask(name, 0x0707, 2000);
      if (answer) return answer;
    }
    return undefined;
  }
  /** The answer to a question that a silent server gets first, whose time is over as soon as it has been asked. */
  async function askPast(silent: { readonly asked: readonly Uint8Array[] }, name: string): Promise<Uint8Array | undefined> {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const answer = ask(name);
      while (silent.asked.length === 0) await turn();
      mock.timers.tick(800);
      return await answer;
    } finally {
      mock.timers.reset();
    }
  }
  const lastOctet = (answer: Uint8Array | undefined): number | undefined => answer?.at(-1);

  suite('stub resolver', () => {
    before(async () => {
      stub = await openStubResolver(address(stubText));
    });
    after(async () => {
      await stub.close();
    });
    afterEach(() => {
      for (const one of open.splice(0)) one.close();
    });
    const configure = (rules: Record<string, readonly string[]>, physical: readonly string[] = [], mark = 0): void =>
      stub.configure({
        rules: Object.entries(rules).map(([name, servers]) => ({ name, servers: servers.map(address) })),
        physical: physical.map(address),
        mark,
      });

    test('rules choose the server; id and case come back as they were', async () => {
      await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [10, 0, 0, 1])));
      await serve('127.0.0.12', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      await serve('127.0.0.13', (question, reply) => reply(answerTo(question, [10, 0, 0, 3])));
      configure(
        { '.corp.example': ['127.0.0.11'], 'host.corp.example': ['127.0.0.12'], 'out.corp.example': [] },
        ['127.0.0.13'],
        0x616f,
      );
      const answer = await ask('WeB.corp.Example', 0xbeef);
      assert.equal(lastOctet(answer), 1);
      assert.deepEqual([...answer!.subarray(0, 2)], [0xbe, 0xef]);
      assert.equal(Buffer.from(answer!).includes('WeB'), true);
      assert.equal(lastOctet(await ask('corp.example')), 1);
      assert.equal(lastOctet(await ask('host.corp.example')), 2);
      assert.equal(lastOctet(await ask('below.host.corp.example')), 1);
      assert.equal(lastOctet(await ask('out.corp.example')), 3);
      assert.equal(lastOctet(await ask('notcorp.example')), 3);
    });

    test('every question has an id of its own and a port out of many that are soon given up', async () => {
      const seen = await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [10, 0, 0, 1])));
      configure({ '.': ['127.0.0.11'] });
      for (let i = 0; i < 400; i++) await ask('a.example', 1);
      const uses = new Map<number, number>();
      for (const port of seen.ports) uses.set(port, (uses.get(port) ?? 0) + 1);
      // The kernel may choose one a second time.
      assert.ok(Math.max(...uses.values()) <= 32, 'no port is used for long');
      const ids = new Set(seen.asked.map((one) => (one[0]! << 8) | one[1]!));
      assert.ok(ids.size >= 380, `${ids.size} ids`);
      assert.ok(new Set(seen.ports).size >= 16, `${new Set(seen.ports).size} ports`);
      assert.ok(Math.max(...seen.ports) - Math.min(...seen.ports) > 100, 'ports are not in a row');
    });

    test('answers with a wrong id, question, case or from elsewhere are not believed', async () => {
      const forger = createSocket('udp4');
      open.push(forger);
      forger.bind(0, '127.0.0.66');
      await once(forger, 'listening');
      const before = stub.counts().mismatched;
      await serve('127.0.0.11', (question, reply, from) => {
        reply(answerTo(question, [6, 6, 6, 1]).with(0, question[0]! ^ 1));
        reply(answerTo(query('other.example', (question[0]! << 8) | question[1]!), [6, 6, 6, 2]));
        reply(answerTo(question, [6, 6, 6, 3]).with(13, question[13]! ^ 0x20));
        reply(question);
        forger.send(answerTo(question, [6, 6, 6, 4]), from.port, from.address, () =>
          setTimeout(() => reply(answerTo(question, [10, 0, 0, 1])), 30),
        );
      });
      configure({ '.': ['127.0.0.11'] });
      assert.equal(lastOctet(await ask('a.example')), 1);
      // The forger's datagram never reaches us: the kernel drops it.
      assert.equal(stub.counts().mismatched - before, 4);
    });

    test('a flood of wrong answers ends that try; the next has another id and port', async () => {
      let tries = 0;
      const seen = await serve('127.0.0.11', (question, reply) => {
        if (++tries > 1) reply(answerTo(question, [10, 0, 0, 1]));
        else for (let i = 0; i < 40; i++) reply(answerTo(question, [6, 6, 6, 6]).with(1, (question[1]! + 1 + i) & 0xff));
      });
      configure({ '.': ['127.0.0.11'] });
      assert.equal(lastOctet(await ask('a.example')), 1);
      assert.equal(new Set(seen.ports).size, 2);
      assert.equal(new Set(seen.asked.map((one) => (one[0]! << 8) | one[1]!)).size, 2);
    });

    test('a silent, refusing or failing server: the next one is asked, and first next time', async () => {
      const silent = await serve('127.0.0.11', () => undefined);
      await serve('127.0.0.12', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      configure({ '.': ['127.0.0.11', '127.0.0.12'] });
      assert.equal(lastOctet(await askPast(silent, 'a.example')), 2);
      assert.equal(lastOctet(await ask('b.example')), 2);
      assert.equal(silent.asked.length, 1);
      // 127.0.0.14: nobody listens there, which the kernel tells at once.
      configure({ '.': ['127.0.0.14', '127.0.0.12'] });
      assert.equal(lastOctet(await ask('a.example')), 2);
      await serve('127.0.0.15', (question, reply) => reply(answerTo(question, [0, 0, 0, 0], { rcode: 2 })));
      configure({ '.': ['127.0.0.15', '127.0.0.12'] });
      assert.equal(lastOctet(await ask('a.example')), 2);
      configure({ '.': ['127.0.0.15'] });
      assert.equal(readRcode((await ask('a.example'))!), 2);
    });

    test('which server answered is remembered for all rules with the same servers, and across a change of the rules', async () => {
      const silent = await serve('127.0.0.11', () => undefined);
      await serve('127.0.0.12', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      const pair = ['127.0.0.11', '127.0.0.12'];
      configure({ '.one.example': pair, '.two.example': pair });
      assert.equal(lastOctet(await askPast(silent, 'a.one.example')), 2);
      assert.equal(lastOctet(await ask('a.two.example')), 2);
      configure({ '.three.example': pair });
      assert.equal(lastOctet(await ask('a.three.example')), 2);
      assert.equal(silent.asked.length, 1);
    });

    test('answers that do not hold together: the next server is asked; alone, it is SERVFAIL', async () => {
      const before = stub.counts().malformed;
      // An alias of itself, and a record whose name points at itself.
      const loop = (question: Uint8Array): Uint8Array => {
        const answer = Uint8Array.from([...question, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        answer[2] = 0x81;
        answer[7] = 1;
        return answer;
      };
      await serve('127.0.0.41', (question, reply) => reply(loop(question)));
      await serve('127.0.0.42', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      await serve('127.0.0.43', (question, reply) => {
        const answer = answerTo(question, [6, 6, 6, 6]);
        answer[question.length + 1] = question.length;
        reply(answer);
      });
      configure({ '.': ['127.0.0.41', '127.0.0.43', '127.0.0.42'] });
      assert.equal(lastOctet(await ask('a.example')), 2);
      assert.equal(stub.counts().malformed - before, 2);
      configure({ '.': ['127.0.0.41'] });
      const answer = await ask('b.example');
      assert.equal(readRcode(answer!), 2);
      assert.equal(answer!.length, query('b.example', 1).length);
    });

    test('an answer longer than the client takes: cut, so that it asks by TCP; EDNS says how long that is', async () => {
      await serve('127.0.0.11', (question, reply) => {
        const records = Array.from({ length: 60 }, (_, i) => [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, i]);
        // The question alone; an OPT record behind it is dropped.
        const answer = Uint8Array.from([...question.subarray(0, query('big.example', 1).length), ...records.flat()]);
        answer[2] = 0x81;
        answer[7] = 60;
        answer.fill(0, 8, 12);
        reply(answer);
      });
      configure({ '.': ['127.0.0.11'] });
      const exchange = async (question: Uint8Array): Promise<Uint8Array> => {
        const socket = createSocket('udp4');
        try {
          socket.send(question, 53, stubText);
          const [answer] = (await once(socket, 'message')) as [Buffer];
          return Uint8Array.from(answer);
        } finally {
          socket.close();
        }
      };
      const plain = query('big.example', 0x0a0b);
      const cut = await exchange(plain);
      assert.deepEqual([cut[2]! & 2, cut[7], cut.length], [2, 0, plain.length]);
      const withEdns = (octets: number): Uint8Array => {
        const question = Uint8Array.from([...plain, 0, 0, 41, octets >> 8, octets & 0xff, 0, 0, 0, 0, 0, 0]);
        question[11] = 1;
        return question;
      };
      const cutWithOpt = await exchange(withEdns(600));
      assert.deepEqual([cutWithOpt[2]! & 2, cutWithOpt[11], cutWithOpt[plain.length + 2]], [2, 1, 41]);
      const whole = await exchange(withEdns(4096));
      assert.deepEqual([whole[2]! & 2, whole[7]], [0, 60]);
    });

    test('a client that floods does not keep another one from being served', async () => {
      // A place of its own: what has been asked there is asked again while the next tests run.
      await serve('127.0.0.61', () => undefined);
      await serve('127.0.0.12', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      configure({ '.slow.example': ['127.0.0.61'] }, ['127.0.0.12']);
      const flood = createSocket('udp4');
      const until = stub.counts().queries + 1500;
      for (let i = 0; stub.counts().queries < until; i++) {
        flood.send(query(`f${i}.slow.example`, i & 0xffff), 53, stubText);
        if (i % 100 === 99) await sleep(5);
      }
      assert.equal(lastOctet(await askAgain('a.example')), 2);
      flood.close();
      configure({}, ['127.0.0.12']);
    });

    test('a rule’s servers are silent: SERVFAIL, and nobody else is ever asked', async () => {
      const physical = await serve('127.0.0.13', (question, reply) => reply(answerTo(question, [10, 0, 0, 3])));
      configure({ '.corp.example': ['127.0.0.14'] }, ['127.0.0.13']);
      assert.equal(readRcode((await ask('secret.corp.example'))!), 2);
      assert.equal(physical.asked.length, 0);
    });

    test('servers for when the others give no answer: asked when those are silent or refuse, not when there is no such name', async () => {
      let code = 5;
      const own = await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [0, 0, 0, 0], { rcode: code })));
      await serve('127.0.0.13', (question, reply) => reply(answerTo(question, [10, 0, 0, 3])));
      stub.configure({
        rules: [{ name: '.', servers: [address('127.0.0.11')], otherwise: 'physical' }],
        physical: [address('127.0.0.13')],
        mark: 0x616f,
      });
      assert.equal(lastOctet(await ask('a.example')), 3);
      assert.equal(own.asked.length, 1);
      code = 3;
      assert.equal(readRcode((await ask('b.example'))!), 3);
      assert.equal(own.asked.length, 2);
    });

    test('no servers at all: SERVFAIL at once', async () => {
      configure({});
      assert.equal(readRcode((await ask('a.example'))!), 2);
    });

    test('itself as a server is left out; through a detour the loop ends', async () => {
      configure({ '.': [stubText] }, [stubText]);
      assert.equal(readRcode((await ask('a.example'))!), 2);
      // A forwarder that sends everything back to us.
      const detour = createSocket('udp4');
      open.push(detour);
      detour.on('message', (message) => detour.send(message, 53, stubText));
      detour.bind(53, '127.0.0.17');
      await once(detour, 'listening');
      configure({ '.': ['127.0.0.17'] });
      const before = stub.counts().queries;
      assert.equal(readRcode((await ask('loop.example', 1))!), 2);
      assert.ok(stub.counts().queries - before < 10_000);
      configure({});
    });

    test('large datagrams, answers and rubbish as questions: dropped or refused, never forwarded', async () => {
      const seen = await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [10, 0, 0, 1])));
      configure({ '.': ['127.0.0.11'] });
      const socket = createSocket('udp4');
      const answers: Uint8Array[] = [];
      socket.on('message', (message) => answers.push(Uint8Array.from(message)));
      const question = query('a.example', 5);
      const padded = new Uint8Array(5000);
      padded.set(question);
      for (const message of [
        padded,
        answerTo(question, [1, 2, 3, 4]),
        new Uint8Array(5),
        question.with(5, 3),
        question.with(12, 0xc0),
      ])
        socket.send(message, 53, stubText);
      while (answers.length < 2) await sleep(5);
      assert.equal(lastOctet(await ask('z.example')), 1);
      socket.close();
      assert.equal(seen.asked.length, 1);
      assert.deepEqual(answers.map(readRcode), [1, 1]);
    });

    test('TC comes back to the client; its TCP question goes to the server by TCP, framed and in pieces', async () => {
      await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [0, 0, 0, 0], { tc: true })));
      const byTcp = createServer((client) => {
        client.on('data', (chunk) => {
          const question = Uint8Array.from(chunk.subarray(2));
          const answer = answerTo(question, [10, 0, 0, 9]);
          client.write(Uint8Array.from([0]));
          setTimeout(() => client.write(Uint8Array.from([answer.length, ...answer])), 20);
        });
      });
      byTcp.listen(53, '127.0.0.11');
      await once(byTcp, 'listening');
      open.push(byTcp);
      for (const mark of [0, 0x616f]) {
        configure({}, ['127.0.0.11'], mark);
        const udp = await ask('big.example');
        assert.equal(udp![2]! & 2, 2);
        const client = connect(53, stubText);
        const question = query('big.example', 0x1357);
        client.write(Uint8Array.from([0]));
        client.write(Uint8Array.from([question.length, ...question]));
        const [answer] = (await once(client, 'data')) as [Buffer];
        assert.equal(answer.readUInt16BE(0), answer.length - 2);
        assert.equal(answer.readUInt16BE(2), 0x1357);
        assert.equal(answer.at(-1), 9);
        client.destroy();
      }
    });

    test('rubbish by TCP closes the connection; too many connections are closed', async () => {
      configure({});
      const rubbish = connect(53, stubText);
      rubbish.write(Uint8Array.from([0xff, 0xff, 1, 2, 3]));
      await once(rubbish, 'close');
      const clients = Array.from({ length: 80 }, () => connect(53, stubText));
      let closed = 0;
      await new Promise<void>((resolve) => {
        for (const client of clients) {
          client.on('error', () => undefined);
          client.on('close', () => {
            if (++closed === 16) resolve();
          });
        }
      });
      for (const client of clients) client.destroy();
    });

    test('more questions than fit: the rest is told SERVFAIL, and it recovers', async () => {
      await serve('127.0.0.62', () => undefined);
      await serve('127.0.0.12', (question, reply) => reply(answerTo(question, [10, 0, 0, 2])));
      configure({ '.slow.example': ['127.0.0.62'] }, ['127.0.0.12']);
      const socket = createSocket('udp4');
      const refused: Uint8Array[] = [];
      socket.on('message', (message) => {
        if (readRcode(message) === 2) refused.push(message);
      });
      // As many as it takes: some find no room in the queue of the socket.
      for (let i = 0; refused.length < 200; i++) {
        socket.send(query(`q${i}.slow.example`, i & 0xffff), 53, stubText);
        if (i % 100 === 99) await sleep(5);
      }
      socket.close();
      configure({}, ['127.0.0.12']);
      let answer: Uint8Array | undefined;
      for (const end = performance.now() + 60_000; lastOctet(answer) !== 2 && performance.now() < end;)
        answer = await ask('a.example', 0x0707, 2000);
      assert.equal(lastOctet(answer), 2);
    });

    test('sockets do not pile up, whoever asks', async () => {
      await serve('127.0.0.11', (question, reply) => reply(answerTo(question, [10, 0, 0, 1])));
      const asker = createUpstreamAsker();
      const descriptors = (): number => readdirSync('/proc/self/fd').length;
      const before = descriptors();
      for (let i = 0; i < 200; i++) {
        const question = query('a.example', i);
        const result = await new Promise<UpstreamResult>((resolve) =>
          asker.ask({ address: address('127.0.0.11'), mark: 0 }, question, question.length, false, 60_000, resolve),
        );
        assert.equal(result.ok, true);
      }
      assert.ok(descriptors() - before <= 40, `${descriptors() - before} more descriptors`);
      asker.close();
    });

    test('a second stub on the same address says who is in the way', async () => {
      await assert.rejects(
        openStubResolver(address(stubText)),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-310',
      );
    });
  });

  suite('with unbound, dig and resolv.conf', () => {
    const place = mkdtempSync(join(tmpdir(), 'pol-stub-'));
    const resolvConf = join(place, 'resolv.conf');
    let daemon: ReturnType<typeof spawn>;
    const rule = (name: string, ip: string): DnsRule => ({
      name,
      servers: [address(ip)],
      profile: 'Corp',
      because: { profile: 'Corp', why: 'test' },
      instead: [],
    });
    const plan: Plan = {
      ...emptyPlan,
      dns: {
        ...emptyPlan.dns,
        rules: [rule('.corp.example', '127.0.0.21')],
        search: [{ domain: 'corp.example', because: { profile: 'Corp', why: 'test' } }],
        physicalSearch: ['home.example'],
      },
    };

    before(async () => {
      const records = Array.from(
        { length: 200 },
        (_, i) => `  local-data: 'big.corp.example. IN A 10.7.${i >> 8}.${i & 255}'`,
      ).join('\n');
      const config = `server:\n  interface: 127.0.0.21\n  access-control: 127.0.0.0/8 allow\n  username: ""\n  chroot: ""\n  directory: "${place}"\n  pidfile: "${place}/unbound.pid"\n  use-syslog: no\n  logfile: ""\n  do-daemonize: no\n  msg-cache-size: 4m\n  local-zone: "corp.example." static\n  local-data: "web.corp.example. IN A 10.0.0.80"\n  local-data: "web.corp.example. IN AAAA fd00::80"\n${records.replaceAll("'", '"')}\nremote-control:\n  control-enable: no\n`;
      writeFileSync(join(place, 'unbound.conf'), config);
      daemon = spawn('unbound', ['-d', '-c', join(place, 'unbound.conf')], { stdio: 'ignore' });
      for (const end = performance.now() + 60_000; performance.now() < end; await sleep(20)) {
        try {
          if (run('dig', '+short', '+tries=1', '+time=1', '@127.0.0.21', 'web.corp.example').trim() === '10.0.0.80') return;
        } catch {
          // Not up yet.
        }
      }
      throw new Error('unbound does not start');
    });
    after(async () => {
      daemon.kill();
      await once(daemon, 'close');
      rmSync(place, { recursive: true });
    });

    test('names resolve through the rule, EDNS and TCP included; without rules the file is back', async () => {
      writeFileSync(resolvConf, 'nameserver 127.0.0.99\n');
      const network = openNetwork({ resolvConf, stateDirectory: join(place, 'state'), runDirectory: join(place, 'run') });
      const report = await network.applyPlan(plan);
      assert.equal(report.resolver.stub, true);
      assert.match(readFileSync(resolvConf, 'utf8'), /nameserver 127\.0\.0\.96\nsearch corp\.example home\.example\n/);
      // glibc and dig read /etc/resolv.conf: private to this mount namespace.
      run('mount', '--bind', resolvConf, '/etc/resolv.conf');
      // dig is another process: it must not wait on us while we wait on it.
      const dig = async (...args: string[]): Promise<string> => {
        const child = spawn('dig', args, { stdio: ['ignore', 'pipe', 'ignore'] });
        let output = '';
        child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
        await once(child, 'close');
        return output;
      };
      assert.equal(await dig('+short', 'web.corp.example', 'AAAA'), 'fd00::80\n');
      assert.equal(await dig('+short', '+search', 'web'), '10.0.0.80\n');
      assert.equal((await dig('+short', '+bufsize=512', 'big.corp.example')).trim().split('\n').length, 200);
      assert.match(await dig('+dnssec', '+bufsize=1400', 'web.corp.example'), /EDNS: version: 0, flags: do/);
      assert.match(await dig('nothing.corp.example'), /status: NXDOMAIN/);
      assert.deepEqual((await network.applyPlan(plan)).resolver.done, []);
      run('umount', '/etc/resolv.conf');
      const gone = await network.applyPlan(emptyPlan);
      assert.equal(gone.resolver.stub, false);
      assert.equal(readFileSync(resolvConf, 'utf8'), 'nameserver 127.0.0.99\n');
      await network.close();
      assert.equal(existsSync(join(place, 'state/resolv-conf.journal')), false);
    });

    test('a mount point in the place of resolv.conf is written in place', async () => {
      const mounted = join(place, 'mounted');
      writeFileSync(mounted, 'nameserver 127.0.0.98\n');
      run('mount', '--bind', mounted, resolvConf);
      const network = openNetwork({ resolvConf, stateDirectory: join(place, 'state'), runDirectory: join(place, 'run') });
      await network.applyPlan(plan);
      assert.match(readFileSync(mounted, 'utf8'), /127\.0\.0\.96/);
      await network.cleanUp();
      assert.equal(readFileSync(mounted, 'utf8'), 'nameserver 127.0.0.98\n');
      await network.close();
      run('umount', resolvConf);
    });

    test('a resolver that cannot start takes the routes of the same plan back', async () => {
      const inTheWay = createSocket('udp4');
      inTheWay.bind(53, stubText);
      await once(inTheWay, 'listening');
      const network = openNetwork({ resolvConf, stateDirectory: join(place, 'state'), runDirectory: join(place, 'run') });
      const before = sh('ip rule');
      const withRule: Plan = {
        ...plan,
        rules: [{ family: 4, priority: 7220, action: { kind: 'lookup', table: 7296 }, because: { profile: '', why: 'test' } }],
      };
      await assert.rejects(network.applyPlan(withRule), (error) => error instanceof HostError && error.code === 'AOV-HOST-310');
      assert.equal(sh('ip rule'), before);
      assert.equal(readFileSync(resolvConf, 'utf8'), 'nameserver 127.0.0.99\n');
      inTheWay.close();
      await network.close();
    });
  });
});
