import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import type { IkeSa, MessageRecord } from '@aovpn/ike';
import { KeyExport } from '../src/key-export.ts';
import { Log } from '../src/log.ts';
import { MessageTrace } from '../src/message-trace.ts';

const path = { local: parseAddress('192.0.2.7')!, localPort: 40_000, remote: parseAddress('2001:db8::1')!, remotePort: 4500 };
const request: MessageRecord = {
  direction: 'out',
  outcome: 'sent',
  header: { spiI: 'aa', spiR: 'bb', exchange: 'IKE_AUTH', messageId: 1, response: false, fromInitiator: true },
  octets: [300, 120],
  payloads: [{ name: 'IDi' }, { name: 'N(MOBIKE_SUPPORTED)' }],
};
const answer: MessageRecord = {
  direction: 'in',
  outcome: 'believed',
  header: { ...request.header!, response: true, fromInitiator: false },
  octets: [200],
  tookMs: 12.4,
  payloads: [{ name: 'IDr' }],
};
const rubbish = (why: string): MessageRecord => ({ direction: 'in', outcome: 'dropped', why, octets: [40], payloads: [] });

function makeTrace() {
  const lines: string[] = [];
  let now = Date.UTC(2026, 0, 1);
  const clock = (): number => now++;
  const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line.trim()), clock });
  return { trace: new MessageTrace({ log, clock }), lines };
}

suite('the trace of messages', () => {
  test('a message keeps what it was, with both places', () => {
    const { trace } = makeTrace();
    trace.record('corp', request, path);
    const [message] = trace.recent('corp');
    assert.equal(message?.local, '192.0.2.7:40000');
    assert.equal(message.remote, '[2001:db8::1]:4500');
    assert.equal(message.exchange, 'IKE_AUTH');
    assert.deepEqual(message.payloads, request.payloads);
    assert.deepEqual(trace.recent('other'), []);
  });

  test('one line of the log for each exchange, with time and repetitions; probes only when debugging', () => {
    const { trace, lines } = makeTrace();
    trace.record('corp', request, path);
    trace.record('corp', { ...request, outcome: 'again', payloads: [] }, path);
    trace.record('corp', answer, path);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /info .*\[corp\] IKE_AUTH 1 --> IDi N\(MOBIKE_SUPPORTED\) <-- IDr \(12 ms, sent 2 times\)$/);
    const probe = { ...request.header!, exchange: 'INFORMATIONAL', messageId: 2 };
    trace.record('corp', { ...request, header: probe, payloads: [] }, path);
    trace.record('corp', { ...answer, header: { ...probe, response: true }, payloads: [] }, path);
    assert.match(lines[1]!, /debug .*INFORMATIONAL 2 --> \(empty\) <-- \(empty\)/);
  });

  test('an answer without its request, a fragment and what was dropped make no line', () => {
    const { trace, lines } = makeTrace();
    trace.record('corp', answer, path);
    trace.record('corp', { ...answer, outcome: 'fragment' }, path);
    trace.record('corp', rubbish('no'), path);
    assert.deepEqual(lines, []);
  });

  test('memory has a bound in messages and in octets, for each connection and for all', () => {
    const { trace } = makeTrace();
    for (let i = 0; i < 2000; i++) trace.record('many', { ...request, header: { ...request.header!, messageId: i } }, path);
    assert.equal(trace.recent('many').length, 500);
    assert.equal(trace.recent('many').at(-1)?.messageId, 1999);
    const long = { ...request, payloads: [{ name: 'x'.repeat(50_000) }] };
    for (let i = 0; i < 100; i++) trace.record('long', { ...long, header: { ...request.header!, messageId: i } }, path);
    assert.ok(JSON.stringify(trace.recent('long')).length < 560_000);
    for (let i = 0; i < 200; i++) trace.record(`c${i}`, request, path);
    assert.deepEqual(trace.recent('many'), []);
    assert.equal(trace.recent().length, 64);
  });

  test('a flood of what is dropped does not push out what matters', () => {
    const { trace } = makeTrace();
    trace.record('corp', request, path);
    for (let i = 0; i < 50_000; i++) trace.record('corp', rubbish('not an IKEv2 message: ignored'), path);
    trace.record('corp', answer, path);
    assert.deepEqual(
      trace.recent('corp').map(({ outcome, times }) => [outcome, times]),
      [
        ['sent', undefined],
        ['dropped', 50_000],
        ['believed', undefined],
      ],
    );
  });

  test('a follower hears new messages until it stops', () => {
    const { trace } = makeTrace();
    const heard: string[] = [];
    const stop = trace.follow(({ connection }) => heard.push(connection));
    trace.record('a', request, path);
    stop();
    trace.record('b', request, path);
    assert.deepEqual(heard, ['a']);
  });
});

suite('keys for root', () => {
  test('nothing is told that nobody asked for, of no other connection, and each key once', () => {
    const keys = new KeyExport();
    const unread = Object.defineProperty({}, 'associations', { get: () => assert.fail('nobody has asked') }) as unknown as IkeSa;
    keys.ike('corp', unread);
    const told: string[] = [];
    const end = keys.begin('corp', (secret) => told.push(`${secret.kind} ${secret.connection}`));
    keys.ike('other', unread);
    const direction = { encryptionKey: new Uint8Array(36), integrityKey: new Uint8Array(0) };
    const protection = { suite: { encr: 20, keyBits: 256, prf: 5, integ: 0, ke: 31 }, send: direction, receive: direction };
    const association = { spiI: new Uint8Array(8), spiR: new Uint8Array(8), initiator: true, protection };
    const sa = { associations: [association, { ...association, protection: undefined }] } as unknown as IkeSa;
    keys.ike('corp', sa);
    keys.ike('corp', sa);
    keys.ike('other', sa);
    keys.datagram('corp', 'in', path, new Uint8Array(28));
    end();
    keys.datagram('corp', 'in', path, new Uint8Array(28));
    assert.deepEqual(told, ['ike-keys corp', 'datagram corp']);
  });
});
