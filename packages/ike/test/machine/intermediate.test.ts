import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify } from '../../src/machine/pick.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe, lastHeard } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import { certificateConfig, eapConfig, hybridConfig } from '../../testkit/world.ts';

const { ikeProposals, childProposals } = hybridConfig;
const hybrid = { ikeProposals, childProposals };

/*
 * HDR(IKE_SA_INIT), SAi1(.. ADDKE1..), KEi(0), Ni, N(INTERMEDIATE_EXCHANGE_SUPPORTED) -->
 *     <-- HDR(IKE_SA_INIT), SAr1(.. ADDKE1 ..), KEr(0), Nr, N(INTERMEDIATE_EXCHANGE_SUPPORTED)
 * HDR(IKE_INTERMEDIATE), SK { KEi(1) } --> <-- HDR(IKE_INTERMEDIATE), SK { KEr(1) }
 * HDR(IKE_AUTH), SK { IDi, AUTH, .. }  --> <-- HDR(IKE_AUTH), SK { IDr, AUTH, .. }
 */
suite('IKE_INTERMEDIATE with ML-KEM-768 (RFC 9242, RFC 9370)', () => {
  test('the exchanges, one message at a time', () => {
    const pair = createPair({ ...hybridConfig, fragmentSize: 700 }, hybrid);
    toResponder(pair);
    assert.match(lastHeard(pair), /^34 request 0: SA KE NONCE .*N16438/);
    toClient(pair);
    assert.equal(pair.client.phase, 'intermediate-await-response');
    // Too long for one datagram: the exchange exists so that fragmentation can be used.
    assert.ok(pair.client.sent.length > 1);
    toResponder(pair);
    assert.equal(lastHeard(pair), '43 request 1: KE');
    toClient(pair);
    toResponder(pair);
    assert.match(lastHeard(pair), /^35 request 2: IDi/);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.match(pair.client.last('established')!.facts.ikeSuite, /X25519 \+ ML-KEM-768$/);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('with EAP, whose AUTH payloads cover it too', () => {
    const pair = established({ ...eapConfig, ikeProposals }, hybrid);
    assert.match(pair.client.last('established')!.facts.ikeSuite, /ML-KEM-768/);
    assertSameIke(pair);
  });

  test('several of them', () => {
    const several = [{ ...certificateConfig.ikeProposals[0]!, additionalKe: [[36], [37], [19, 0]] }];
    const pair = established({ ...certificateConfig, ikeProposals: several }, { ikeProposals: several });
    assert.match(pair.client.last('established')!.facts.ikeSuite, /X25519 \+ ML-KEM-768 \+ ML-KEM-1024 \+ ECP256$/);
    assert.equal(pair.responder.heard.filter(({ header }) => header.exchange === 43).length, 3);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('without fragmentation', () => {
    const pair = established({ ...hybridConfig, fragmentation: false }, { ...hybrid, fragmentation: false });
    assert.match(pair.client.last('established')!.facts.ikeSuite, /ML-KEM-768/);
  });

  test('a lost answer: the same request again, the same answer', () => {
    const pair = createPair(hybridConfig, hybrid);
    toResponder(pair);
    toClient(pair);
    toResponder(pair);
    pair.responder.take();
    pair.client.advance(1500);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assertSameIke(pair);
  });

  test('a gateway that does not know it takes the proposal behind', () => {
    const pair = established(hybridConfig);
    assert.match(pair.client.last('established')!.facts.ikeSuite, /X25519$/);
    assert.ok(!pair.responder.heard.some(({ header }) => header.exchange === 43));
  });

  test('a machine without ML-KEM does not offer it', () => {
    const without = established(hybridConfig, hybrid, (crypto) => ({ ...crypto, canExchange: (group) => group !== 36 }));
    assert.match(without.client.last('established')!.facts.ikeSuite, /X25519$/);
    assert.doesNotMatch(describe(without.responder.heard[0]!), /N16438/);
  });
});

suite('IKE_INTERMEDIATE: what is not accepted', () => {
  const impaired = (change: (payloads: readonly Payload[]) => readonly Payload[], exchange = 43) => ({
    ...hybrid,
    impair: (payloads: readonly Payload[], { header }: Message) => (header.exchange === exchange ? change(payloads) : payloads),
  });

  test('additional key exchanges without N(INTERMEDIATE_EXCHANGE_SUPPORTED)', () => {
    const strip = (payloads: readonly Payload[]) => payloads.filter((p) => p.kind !== 'N' || p.type !== 16438);
    const pair = createPair(hybridConfig, impaired(strip, 34));
    talk(pair);
    pair.client.advance(5000);
    const { end } = pair.client;
    assert.match(JSON.stringify(end), /additional key exchanges without IKE_INTERMEDIATE/);
  });

  for (const [name, change] of Object.entries<(payloads: readonly Payload[]) => readonly Payload[]>({
    'without KE': () => [],
    'with another method': (payloads) => payloads.map((p) => (p.kind === 'KE' ? { ...p, group: 37 } : p)),
    'with a ciphertext of another length': (payloads) =>
      payloads.map((p) => (p.kind === 'KE' ? { ...p, data: p.data.subarray(1) } : p)),
    'with two KE': (payloads) => [...payloads, ...payloads],
    'with an error': () => [notify(7)],
  })) {
    test(`an answer ${name}`, () => {
      const pair = createPair(hybridConfig, impaired(change));
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.ok(!pair.responder.heard.some(({ header }) => header.exchange === 35), 'no IKE_AUTH');
    });
  }

  test('what is not what both have said is found out by AUTH, even when keys agree', () => {
    const change = (intAuth: Uint8Array) => intAuth.map((octet, i) => (i === 40 ? octet ^ 1 : octet));
    const pair = createPair(hybridConfig, { ...hybrid, changeIntAuth: change });
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'gateway-signature' } });
  });

  test('IKE_AUTH instead of the exchange', () => {
    const pair = createPair(hybridConfig, hybrid);
    toResponder(pair);
    toClient(pair);
    const ike = pair.responder.current;
    pair.client.receive(...pair.responder.seal(ike, 35, 1, true, [notify(24)]));
    assert.equal(pair.client.phase, 'intermediate-await-response');
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });
});
