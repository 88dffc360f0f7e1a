import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { concat } from '@aovpn/bytes';
import { Conversation, fuzz } from './eap.ts';
import { configs, needsProof, readExchanges, type Exchange } from './eap-exchange.ts';
import { withoutProof } from './eap-mutation.ts';
import { FuzzedPeer, outerRequest } from './eap-peer.ts';

const corpus = readExchanges();

function play(exchange: Exchange, size?: number): Conversation {
  const conversation = new Conversation(exchange);
  for (const step of exchange.steps) conversation.play(step, size);
  return conversation;
}

suite('the corpus', () => {
  test('has every method, inside and outside', () => {
    assert.deepEqual(new Set(corpus.map(({ config }) => config)), new Set(Object.keys(configs)));
  });

  for (const exchange of corpus.filter(({ ends }) => ends !== 'crash')) {
    test(`${exchange.name}: ends as it says, in fragments too`, () => {
      for (const size of [undefined, 100, 7]) assert.equal(play(exchange, size).peer.end, exchange.ends);
    });

    test(`${exchange.name}: every message cut at every length`, () => {
      for (const [index, step] of exchange.steps.entries()) {
        if (!('octets' in step)) continue;
        const limit = Math.min(step.octets.length, 130);
        for (let length = 0; length < limit; length++) {
          const steps = exchange.steps.with(index, { ...step, octets: step.octets.subarray(0, length) });
          // A cut name or filling may not matter; that it ends, and that every rule holds, does.
          assert.notEqual(play({ ...exchange, steps }).peer.end, undefined);
        }
      }
    });

    test(`${exchange.name}: EAP-Success before each step`, () => {
      const spoiled = withoutProof(exchange, 'all').steps;
      const lastProof = exchange.steps.findLastIndex((step, i) => 'octets' in step && !isDeepStrictEqual(step, spoiled[i]));
      for (const index of exchange.steps.keys()) {
        const conversation = new Conversation(exchange);
        for (const step of exchange.steps.slice(0, index)) conversation.play(step);
        conversation.play({ kind: 'success' });
        assert.notEqual(conversation.peer.end, undefined);
        if (index <= lastProof || (needsProof(exchange.config) && exchange.ends !== 'succeeded'))
          assert.notEqual(conversation.peer.end, 'succeeded');
      }
    });

    if (needsProof(exchange.config) && exchange.ends === 'succeeded') {
      test(`${exchange.name}: not with a server that proves nothing`, () => {
        const wrong = withoutProof(exchange, 'all');
        assert.notDeepEqual(wrong, exchange);
        const { peer } = play(wrong);
        assert.ok(!peer.claimed);
        assert.match(peer.end ?? '', /^(server-not-proven|cryptobinding-invalid)$/);
      });
    }
  }

  for (const exchange of corpus.filter(({ ends }) => ends === 'crash')) {
    test(`${exchange.name}: was a crash once`, () => void play(exchange));
  }
});

suite('a server without an end', () => {
  const start = corpus.find(({ name }) => name.endsWith('eap-tls/tls12.txt'))!;

  function endless(typeData: (i: number) => Uint8Array): number {
    const peer = new FuzzedPeer(start);
    const conversation = new Conversation(start, peer);
    for (const step of start.steps.slice(0, 2)) conversation.play(step);
    for (let i = 0; i < 5000; i++) {
      if (peer.end !== undefined) return i;
      peer.receive(outerRequest(start, i + 3, typeData(i)));
    }
    return Infinity;
  }

  test('fragments of 1000 octets: no more than 64 KiB', () => {
    const first = concat(Uint8Array.of(0xc0, 0, 1, 0, 0), new Uint8Array(1000));
    const more = concat(Uint8Array.of(0x40), new Uint8Array(1000));
    assert.ok(endless((i) => (i === 0 ? first : more)) <= 67);
  });
  test('fragments of one octet: no more than 1000', () => {
    const first = concat(Uint8Array.of(0xc0, 0, 1, 0, 0), new Uint8Array(1));
    assert.ok(endless((i) => (i === 0 ? first : Uint8Array.of(0x40, 1 + (i % 200)))) <= 1000);
  });
  test('a message longer than any', () =>
    assert.equal(
      endless(() => Uint8Array.of(0xc0, 0xff, 0xff, 0xff, 0xff, 1)),
      1,
    ));
});

test('mutations: no throw, no rule broken, nobody believed without proof, and every kind of end comes up', () => {
  const counts = fuzz(2500, 20261122);
  const wanted = [
    'malformed',
    'out-of-order',
    'server-not-proven',
    'cryptobinding-invalid',
    'wrong-password',
    'password-expired',
    'account-restricted',
    'no-secret',
    'rejected',
    'tls',
    'succeeded',
  ];
  for (const what of wanted) assert.ok((counts.get(what) ?? 0) > 5, `${what}: ${counts.get(what)}`);
});
