import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';

const dpdMs = certificateConfig.dpdMs;

suite('liveness', () => {
  /* INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP) } --> <-- INFORMATIONAL SK { } */
  test('a probe when nothing was heard', () => {
    const pair = established();
    const { client } = pair;
    client.advance(dpdMs - 1);
    assert.equal(client.count('ask-traffic'), 0);
    client.advance(1);
    assert.equal(client.count('ask-traffic'), 1);
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 2: N16388 N16389');
    talk(pair);
    assert.equal(client.count('unresponsive'), 0);
    client.advance(dpdMs - 1);
    assert.deepEqual(client.take(), []);
    client.advance(1);
    assert.equal(client.sent.length, 1);
  });

  test('no probe when ESP has come in', () => {
    const { client } = established();
    client.lastInboundAt = client.now + dpdMs - 1000;
    client.advance(dpdMs);
    assert.equal(client.count('ask-traffic'), 1);
    assert.deepEqual(client.take(), []);
    client.advance(dpdMs - 1001);
    assert.deepEqual(client.take(), []);
    client.advance(1);
    assert.equal(client.sent.length, 1);
  });

  test('a time of traffic in the future is not believed', () => {
    const { client } = established();
    client.lastInboundAt = 1e12;
    client.advance(dpdMs);
    client.lastInboundAt = undefined;
    client.advance(dpdMs);
    assert.equal(client.sent.length, 1);
  });

  test('a host that does not answer: the probe goes out anyway', () => {
    const { client } = established();
    client.host.traffic = false;
    client.advance(dpdMs + 999);
    assert.deepEqual(client.take(), []);
    client.advance(1);
    assert.equal(client.sent.length, 1);
  });

  test('unresponsive at the first retransmission, and again responsive', () => {
    const pair = established();
    const { client } = pair;
    client.advance(dpdMs);
    const sentAt = client.now;
    client.advance(999);
    assert.equal(client.count('unresponsive'), 0);
    client.advance(1);
    assert.deepEqual(client.last('unresponsive'), { kind: 'unresponsive', since: sentAt });
    client.advance(2000);
    assert.equal(client.count('unresponsive'), 1, 'said once');
    talk(pair);
    assert.deepEqual(client.last('unresponsive'), { kind: 'unresponsive', since: undefined });
    assert.equal(client.phase, 'open');
  });

  test('no answer: the end', () => {
    const { client } = established();
    client.advance(dpdMs + 15_000 - 1);
    assert.equal(client.end, undefined);
    client.advance(1);
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'established', seconds: 15 } });
    assert.equal(client.children.size, 0);
    assert.equal(client.timers.size, 0);
  });

  test('check-liveness asks at once, and again if a request is out', () => {
    const pair = established();
    const { client } = pair;
    client.step({ kind: 'check-liveness' });
    const [probe] = client.take();
    assert.ok(probe);
    client.step({ kind: 'check-liveness' });
    assert.deepEqual(client.take(), [probe]);
    pair.responder.receive(probe);
    talk(pair);
    assert.equal(client.phase, 'open');
  });

  test('the peer’s probe is answered, and is a sign of life', () => {
    const pair = established();
    pair.client.advance(dpdMs - 1);
    probe(pair);
    pair.client.advance(dpdMs - 1);
    assert.deepEqual(pair.client.take(), []);
  });

  test('0 turns it off', () => {
    const { client } = established({ ...certificateConfig, dpdMs: 0 });
    assert.equal(client.timers.has('dpd'), false);
  });
});

function probe(pair: Pair): void {
  let answered = false;
  pair.responder.request(37, [], () => (answered = true));
  talk(pair);
  assert.equal(answered, true);
}
