import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { concat } from '@aovpn/bytes';
import { pick, pickNotify, notify } from '../../src/machine/pick.ts';
import { encodeMessage } from '../../src/message/encode.ts';
import type { Payload } from '../../src/message/payload.ts';
import { lastHeard, outline } from '../../testkit/assertion.ts';
import { createPair, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { address, certificateConfig, hybridConfig, path } from '../../testkit/world.ts';

const [retransmitMs, betterMs, cookieMs] = [1000, 2000, 250];

suite('IKE_SA_INIT', () => {
  /* IKE_SA_INIT { SAi1, KEi, Ni, N(NATD_S_IP), N(NATD_D_IP), N(FRAG_SUP), N(HASH_ALG) } --> */
  test('the request', () => {
    const pair = createPair();
    toResponder(pair);
    assert.equal(lastHeard(pair), '34 request 0: SA KE NONCE N16388 N16389 N16406 N16430 N16431');
    const { payloads, header } = pair.responder.heard[0]!;
    assert.deepEqual(header.spiR, new Uint8Array(8));
    assert.equal(pick(payloads, 'NONCE')!.data.length, 32);
    assert.equal(pick(payloads, 'KE')!.group, 31);
    // No SHA-1 (1) among the hashes.
    assert.deepEqual(pickNotify(payloads, 16431)!.data, Uint8Array.of(0, 2, 0, 3, 0, 4, 0, 5));
  });

  test('the source hash is wrong on purpose when UDP encapsulation is forced, and right when not', () => {
    for (const forceUdpEncapsulation of [true, false]) {
      const pair = createPair({ ...certificateConfig, forceUdpEncapsulation });
      toResponder(pair);
      const { payloads, header } = pair.responder.heard[0]!;
      const hash = (octets: Uint8Array, port: number): Uint8Array =>
        new Uint8Array(
          createHash('sha1')
            .update(concat(header.spiI, header.spiR, octets, Uint8Array.of(port >> 8, port & 0xff)))
            .digest(),
        );
      assert.deepEqual(pickNotify(payloads, 16389)!.data, hash(path.remote.bytes, 4500));
      const right = hash(path.local.bytes, path.localPort);
      if (forceUdpEncapsulation) assert.notDeepEqual(pickNotify(payloads, 16388)!.data, right);
      else assert.deepEqual(pickNotify(payloads, 16388)!.data, right);
    }
  });

  /*
   * IKE_SA_INIT { SAi1, KEi, Ni, … }            -->
   *                              <-- IKE_SA_INIT { N(COOKIE) }
   * IKE_SA_INIT { N(COOKIE), SAi1, KEi, Ni, … } -->
   */
  test('COOKIE', () => {
    const pair = createPair(certificateConfig, { cookie: true });
    talk(pair);
    // It may be forged: an answer without one is waited for first.
    assert.equal(pair.responder.heard.length, 1);
    pair.client.advance(cookieMs);
    talk(pair);
    const [first, second] = pair.responder.heard;
    assert.equal(outline(second!.payloads).split(' ')[0], 'N16390');
    assert.deepEqual(second!.payloads.slice(1), first!.payloads, 'everything else is as it was');
    assert.deepEqual(first!.header, second!.header);
    assert.equal(pair.client.phase, 'open');
  });

  test('a gateway that never has enough cookies is given up', () => {
    let cookies = 0;
    const pair = createPair(certificateConfig, { impair: () => [notify(16390, Uint8Array.of(++cookies))] });
    talk(pair);
    for (let i = 0; i < 4; i++) {
      pair.client.advance(cookieMs);
      talk(pair);
    }
    assert.equal(pair.client.phase, 'init-await-better');
    assert.equal(cookies, 5);
    pair.client.advance(betterMs);
    assert.equal(pair.client.end?.kind, 'failed');
  });

  /*
   * IKE_SA_INIT { SAi1, KEi(31), Ni, … } -->
   *                              <-- IKE_SA_INIT { N(INVALID_KE_PAYLOAD)(19) }
   * IKE_SA_INIT { SAi1, KEi(19), Ni, … } -->
   */
  test('INVALID_KE_PAYLOAD with a group that we offered', () => {
    const pair = createPair(certificateConfig, { ikeProposals: [{ ...certificateConfig.ikeProposals[0]!, ke: [19] }] });
    talk(pair);
    const [first, second] = pair.responder.heard;
    assert.equal(pick(second!.payloads, 'KE')!.group, 19);
    assert.deepEqual(pick(second!.payloads, 'SA'), pick(first!.payloads, 'SA'), 'all that is acceptable is offered again');
    assert.equal(pair.client.phase, 'open');
    assert.match(pair.client.last('established')!.facts.ikeSuite, /ECP256/);
  });

  test('INVALID_KE_PAYLOAD with both a cookie', () => {
    const pair = createPair(certificateConfig, {
      cookie: true,
      ikeProposals: [{ ...certificateConfig.ikeProposals[0]!, ke: [19] }],
    });
    talk(pair);
    pair.client.advance(cookieMs);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  /*
   * IKE_SA_INIT { SAi1, KEi(31), Ni, … } -->
   *                              <-- IKE_SA_INIT { N(COOKIE) } or { N(INVALID_KE_PAYLOAD)(19) }, by anybody
   *                              <-- IKE_SA_INIT { SAr1, KEr(31), Nr, … }, by the gateway
   */
  for (const [name, forged] of [
    ['COOKIE', notify(16390, Uint8Array.of(1, 2, 3))],
    ['INVALID_KE_PAYLOAD', notify(17, Uint8Array.of(0, 19))],
  ] as const) {
    test(`a forged ${name} changes nothing when the gateway's own answer follows`, () => {
      const pair = createPair();
      toResponder(pair);
      const answers = pair.responder.take();
      const { spiI } = pair.responder.heard[0]!.header;
      for (let i = 0; i < 3; i++) {
        pair.client.receive(
          encodeMessage({
            header: { spiI, spiR: new Uint8Array(8), exchange: 34, fromInitiator: false, response: true, messageId: 0 },
            payloads: [forged],
          }),
        );
      }
      // What the forgery made the client send never arrives: the gateway knows the first request only.
      pair.client.take();
      pair.client.receive(...answers);
      talk(pair);
      assert.equal(pair.client.phase, 'open', JSON.stringify(pair.client.end));
      assert.match(pair.client.last('established')!.facts.ikeSuite, /X25519/);
    });
  }

  test('INVALID_KE_PAYLOAD with a group that we did not offer, or that was tried, is not followed', () => {
    for (const group of [2, 31]) {
      const pair = createPair(certificateConfig, { impair: () => [notify(17, Uint8Array.of(0, group))] });
      talk(pair);
      assert.equal(pair.responder.heard.length, 1);
      pair.client.advance(betterMs);
      assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'invalid-ke', wanted: group } });
    }
  });

  /*
   * IKE_SA_INIT { … } -->
   *               <-- IKE_SA_INIT { N(NO_PROPOSAL_CHOSEN) }, by anybody
   *               <-- IKE_SA_INIT { SAr1, KEr, Nr, … }, by the gateway
   */
  test('an unauthenticated error does not end the SA when a better answer follows', () => {
    let forge = true;
    const pair = createPair(certificateConfig, { impair: (payloads) => (forge ? [notify(14)] : payloads) });
    talk(pair);
    assert.equal(pair.client.phase, 'init-await-better');
    forge = false;
    retryInit(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('an error is believed when nothing better has come for a while', () => {
    for (const [type, failure] of [
      [14, { kind: 'no-proposal-chosen', what: 'ike' }],
      [43, { kind: 'notify', type: 43, name: 'TEMPORARY_FAILURE', phase: 'IKE_SA_INIT' }],
    ] as const) {
      const pair = createPair(certificateConfig, { impair: () => [notify(type)] });
      talk(pair);
      pair.client.advance(betterMs - 1);
      assert.equal(pair.client.end, undefined);
      pair.client.advance(1);
      assert.deepEqual(pair.client.end, { kind: 'failed', failure });
    }
  });

  const without =
    (kind: Payload['kind']): ResponderOptions['impair'] =>
    (payloads) =>
      payloads.filter((payload) => payload.kind !== kind);
  const withKe =
    (change: (data: Uint8Array) => { group: number; data: Uint8Array }): ResponderOptions['impair'] =>
    (payloads) =>
      payloads.map((payload) => (payload.kind === 'KE' ? { ...payload, ...change(payload.data) } : payload));

  const bad: Record<string, ResponderOptions['impair']> = {
    'without SA (CVE-2013-6467)': without('SA'),
    'without KE': without('KE'),
    'without nonce': without('NONCE'),
    'with a KE of another offered group than its SA says': (payloads) =>
      payloads.map((payload) =>
        payload.kind === 'SA'
          ? {
              ...payload,
              proposals: payload.proposals.map((proposal) => ({
                ...proposal,
                transforms: proposal.transforms.map((t) => (t.type === 4 ? { ...t, id: 19 } : t)),
              })),
            }
          : payload,
      ),
    'with a public value of zero (CVE-2015-3240)': withKe((data) => ({ group: 31, data: new Uint8Array(data.length) })),
    'with a public value that is too short (CVE-2023-41913)': withKe((data) => ({ group: 31, data: data.subarray(1) })),
    'with a public value that is too long': withKe((data) => ({ group: 31, data: concat(data, data) })),
    'with another group (CVE-2014-9221)': withKe((data) => ({ group: 1025, data })),
    'with a transform that was not offered': (payloads) =>
      payloads.map((payload) =>
        payload.kind === 'SA'
          ? {
              ...payload,
              proposals: payload.proposals.map((proposal) => ({
                ...proposal,
                transforms: proposal.transforms.map((t) => (t.type === 2 ? { ...t, id: 2 } : t)),
              })),
            }
          : payload,
      ),
    'without a key exchange transform (CVE-2016-5391)': (payloads) =>
      payloads.map((payload) =>
        payload.kind === 'SA'
          ? {
              ...payload,
              proposals: payload.proposals.map((proposal) => ({
                ...proposal,
                transforms: proposal.transforms.filter(({ type }) => type !== 4),
              })),
            }
          : payload,
      ),
  };
  for (const [name, impair] of Object.entries(bad)) {
    test(`an answer ${name} is not believed, a later good one is`, () => {
      let broken = true;
      const pair = createPair(certificateConfig, {
        impair: (payloads, request) => (broken ? impair!(payloads, request) : payloads),
      });
      talk(pair);
      assert.ok(['init-await-better', 'init-await-response'].includes(pair.client.phase), pair.client.phase);
      assert.equal(pair.client.count('sign'), 0);
      broken = false;
      retryInit(pair);
      assert.equal(pair.client.phase, 'open');
    });
  }

  test('answers from elsewhere, of other exchanges, for other SPIs and as requests are ignored', () => {
    const pair = createPair();
    toResponder(pair);
    const [answer] = pair.responder.take();
    const before = pair.client.sa;
    pair.client.step({ kind: 'datagram', datagram: answer!, from: address('203.0.113.66'), fromPort: 4500 });
    for (const [at, value] of [
      [0, 0xaa],
      [17, 0x10],
      [18, 37],
      [19, 0x00],
      [19, 0x28],
      [23, 1],
    ] as const) {
      const wrong = answer!.slice();
      wrong[at] = wrong[at] === value ? 0xab : value;
      pair.client.receive(wrong);
    }
    pair.client.receive(new Uint8Array(0), answer!.subarray(0, 27), answer!.subarray(0, 40));
    assert.equal(pair.client.phase, before.phase.name);
    pair.client.receive(answer!);
    assert.notEqual(pair.client.phase, before.phase.name);
  });

  test('retransmission with back-off, the same octets each time, and an end', () => {
    const { client } = createPair();
    const [first] = client.take();
    const times: number[] = [];
    for (let next = client.nextTimer(); !client.end && next; next = client.nextTimer()) {
      client.fire(next.timer, next.at);
      for (const datagram of client.take()) {
        assert.deepEqual(datagram, first);
        times.push(client.now - 1000);
      }
    }
    assert.deepEqual(times, [1000, 3000, 7000]);
    assert.equal(client.now, 1000 + 15_000);
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'init', seconds: 15 } });
    assert.equal(client.timers.size, 0);
    assert.equal(client.actions.at(-1)!.kind, 'ended');
  });

  test('fewer tries in IKE_SA_INIT, when another address waits', () => {
    const retransmit = { ...certificateConfig.retransmit, initTries: 1 };
    const { client } = createPair({ ...certificateConfig, retransmit });
    client.advance(60_000);
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'init', seconds: 3 } });
    const pair = createPair({ ...certificateConfig, retransmit });
    toResponder(pair);
    toClient(pair);
    pair.client.advance(60_000);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'auth', seconds: 15 } });
  });

  test('is one datagram, however small fragments are to be (RFC 7383 §2.4)', () => {
    const pair = createPair({ ...hybridConfig, fragmentSize: 100 });
    const sent = pair.client.take();
    assert.equal(sent.length, 1);
    assert.ok(sent[0]!.length > 100);
    assert.equal(sent[0]![16], 33, 'SA first, nothing encrypted');
  });

  test('every attempt has a nonce, an SPI and a key of its own', () => {
    const requests = Array.from({ length: 3 }, () => {
      const pair = createPair();
      toResponder(pair);
      return pair.responder.heard[0]!;
    });
    for (const of of [
      requests.map(({ header }) => header.spiI),
      requests.map(({ payloads }) => pick(payloads, 'NONCE')!.data),
      requests.map(({ payloads }) => pick(payloads, 'KE')!.data),
    ])
      assert.equal(new Set(of.map(String)).size, 3);
  });

  test('no group, no proposal: a clear failure', () => {
    const { client } = createPair({ ...certificateConfig, ikeProposals: [] });
    assert.deepEqual(client.end, { kind: 'failed', failure: { kind: 'no-proposal-chosen', what: 'ike' } });
  });

  test('closing says nothing', () => {
    const pair = createPair();
    pair.client.take();
    pair.client.step({ kind: 'close', why: 'asked' });
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
    assert.deepEqual(pair.client.take(), []);
  });

  test('a changed path sends the request again', () => {
    const pair = createPair();
    const [first] = pair.client.take();
    pair.client.step({ kind: 'path-changed', path: { ...path, localPort: 1 } });
    assert.deepEqual(pair.client.take(), [first]);
    toClient(pair);
  });
});

/** The responder answers anew, not from its memory. */
function retryInit(pair: Pair): void {
  pair.client.advance(retransmitMs);
  const requests = pair.client.take();
  pair.responder.forgetInit();
  pair.responder.receive(...requests);
  talk(pair);
}
