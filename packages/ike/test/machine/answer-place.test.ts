import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, type Endpoint } from '@aovpn/bytes';
import { notify } from '../../src/machine/pick.ts';
import { assertSameChildren, assertSameIke } from '../../testkit/assertion.ts';
import { established, talk, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';

const elsewhere: Endpoint = { address: parseAddress('203.0.113.77')!, port: 31_000 };
const third: Endpoint = { address: parseAddress('203.0.113.78')!, port: 4500 };

/** Where everything went that leaves in `act`; undefined: to the gateway. */
function sentIn({ client }: Pair, act: () => void): (Endpoint | undefined)[] {
  const before = client.actions.length;
  act();
  client.take();
  return client.actions.slice(before).flatMap((action) => (action.kind === 'send' ? [action.to] : []));
}

function hear({ client }: Pair, datagrams: readonly Uint8Array[], { address, port }: Endpoint): void {
  for (const datagram of datagrams) client.step({ kind: 'datagram', datagram, from: address, fromPort: port });
}

suite('answers go to where the request came from (RFC 7296 §2.11)', () => {
  const quiet = { ...certificateConfig, dpdMs: 0 };

  test('an authentic request from another address, or from another port alone', () => {
    const pair = established(quiet);
    const { remote, remotePort } = pair.client.path;
    for (const from of [elsewhere, { address: remote, port: 31_000 }, { address: third.address, port: remotePort }]) {
      pair.responder.request(37, []);
      const request = pair.responder.take();
      const before = pair.client.actions.length;
      hear(pair, request, from);
      const [answer, ...more] = pair.client.actions.slice(before).filter(({ kind }) => kind === 'send');
      assert.ok(answer?.kind === 'send' && more.length === 0);
      assert.deepEqual(answer.to, from);
      pair.responder.receive(...pair.client.take());
    }
  });

  test('our own requests go to the gateway, before and after; and so do answers to what comes from there', () => {
    const pair = established(quiet);
    pair.responder.request(37, []);
    hear(pair, pair.responder.take(), elsewhere);
    pair.responder.receive(...pair.client.take());
    assert.deepEqual(pair.client.sa.path, pair.client.path);
    assert.deepEqual(
      sentIn(pair, () => pair.client.step({ kind: 'check-liveness' })),
      [undefined],
    );
    assert.deepEqual(
      sentIn(pair, () => pair.client.advance(1500)),
      [undefined],
      'and again',
    );
    pair.responder.request(37, []);
    const request = pair.responder.take();
    assert.deepEqual(
      sentIn(pair, () => pair.client.receive(...request)),
      [undefined],
    );
  });

  test('an answer that waits for the host', () => {
    const pair = established(quiet);
    const { client, responder } = pair;
    client.host.install = false;
    responder.rekeyChild([...responder.children.values()][0]!);
    const request = responder.take();
    assert.deepEqual(
      sentIn(pair, () => hear(pair, request, elsewhere)),
      [],
    );
    client.host.install = true;
    const before = client.actions.length;
    client.answer(client.last('install-child')!);
    const answers = client.actions.slice(before).flatMap((action) => (action.kind === 'send' ? [action.to] : []));
    assert.deepEqual(answers, [elsewhere]);
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('the same request again: the same answer to where that came from', () => {
    const pair = established(quiet);
    pair.responder.rekeyIke();
    const request = pair.responder.take();
    hear(pair, request, elsewhere);
    const answer = pair.client.take();
    const before = pair.client.actions.length;
    hear(pair, request, third);
    pair.client.receive(...request);
    const again = pair.client.actions.slice(before).filter((action) => action.kind === 'send');
    assert.deepEqual(
      again.map(({ to }) => to),
      [third, undefined],
    );
    assert.deepEqual(again[0]!.datagram, answer[0]);
    pair.client.take();
    pair.responder.receive(...answer);
    talk(pair);
    assertSameIke(pair);
  });

  test('a refusal, and an answer in fragments', () => {
    const pair = established(quiet);
    pair.responder.request(36, []);
    const malformed = pair.responder.take();
    assert.deepEqual(
      sentIn(pair, () => hear(pair, malformed, elsewhere)),
      [elsewhere],
    );
  });

  test('another member of a cluster, from an address of its own (RFC 6311)', () => {
    const pair = established(quiet, {
      impair: (payloads, { header }) => (header.exchange === 35 ? [...payloads, notify(16420)] : payloads),
    });
    const data = new Uint8Array(12);
    data.set([0, 0, 0, 9], 4);
    data.set([0, 0, 0, 9], 8);
    const request = pair.responder.seal(pair.responder.current, 37, 0, false, [notify(16422, data)]);
    assert.deepEqual(
      sentIn(pair, () => hear(pair, request, elsewhere)),
      [elsewhere],
    );
  });

  test('what is not authentic, is old, or comes too early is answered nowhere, and changes nothing', () => {
    const pair = established(quiet);
    pair.responder.request(37, []);
    const [request] = pair.responder.take();
    const forged = request!.slice();
    forged[forged.length - 1]! ^= 1;
    assert.deepEqual(
      sentIn(pair, () => hear(pair, [forged], elsewhere)),
      [],
    );
    assert.equal(pair.client.sa.associations[0]!.askedFrom, undefined);
    assert.deepEqual(
      sentIn(pair, () => pair.client.receive(request!)),
      [undefined],
    );
  });
});
