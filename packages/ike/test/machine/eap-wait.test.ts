import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { Payload } from '../../src/message/payload.ts';
import { createPair, establishedEap, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { eap } from '../../testkit/ms-chap-server.ts';
import { eapConfig } from '../../testkit/world.ts';

const patient = { ...eapConfig, eapWaitMs: 180_000 };
const said = ({ client }: Pair): readonly (number | undefined)[] =>
  client.actions.flatMap((action) => (action.kind === 'eap-waiting' ? [action.since] : []));

/** Up to the client's EAP response of this round, which stays on the wire. */
function inRound(pair: Pair, round: number): void {
  for (let i = 0; i < round; i++) {
    toResponder(pair);
    toClient(pair);
  }
  assert.equal(pair.client.phase, 'eap-await-response');
}

/*
 * IKE_AUTH SK { EAP(Response) } -->
 *                                    120 seconds of nothing: a person looks for a telephone
 *                               <-- IKE_AUTH SK { EAP(...) }
 */
suite('a slow second factor behind the gateway', () => {
  test('120 s of silence, then success: sparing retransmissions, and people are told what is waited for', () => {
    const pair = createPair(patient);
    inRound(pair, 3);
    const asked = pair.client.now;
    const [request] = pair.client.take();
    pair.client.advance(2_000);
    assert.deepEqual(said(pair), [], 'not for every short delay');
    pair.client.advance(118_000);
    assert.equal(pair.client.end, undefined);
    assert.deepEqual(said(pair), [asked], 'once, with the time since when');
    const repeated = pair.client.take();
    assert.ok(repeated.length >= 8 && repeated.length <= 14, `${repeated.length} retransmissions in two minutes`);
    assert.ok(
      repeated.every((datagram) => Buffer.compare(datagram, request!) === 0),
      'the same octets each time',
    );
    pair.responder.receive(request!);
    toClient(pair);
    assert.deepEqual(said(pair), [asked, undefined]);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('the answer is lost: it is had again after at most 15 s', () => {
    const pair = createPair(patient);
    inRound(pair, 3);
    pair.client.advance(100_000);
    pair.responder.receive(...pair.client.take());
    pair.responder.take();
    pair.client.advance(15_000);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('EAP Notifications every 20 s for two minutes keep it alive, and the wait has the beginning that it had', () => {
    let keptAlive = 0;
    const keepAlive = (identifier: number): Payload => ({
      kind: 'EAP',
      packet: eap(1, identifier, Uint8Array.of(2, ...encodeUtf8('Approve the request on your phone'))),
    });
    const pair = createPair(patient, {
      impair: (payloads, { header }) => {
        if (header.exchange !== 35 || header.messageId < 4 || keptAlive > 6) return payloads;
        // The server thinks on; what it says in the end is success, for the Response that it had last.
        if (keptAlive++ < 6) return [keepAlive(99 + keptAlive)];
        return [{ kind: 'EAP', packet: eap(3, 105, new Uint8Array(0)) }];
      },
    });
    inRound(pair, 4);
    const asked = pair.client.now;
    for (let i = 0; i < 6; i++) {
      const [request] = pair.client.take();
      pair.client.advance(20_000);
      pair.client.take();
      pair.responder.receive(request!);
      toClient(pair);
      assert.equal(pair.client.end, undefined, `keep-alive ${i}`);
    }
    assert.equal(pair.client.now - asked, 120_000);
    assert.deepEqual(said(pair), [asked]);
    const notifications = pair.client.actions.flatMap((action) =>
      action.kind === 'eap' && action.action.kind === 'notification' ? [action.action.text] : [],
    );
    assert.equal(notifications.length, 6);
    assert.equal(notifications[0], 'Approve the request on your phone');
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.deepEqual(said(pair), [asked, undefined]);
  });

  test('silence beyond the patience ends it', () => {
    const pair = createPair(patient);
    inRound(pair, 3);
    pair.client.advance(200_000);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'auth', seconds: 180 } });
  });

  test('outside of EAP nobody is patient', () => {
    const pair = createPair(patient);
    pair.client.advance(20_000);
    assert.equal(pair.client.end?.kind, 'failed');
    assert.deepEqual(said(pair), []);
  });

  test('that EAP ended well is said once, before our proof leaves', () => {
    const { client } = establishedEap();
    assert.equal(client.count('eap-succeeded'), 1);
    assert.match(client.last('eap-succeeded')!.method, /MSCHAPv2/);
    const wrong = createPair(eapConfig);
    wrong.client.password = 'wrong';
    talk(wrong);
    assert.equal(wrong.client.count('eap-succeeded'), 0);
  });
});
