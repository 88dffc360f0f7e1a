import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat } from '@aovpn/bytes';
import { pickNotify, notify } from '../../src/machine/pick.ts';
import { assertSameChildren, lastHeard, outline } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig, otherPath, path } from '../../testkit/world.ts';
import type { Path } from '../../src/machine/contract.ts';

suite('MOBIKE', () => {
  /*
   * INFORMATIONAL SK { N(UPDATE_SA_ADDRESSES), N(NATD_S_IP), N(NATD_D_IP) } -->
   *                                    <-- INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP) }
   */
  test('we moved', () => {
    const pair = established();
    move(pair, otherPath);
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 2: N16400 N16388 N16389');
    toClient(pair);
    assert.equal(pair.client.count('moved'), 1);
    assertSameChildren(pair);
  });

  test('a lost answer: the same request from the new address', () => {
    const pair = established();
    move(pair, otherPath);
    const [request] = pair.client.take();
    pair.client.advance(1000);
    assert.deepEqual(pair.client.take(), [request]);
    pair.responder.receive(request!);
    talk(pair);
    assert.equal(pair.client.count('moved'), 1);
  });

  /*
   * INFORMATIONAL SK { N(UPDATE_SA_ADDRESSES), … } --> X
   * moved again: the same request from the third address, then, after its answer, a new one (RFC 4555 §3.5)
   */
  test('moved again before the answer', () => {
    const pair = established();
    move(pair, otherPath);
    toResponder(pair);
    pair.responder.take();
    const third = { ...otherPath, localPort: 42_000 };
    move(pair, third);
    assert.equal(pair.client.sent.length, 1, 'what is out goes out again at once');
    toResponder(pair);
    toClient(pair);
    assert.equal(pair.client.count('moved'), 0, 'the answer is about a path that is gone');
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 3: N16400 N16388 N16389');
    toClient(pair);
    assert.equal(pair.client.count('moved'), 1);
  });

  test('moved while another request is out', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    const [probe] = pair.client.take();
    move(pair, otherPath);
    assert.deepEqual(pair.client.take(), [probe]);
    pair.responder.receive(probe!);
    talk(pair);
    assert.equal(pair.client.count('moved'), 1);
  });

  test('moved while the gateway was silent: patience begins anew', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    pair.client.advance(14_000);
    assert.equal(pair.client.end, undefined);
    move(pair, otherPath);
    pair.client.take();
    pair.client.advance(14_000);
    assert.equal(pair.client.end, undefined);
  });

  // Found by simulation.
  test('moved again and again while the gateway is gone: the end, at the latest when the keys have had their time', () => {
    const pair = established({ ...certificateConfig, childRekeyMs: 100_000 });
    const { client } = pair;
    const bornAt = client.now;
    for (let i = 0; i < 60 && !client.end; i++) {
      move(pair, i % 2 === 0 ? otherPath : path);
      client.advance(5_000);
      client.take();
    }
    assert.equal(client.end?.kind, 'failed');
    const age = client.now - bornAt;
    assert.ok(age > 120_000 && age <= 1.25 * 100_000 + 20_000, `${age}`);
  });

  test('asked again and again whether it works: patience stays what it was', () => {
    const pair = established();
    const { client } = pair;
    for (let i = 0; i < 16; i++) {
      client.step({ kind: 'check-liveness' });
      client.advance(1000);
      client.take();
    }
    assert.equal(client.end?.kind, 'failed');
  });

  test('UNACCEPTABLE_ADDRESSES', () => {
    const pair = established(certificateConfig, {
      impair: (payloads, { header }) => (header.exchange === 37 ? [notify(40)] : payloads),
    });
    move(pair, otherPath);
    talk(pair);
    assert.equal(pair.client.count('cannot-move'), 1);
    assert.equal(pair.client.count('moved'), 0);
    assert.equal(pair.client.phase, 'open');
  });

  test('a gateway without MOBIKE, or MOBIKE turned off', () => {
    for (const [config, options] of [
      [certificateConfig, { mobike: false }],
      [{ ...certificateConfig, mobike: false }, {}],
    ] as const) {
      const pair = established(config, options);
      move(pair, otherPath);
      talk(pair);
      assert.equal(pair.client.count('cannot-move'), 1);
      assert.equal(pair.client.phase, 'open');
    }
  });

  test('moved during IKE_AUTH: told as soon as there is a tunnel', () => {
    const pair = createPair();
    toResponder(pair);
    toClient(pair);
    const [auth] = pair.client.take();
    move(pair, otherPath);
    assert.deepEqual(pair.client.take(), [auth]);
    pair.responder.receive(auth!);
    talk(pair);
    assert.equal(pair.client.count('established'), 1);
    assert.equal(pair.client.count('moved'), 1);
  });

  test('NAT detection follows the path', () => {
    const pair = established({ ...certificateConfig, forceUdpEncapsulation: false });
    const { payloads: before } = pair.responder.heard[0]!;
    move(pair, otherPath);
    talk(pair);
    const { payloads: after } = pair.responder.heard.at(-1)!;
    assert.notDeepEqual(pickNotify(after, 16388)!.data, pickNotify(before, 16388)!.data);
    assert.equal(pair.client.sa.peer.natLocal, true);
  });

  /*
   * INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP) } -->
   *                                    <-- INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP') }
   * INFORMATIONAL SK { N(UPDATE_SA_ADDRESSES), N(NATD_S_IP), N(NATD_D_IP) } -->
   */
  test('the NAT has changed its mapping: the probe finds out, the gateway is told (RFC 4555 §3.8)', () => {
    let seenAs = 0;
    const pair = established(certificateConfig, {
      impair: (payloads, { header, payloads: asked }) =>
        header.exchange === 37 && pickNotify(asked, 16388)
          ? [notify(16388, new Uint8Array(20)), notify(16389, new Uint8Array(20).fill(seenAs))]
          : payloads,
    });
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    assert.equal(lastHeard(pair), '37 request 2: N16388 N16389');
    seenAs = 9;
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    assert.equal(lastHeard(pair), '37 request 4: N16400 N16388 N16389');
    assert.equal(pair.client.count('moved'), 1);
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    assert.equal(lastHeard(pair), '37 request 5: N16388 N16389');
    assert.equal(pair.client.count('moved'), 1);
  });

  /* <-- INFORMATIONAL SK { N(COOKIE2), … } --> INFORMATIONAL SK { N(COOKIE2) } */
  /*   <-- INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP) }
   * INFORMATIONAL SK { N(NATD_S_IP), N(NATD_D_IP) } --> */
  test('NAT detection of the peer is answered in kind, where both speak MOBIKE (RFC 4555 §3.8)', () => {
    for (const mobike of [true, false]) {
      const pair = established({ ...certificateConfig, forceUdpEncapsulation: false }, { mobike });
      pair.responder.request(37, [notify(16388, new Uint8Array(20)), notify(16389, new Uint8Array(20))]);
      talk(pair);
      const { payloads } = pair.responder.heard.at(-1)!;
      assert.equal(outline(payloads), mobike ? 'N16388 N16389' : '');
      if (!mobike) continue;
      const { spiI, spiR } = pair.responder.current;
      const hash = pair.responderCrypto.sha1(
        concat(spiI, spiR, path.local.bytes, Uint8Array.of(path.localPort >> 8, path.localPort & 0xff)),
      );
      assert.deepEqual(pickNotify(payloads, 16388)!.data, hash);
    }
  });

  test('COOKIE2 comes back', () => {
    const pair = established();
    const cookie = new Uint8Array(16).fill(5);
    pair.responder.request(37, [notify(16401, cookie)]);
    talk(pair);
    assert.deepEqual(pickNotify(pair.responder.heard.at(-1)!.payloads, 16401)!.data, cookie);
  });

  test('what the peer says about its own addresses is answered, and changes nothing', () => {
    const pair = established();
    for (const type of [16397, 16398, 16399, 16400, 40960]) {
      pair.responder.request(37, [notify(type, new Uint8Array(4).fill(10))]);
      talk(pair);
      assert.equal(outline(pair.responder.heard.at(-1)!.payloads), '');
    }
    assert.deepEqual(pair.client.sa.path, path);
    assertSameChildren(pair);
  });
});

function move(pair: Pair, to: Path): void {
  pair.client.path = to;
  pair.client.step({ kind: 'path-changed', path: to });
}
