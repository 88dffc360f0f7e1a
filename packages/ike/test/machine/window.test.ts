import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify } from '../../src/machine/pick.ts';
import { assertSameChildren, lastHeard } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';

suite('message IDs and the window of one', () => {
  test('a repeated request gets the same answer, octet for octet, and acts once', () => {
    const pair = established();
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    const request = pair.responder.take();
    pair.client.receive(...request);
    const answer = pair.client.take();
    pair.client.receive(...request);
    assert.deepEqual(pair.client.take(), answer);
    assert.equal(pair.client.count('install-child'), 2);
  });

  test('a request from long ago, or from the future, is not answered', () => {
    const pair = established();
    const old: Uint8Array[][] = [];
    for (let i = 0; i < 3; i++) {
      pair.responder.request(37, []);
      old.push(pair.responder.take());
      pair.client.receive(...old[i]!);
      toResponder(pair);
    }
    pair.client.receive(...old[0]!, ...old[1]!);
    assert.deepEqual(pair.client.take(), []);
    pair.client.receive(...pair.responder.seal(pair.responder.current, 37, 4, false, [{ kind: 'D', protocol: 1, spis: [] }]));
    assert.deepEqual(pair.client.take(), []);
    assert.equal(pair.client.phase, 'open');
  });

  test('a repetition that is not authentic is not answered', () => {
    const pair = established();
    pair.responder.request(37, []);
    const [request] = pair.responder.take();
    pair.client.receive(request!);
    pair.client.take();
    const forged = request!.slice();
    forged[forged.length - 1]! ^= 1;
    pair.client.receive(forged);
    assert.deepEqual(pair.client.take(), []);
  });

  test('a replayed answer changes nothing', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    toResponder(pair);
    const answer = pair.responder.take();
    pair.client.receive(...answer);
    const before = pair.client.sa;
    pair.client.receive(...answer);
    assert.equal(pair.client.sa, before);
  });

  test('our own messages, sent back to us, are ignored', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    const before = pair.client.sa;
    pair.client.receive(...pair.client.sent);
    assert.equal(pair.client.sa, before);
  });

  test('a request in fragments: in any order, repeated, and answered once for a repetition', () => {
    const pair = established();
    const big = Array.from({ length: 60 }, () => notify(40960, new Uint8Array(100)));
    pair.responder.request(37, big);
    const fragments = pair.responder.take();
    assert.ok(fragments.length > 3);
    pair.client.receive(...fragments.toReversed(), fragments[1]!);
    assert.equal(pair.client.sent.length, 1);
    const answer = pair.client.take();
    pair.client.receive(...fragments);
    assert.deepEqual(pair.client.take(), answer);
    pair.responder.receive(...answer);
    assert.equal(lastHeard(pair), '37 response 0:');
  });

  test('an answer in fragments of which one is lost', () => {
    const pair = established(certificateConfig, {
      impair: (payloads, { header }) =>
        header.exchange === 37 ? Array.from({ length: 60 }, () => notify(40960, new Uint8Array(100))) : payloads,
    });
    pair.client.step({ kind: 'check-liveness' });
    toResponder(pair);
    const fragments = pair.responder.take();
    pair.client.receive(...fragments.slice(1));
    assert.notEqual(pair.client.sa.associations[0]!.outstanding, undefined);
    pair.client.receive(fragments[0]!);
    assert.equal(pair.client.sa.associations[0]!.outstanding, undefined);
  });

  test('a request in fragments goes out again in the same fragments (RFC 7383 §2.6.1)', () => {
    const pair = createPair({ ...certificateConfig, fragmentSize: 300 });
    toResponder(pair);
    toClient(pair);
    const fragments = pair.client.take();
    assert.ok(fragments.length > 1);
    pair.client.advance(certificateConfig.retransmit.firstMs);
    assert.deepEqual(pair.client.take(), fragments);
  });

  test('requests of the peer are heard while one of ours is out (RFC 7296 §2.3)', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    const ours = pair.client.take();
    let answered = false;
    pair.responder.request(37, [], () => (answered = true));
    talk(pair);
    assert.equal(answered, true);
    assert.notEqual(pair.client.sa.associations[0]!.outstanding, undefined);
    pair.responder.receive(...ours);
    talk(pair);
    assert.equal(pair.client.sa.associations[0]!.outstanding, undefined);
  });

  test('what belongs to no SA of ours is answered by nobody (RFC 7296 §2.21.4)', () => {
    const pair = established();
    const other = established();
    for (const [exchange, response] of [
      [37, false],
      [37, true],
      [36, false],
    ] as const) {
      const [stray] = other.responder.seal(other.responder.current, exchange, 0, response, []);
      const before = pair.client.sa;
      pair.client.receive(stray!);
      assert.equal(pair.client.sa, before);
      assert.deepEqual(pair.client.take(), []);
    }
  });

  test('errors and words in a request that nobody knows, and vendors, are passed over (RFC 7296 §3.10.1, §3.12)', () => {
    const pair = established();
    pair.responder.request(37, [notify(8190), notify(40_960), { kind: 'V', data: Uint8Array.of(1, 2, 3) }]);
    talk(pair);
    assert.equal(lastHeard(pair), '37 response 0:');
    assert.equal(pair.client.phase, 'open');
    assertSameChildren(pair);
  });

  test('a peer that wants to know our version, or to set something, gets an answer without CP (RFC 7296 §2.20, §3.15)', () => {
    const pair = established();
    for (const [type, attribute] of [
      [1, { type: 7, value: new Uint8Array(0) }],
      [3, { type: 3, value: Uint8Array.of(10, 0, 0, 1) }],
    ] as const) {
      const before = pair.client.last('established');
      pair.responder.request(37, [{ kind: 'CP', type, attributes: [attribute] }]);
      talk(pair);
      assert.match(lastHeard(pair), /^37 response \d:$/);
      assert.equal(pair.client.last('established'), before);
    }
    assertSameChildren(pair);
  });

  test('message IDs do not wrap: a rekey in time, the end if it fails', () => {
    const pair = established({ ...certificateConfig, dpdMs: 0 });
    jump(pair, 0x8000_0000);
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    assert.equal(pair.client.last('rekeyed')?.what, 'ike');
    const late = established();
    jump(late, 0xffff_fff0);
    late.client.step({ kind: 'check-liveness' });
    assert.deepEqual(late.client.end, { kind: 'failed', failure: { kind: 'protocol', detail: 'message IDs are used up' } });
  });

  test('an exchange that only an initiator begins is refused', () => {
    const pair = established();
    for (const exchange of [35, 240]) {
      pair.responder.request(exchange, []);
      toClient(pair);
      toResponder(pair);
      assert.match(lastHeard(pair), /response \d: N7/);
    }
    assertSameChildren(pair);
  });

  test('an unknown critical payload is refused and named, an uncritical one is not', () => {
    const pair = established();
    pair.responder.request(37, [{ kind: 'unknown', type: 200, critical: true, data: new Uint8Array(4) }]);
    talk(pair);
    assert.equal(lastHeard(pair), '37 response 0: N1');
    pair.responder.request(37, [{ kind: 'unknown', type: 200, critical: false, data: new Uint8Array(4) }]);
    talk(pair);
    assert.equal(lastHeard(pair), '37 response 1:');
    assertSameChildren(pair);
  });

  test('a malformed answer ends the SA', () => {
    const pair = established();
    pair.responder.options.impair = () => [{ kind: 'unknown', type: 200, critical: true, data: new Uint8Array(4) }];
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    pair.client.advance(2000);
    assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, 'invalid-syntax');
  });

  test('a step does not change the state that it was given', () => {
    const pair = established();
    const before = pair.client.sa;
    const copy = structuredClone({ ...before, config: undefined });
    pair.responder.request(37, []);
    toClient(pair);
    pair.client.step({ kind: 'rekey-child', spiIn: before.children[0]!.spiIn });
    assert.deepEqual(structuredClone({ ...before, config: undefined }), copy);
    assert.notEqual(pair.client.sa, before);
  });
});

/** Both sides go on with a high message ID. */
function jump({ client, responder }: Pair, messageId: number): void {
  client.sa = {
    ...client.sa,
    associations: client.sa.associations.map((association) => ({ ...association, nextRequest: messageId })),
  };
  responder.current.nextExpected = messageId;
}
