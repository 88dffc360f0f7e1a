import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, afterEach, before, mock, suite, test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { readRcode } from '../../src/resolver/dns-message.ts';
import { openStubResolver, type StubResolver, type StubRule } from '../../src/resolver/stub-resolver.ts';
import { inOwnNamespace } from '../network/namespace.ts';
import { answerTo, query } from './dns-sample.ts';

const stubText = '127.0.0.96';
const address = (text: string): IpAddress => parseAddress(text)!;

inOwnNamespace(import.meta.url, () => {
  let stub: StubResolver;
  let asked: string[];
  const open: Socket[] = [];

  async function serve(ip: string, last: number): Promise<{ asked: number }> {
    const socket = createSocket('udp4');
    const seen = { asked: 0 };
    socket.on('message', (message, from: RemoteInfo) => {
      seen.asked++;
      socket.send(answerTo(Uint8Array.from(message), [10, 0, 0, last]), from.port, from.address);
    });
    socket.bind(53, ip);
    await once(socket, 'listening');
    open.push(socket);
    return seen;
  }
  /** One client; its answers by id, as they come. */
  async function client(): Promise<{
    readonly send: (name: string, id: number) => void;
    readonly answers: Map<number, Uint8Array>;
    readonly port: number;
  }> {
    const socket = createSocket('udp4');
    const answers = new Map<number, Uint8Array>();
    socket.on('message', (message) => answers.set(message.readUInt16BE(0), Uint8Array.from(message)));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    open.push(socket);
    return { send: (name, id) => socket.send(query(name, id), 53, stubText), answers, port: socket.address().port };
  }
  const until = async (what: string, isSo: () => boolean): Promise<void> => {
    for (const end = performance.now() + 60_000; !isSo(); await sleep(5)) assert.ok(performance.now() < end, what);
  };
  const rule = (kind: 'up' | 'wait' | 'refuse', name = '.corp.example'): StubRule => ({
    name,
    servers: [address('127.0.0.11')],
    profile: 'corp',
    trigger: { kind, why: 'test' },
  });
  const configure = (...rules: readonly StubRule[]): void =>
    stub.configure({ rules, physical: [address('127.0.0.13')], mark: 0 });
  const outcome = (answer: Uint8Array | undefined): string | undefined =>
    answer && (readRcode(answer) === 0 ? `${answer.at(-1)}` : `rcode ${readRcode(answer)}`);

  suite('questions that bring a tunnel up', () => {
    before(async () => {
      stub = await openStubResolver(address(stubText), undefined, {
        onTrigger: (profile, name) => asked.push(`${profile} ${name}`),
      });
    });
    after(async () => await stub.close());
    afterEach(() => {
      configure();
      for (const one of open.splice(0)) one.close();
    });

    test('a thousand of them wait, nobody is asked meanwhile, others are served; then all are answered inside', async () => {
      asked = [];
      const inside = await serve('127.0.0.11', 1);
      const outside = await serve('127.0.0.13', 3);
      configure(rule('wait'));
      const clients = await Promise.all(Array.from({ length: 10 }, client));
      for (const [i, one] of clients.entries())
        // One name from all of them, and names of their own.
        for (let id = 0; id < 100; id++) {
          one.send(id < 50 ? 'intranet.corp.example' : `host${i}-${id}.corp.example`, id);
          // No more than the queue of a socket holds.
          if (id === 49 || id === 99) await until('these are there', () => asked.length >= i * 100 + id + 1);
        }
      assert.equal(asked.length, 1000);
      assert.deepEqual(new Set(asked), new Set(['corp .corp.example']));
      clients[0]!.send('www.example.org', 7000);
      await until('the other one is answered', () => clients[0]!.answers.has(7000));
      assert.deepEqual([outcome(clients[0]!.answers.get(7000)), clients[0]!.answers.size, inside.asked], ['3', 1, 0]);
      configure(rule('up'));
      await until('all are answered', () => clients.every(({ answers }) => answers.size >= 100));
      for (const { answers } of clients) for (let id = 0; id < 100; id++) assert.equal(outcome(answers.get(id)), '1', `${id}`);
      assert.equal(outside.asked, 1, 'only what has nothing to do with it was asked outside');
    });

    test('answers of others are not taken for the one that is waited for', async () => {
      asked = [];
      await serve('127.0.0.11', 1);
      configure(rule('wait'));
      const one = await client();
      one.send('intranet.corp.example', 1);
      await until('it waits', () => asked.length === 1);
      // Whoever guesses that somebody waits has no socket of ours to send to, but the stub's own.
      const forger = createSocket('udp4');
      open.push(forger);
      for (let id = 0; id < 2000; id++) {
        forger.send(answerTo(query('intranet.corp.example', id), [6, 6, 6, 6]), 53, stubText);
        // No more than the queue of a socket holds.
        if (id % 100 !== 99) continue;
        const before = asked.length;
        forger.send(query(`after${id}.corp.example`, 1), 53, stubText);
        await until('the stub has read them', () => asked.length > before);
      }
      configure(rule('up'));
      await until('it is answered', () => one.answers.has(1));
      assert.equal(outcome(one.answers.get(1)), '1');
    });

    test('no tunnel: those that wait are told at once, and later ones do not wait; nobody outside is asked', async () => {
      asked = [];
      const outside = await serve('127.0.0.13', 3);
      const inside = await serve('127.0.0.11', 1);
      configure(rule('wait'));
      const one = await client();
      one.send('intranet.corp.example', 1);
      await until('it waits', () => asked.length === 1);
      configure(rule('refuse'));
      await until('it is told', () => one.answers.has(1));
      one.send('intranet.corp.example', 2);
      await until('the next one is told', () => one.answers.has(2));
      assert.deepEqual([outcome(one.answers.get(1)), outcome(one.answers.get(2))], ['rcode 2', 'rcode 2']);
      assert.deepEqual([outside.asked, inside.asked], [0, 0]);
    });

    test('nothing comes: the wait ends while programs still listen', async () => {
      asked = [];
      configure(rule('wait'));
      const one = await client();
      const begun = performance.now();
      one.send('intranet.corp.example', 1);
      await until('it is told', () => one.answers.has(1));
      assert.equal(outcome(one.answers.get(1)), 'rcode 2');
      // Not a measure of speed: before the first five seconds are over nobody has given up.
      assert.ok(performance.now() - begun > 5000);
      // What waits is answered when the waiting is over, this one while no time passes.
      mock.timers.enable({ apis: ['setTimeout'] });
      try {
        one.send('intranet.corp.example', 2);
        while (!one.answers.has(2)) await turn();
      } finally {
        mock.timers.reset();
      }
      configure(rule('wait'));
      asked = [];
      one.send('intranet.corp.example', 3);
      await until('it waits', () => asked.length === 1);
      configure(rule('refuse'));
    });

    test('a flood of one client takes no place of another one, and no more memory than there are places', async () => {
      asked = [];
      await serve('127.0.0.11', 1);
      configure(rule('wait'));
      const honest = await client();
      honest.send('intranet.corp.example', 1);
      await until('it waits', () => asked.length === 1);
      const flood = await client();
      for (let i = 0; asked.length < 5000; i++) {
        flood.send(`f${i}.corp.example`, i & 0xffff);
        if (i % 100 === 99) await sleep(5);
      }
      const before = stub.counts().failed;
      assert.ok(before >= 2900, `${before} had to make room`);
      configure(rule('up'));
      await until('it is answered', () => honest.answers.has(1));
      assert.equal(outcome(honest.answers.get(1)), '1');
    });

    test('over TCP as well', async () => {
      asked = [];
      const socket = connect({ host: stubText, port: 53 });
      try {
        await once(socket, 'connect');
        // A name of its own: what the stub has not read yet of the flood before asks for others.
        configure(rule('wait', '.tcp.example'));
        const question = query('intranet.tcp.example', 0x1234);
        socket.write(Uint8Array.from([0, question.length, ...question]));
        await until('it waits', () => asked.length === 1);
        configure(rule('refuse', '.tcp.example'));
        const [answer] = (await once(socket, 'data')) as [Buffer];
        assert.deepEqual([answer.readUInt16BE(2), answer[5]! & 0x0f], [0x1234, 2]);
      } finally {
        socket.destroy();
      }
    });
  });
});
