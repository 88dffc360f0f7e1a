import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';
import { notify } from '../../src/machine/pick.ts';
import { encodeMessage } from '../../src/message/encode.ts';
import { decodeHeader } from '../../src/message/header.ts';
import { NotifyType } from '../../src/registry/notify.ts';

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

  /* INFORMATIONAL SK { … } --> <-- N(INVALID_IKE_SPI), without protection */
  test('a hint that the gateway has lost the SA: asked once more, then given up soon', () => {
    const { client } = established();
    client.step({ kind: 'check-liveness' });
    const [request] = client.take();
    client.receive(invalidSpi(request!));
    assert.deepEqual(client.take(), [request]);
    client.advance(1000);
    client.receive(invalidSpi(request!));
    assert.deepEqual(client.take(), [], 'a hint counts once');
    assert.equal(client.phase, 'open', 'a hint alone ends nothing');
    client.advance(999);
    assert.equal(client.end, undefined);
    client.advance(1);
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'established', seconds: 2 } });
  });

  test('a forged hint does nothing while the gateway answers', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'check-liveness' });
    const [request] = client.take();
    client.receive(invalidSpi(request!));
    responder.receive(request!);
    talk(pair);
    client.advance(dpdMs - 1);
    assert.equal(client.phase, 'open');
    assert.equal(client.end, undefined);
  });

  test('a gateway that answers strangers and not us: the same hint', () => {
    const { client } = established();
    client.step({ kind: 'check-liveness' });
    client.take();
    client.step({ kind: 'gateway-answers-strangers' });
    assert.deepEqual(client.take(), [], 'nobody asked yet');
    client.advance(1000);
    assert.equal(client.count('probe-gateway'), 1);
    const [again] = client.take();
    client.step({ kind: 'gateway-answers-strangers' });
    assert.deepEqual(client.take(), [again]);
    client.advance(2000);
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'established', seconds: 3 } });
  });

  test('hints for nothing that is out, or with other message IDs, are ignored', () => {
    const { client } = established();
    client.step({ kind: 'check-liveness' });
    const [request] = client.take();
    const other = Uint8Array.from(invalidSpi(request!));
    other[23] = (other[23]! + 1) & 0xff;
    client.receive(other);
    assert.deepEqual(client.take(), []);
    client.advance(2000);
    assert.equal(client.phase, 'open');
    const idle = established();
    idle.client.receive(invalidSpi(request!));
    assert.deepEqual(idle.client.take(), []);
  });

  test('0 turns it off', () => {
    const { client } = established({ ...certificateConfig, dpdMs: 0 });
    assert.equal(client.timers.has('dpd'), false);
  });
});

/** What a gateway says to a request of an SA that it does not know (RFC 7296 §1.5): SPIs, exchange and message ID are copied. */
function invalidSpi(request: Uint8Array): Uint8Array {
  const { spiI, spiR, exchange, messageId } = decodeHeader(request)!;
  const header = { spiI, spiR, exchange, fromInitiator: false, response: true, messageId };
  return encodeMessage({ header, payloads: [notify(NotifyType.INVALID_IKE_SPI)] });
}

function probe(pair: Pair): void {
  let answered = false;
  pair.responder.request(37, [], () => (answered = true));
  talk(pair);
  assert.equal(answered, true);
}
