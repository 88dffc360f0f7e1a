import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, Writer } from '@aovpn/bytes';
import { notify } from '../../src/machine/pick.ts';
import { openDatagram } from '../../src/message/open.ts';
import type { Payload } from '../../src/message/payload.ts';
import { lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';

const nonce = fromHex('0a0b0c0d');
const sync = (willSend: number, expects: number): Payload =>
  notify(16422, concat(nonce, new Writer(8).u32(willSend).u32(expects).finish()));

function clusterPair(announces = true): Pair {
  return established(
    { ...certificateConfig, dpdMs: 0 },
    {
      impair: (payloads, { header }) => (announces && header.exchange === 35 ? [...payloads, notify(16420)] : payloads),
    },
  );
}

/** Sends a request with message ID 0 and reads what comes back: the data of its one Notify, if anything came. */
function ask({ client, responder, responderCrypto }: Pair, ...payloads: readonly Payload[]): Uint8Array | undefined {
  const ike = responder.current;
  client.take();
  client.receive(...responder.seal(ike, 37, 0, false, payloads));
  const [datagram] = client.take();
  if (!datagram) return undefined;
  const outcome = openDatagram(responderCrypto, datagram, { suite: ike.suite, keys: ike.receive, reassembly: {} });
  assert.ok(outcome.kind === 'message');
  assert.deepEqual([outcome.message.header.messageId, outcome.message.header.response], [0, true]);
  const [only] = outcome.message.payloads;
  return only?.kind === 'N' ? only.data : undefined;
}

/*
 * HDR(INFORMATIONAL, ID 0), SK { N(IKEV2_MESSAGE_ID_SYNC)(nonce, M1, P1) } --> <-- HDR(ID 0), SK { N(IKEV2_MESSAGE_ID_SYNC)(nonce, M2, P2) }
 */
suite('another member of the gateway takes over (RFC 6311)', () => {
  test('it is announced in IKE_AUTH', () => {
    const { responder } = clusterPair();
    const auth = responder.heard.find(({ header }) => header.exchange === 35)!;
    assert.ok(auth.payloads.some((payload) => payload.kind === 'N' && payload.type === 16420));
  });

  test('it knows less than we do: our IDs count, and both directions go on', () => {
    const pair = clusterPair();
    pair.client.step({ kind: 'check-liveness' });
    talk(pair);
    // We have sent 0 to 2; the member last heard of 1, and leaps in its own IDs.
    assert.deepEqual(ask(pair, sync(7, 1)), concat(nonce, new Writer(8).u32(3).u32(7).finish()));
    pair.responder.current.nextRequest = 7;
    pair.responder.current.nextExpected = 3;
    pair.responder.request(37, []);
    talk(pair);
    assert.equal(lastHeard(pair), '37 response 7:');
    pair.client.step({ kind: 'check-liveness' });
    toResponder(pair);
    assert.match(lastHeard(pair), /^37 request 3:/);
  });

  test('it expects more than we have sent: we leap', () => {
    const pair = clusterPair();
    assert.deepEqual(ask(pair, sync(0, 40)), concat(nonce, new Writer(8).u32(40).u32(0).finish()));
    pair.responder.current.nextExpected = 40;
    pair.client.step({ kind: 'check-liveness' });
    toResponder(pair);
    assert.match(lastHeard(pair), /^37 request 40:/);
  });

  test('a request of ours that is out can still be answered', () => {
    const pair = clusterPair();
    pair.client.step({ kind: 'check-liveness' });
    const [request] = pair.client.take();
    assert.deepEqual(ask(pair, sync(5, 1)), concat(nonce, new Writer(8).u32(2).u32(5).finish()));
    pair.responder.receive(request!);
    talk(pair);
    assert.equal(pair.client.sa.associations[0]!.outstanding, undefined);
    assert.equal(pair.client.phase, 'open');
  });

  test('an old one does not take us back', () => {
    const pair = clusterPair();
    assert.ok(ask(pair, sync(9, 2)));
    pair.responder.current.nextRequest = 9;
    pair.responder.request(37, []);
    talk(pair);
    assert.equal(ask(pair, sync(9, 2)), undefined);
    assert.equal(pair.client.sa.associations[0]!.nextExpected, 10);
  });

  test('with anything beside it, with another length, or without agreement it is a request like any other', () => {
    const pair = clusterPair();
    pair.responder.request(37, []);
    talk(pair);
    assert.equal(ask(pair, sync(9, 2), notify(16384)), undefined);
    assert.equal(ask(pair, notify(16422, nonce)), undefined);
    assert.equal(pair.client.sa.associations[0]!.nextExpected, 1);
    const stranger = clusterPair(false);
    stranger.responder.request(37, []);
    talk(stranger);
    assert.equal(ask(stranger, sync(9, 2)), undefined);
    assert.equal(stranger.client.sa.associations[0]!.nextExpected, 1);
  });
});
