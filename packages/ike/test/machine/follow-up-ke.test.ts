import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify } from '../../src/machine/pick.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { hybridConfig } from '../../testkit/world.ts';

const { ikeProposals, childProposals } = hybridConfig;
const hybrid = { ikeProposals, childProposals };
const quiet = { ...hybridConfig, dpdMs: 0 };
const firstChild = ({ client }: Pair): number => client.sa.children[0]!.spiIn;

/*
 * HDR(CREATE_CHILD_SA), SK { N(REKEY_SA), SA, Ni, KEi(0), TSi, TSr } -->
 *     <-- HDR(CREATE_CHILD_SA), SK { SA, Nr, KEr(0), TSi, TSr, N(ADDITIONAL_KEY_EXCHANGE)(link1) }
 * HDR(IKE_FOLLOWUP_KE), SK { KEi(1), N(ADDITIONAL_KEY_EXCHANGE)(link1) } --> <-- HDR(IKE_FOLLOWUP_KE), SK { KEr(1) }
 */
suite('rekeys with additional key exchanges (RFC 9370 §2.2.4)', () => {
  test('a CHILD_SA, by us', () => {
    const pair = established(hybridConfig, hybrid);
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 request 3: N16393 SA NONCE KE TSi TSr');
    toClient(pair);
    assert.equal(pair.client.count('install-child'), 1, 'nothing is made before the last exchange');
    toResponder(pair);
    assert.equal(lastHeard(pair), '44 request 4: KE N16441');
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('the IKE SA, by us', () => {
    const pair = established(hybridConfig, hybrid);
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    assert.equal(pair.responder.heard.filter(({ header }) => header.exchange === 44).length, 1);
    assert.match(pair.client.last('rekeyed')!.facts.ikeSuite, /ML-KEM-768/);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('a CHILD_SA, by the peer', () => {
    const pair = established(hybridConfig, hybrid);
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    talk(pair);
    assert.equal(pair.client.count('install-child'), 2);
    assertSameChildren(pair, 1);
  });

  test('the IKE SA, by the peer', () => {
    const pair = established(hybridConfig, hybrid);
    const before = pair.client.sa.associations[0]!.spiI;
    pair.responder.rekeyIke();
    talk(pair);
    assertSameIke(pair);
    assert.notDeepEqual(pair.client.sa.associations.find(({ role }) => role === 'current')!.spiI, before);
    assert.match(pair.client.last('rekeyed')!.facts.ikeSuite, /ML-KEM-768/);
    assertSameChildren(pair);
  });

  test('several of them, both ways', () => {
    const more = { ...hybrid, childProposals: [{ ...childProposals[1]!, additionalKe: [[36], [37], [19]] }] };
    const pair = established({ ...hybridConfig, childProposals: more.childProposals }, more);
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    talk(pair);
    assert.equal(pair.responder.heard.filter(({ header }) => header.exchange === 44).length, 3);
    assertSameChildren(pair, 1);
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    talk(pair);
    assertSameChildren(pair, 2);
  });

  test('with a peer that has none, they are not offered', () => {
    const pair = established(hybridConfig);
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    toResponder(pair);
    const sa = pair.responder.heard.at(-1)!.payloads.find(({ kind }) => kind === 'SA');
    assert.ok(sa?.kind === 'SA' && sa.proposals.every(({ transforms }) => transforms.every(({ type }) => type < 6)));
    talk(pair);
    assertSameChildren(pair, 1);
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    assertSameIke(pair);
  });

  test('both at once: each side tries again, and one rekey comes of it', () => {
    const pair = established(quiet, hybrid);
    const [child] = pair.responder.children.values();
    pair.responder.rekeyChild(child!);
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    talk(pair);
    assertSameChildren(pair, pair.client.sa.children.filter(({ stage }) => stage.name === 'lingering').length);
    pair.client.advance(16_000);
    talk(pair);
    assert.ok(pair.client.count('install-child') >= 2);
    assertSameChildren(pair, pair.client.sa.children.filter(({ stage }) => stage.name === 'lingering').length);
  });

  test('both rekey the IKE SA at once', () => {
    const pair = established(quiet, hybrid);
    pair.responder.rekeyIke();
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    pair.client.advance(16_000);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assertSameIke(pair);
  });
});

suite('IKE_FOLLOWUP_KE: what goes wrong', () => {
  const during = (exchange: number, change: (payloads: readonly Payload[]) => readonly Payload[]) => ({
    ...hybrid,
    impair: (payloads: readonly Payload[], { header }: Message) => (header.exchange === exchange ? change(payloads) : payloads),
  });

  // RFC 9370 §2.2.4: the responder has lost the state; the rekey begins anew.
  test('STATE_NOT_FOUND: the old pair stays, and the rekey is tried again', () => {
    const pair = established(
      quiet,
      during(44, () => [notify(47)]),
    );
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    for (let i = 0; i < 2; i++) {
      talk(pair);
      assert.equal(pair.client.phase, 'open');
      assert.equal(pair.client.children.size, 1);
      pair.client.advance(15_000);
    }
    delete pair.responder.options.impair;
    talk(pair);
    pair.client.advance(15_000);
    talk(pair);
    assert.equal(pair.client.count('install-child'), 2);
  });

  for (const what of ['rekey-child', 'rekey-ike'] as const)
    test(`STATE_NOT_FOUND again and again: the IKE SA is deleted (${what})`, () => {
      const pair = established(
        quiet,
        // The peer itself does not know what it is asked to go on with.
        during(36, (payloads) =>
          payloads.map((p) => (p.kind === 'N' && p.type === 16441 ? notify(16441, new Uint8Array(8)) : p)),
        ),
      );
      pair.client.step(what === 'rekey-ike' ? { kind: what } : { kind: what, spiIn: firstChild(pair) });
      for (let i = 0; i < 3; i++) {
        assert.equal(pair.client.end, undefined);
        talk(pair);
        pair.client.advance(15_000);
      }
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.ok(pair.responder.closed);
      assert.equal(pair.responder.heard.filter(({ header }) => header.exchange === 44).length, 3);
    });

  test('an answer without link: refused, like any other rekey', () => {
    const strip = (payloads: readonly Payload[]) => payloads.filter((p) => p.kind !== 'N' || p.type !== 16441);
    const pair = established(quiet, during(36, strip));
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.children.size, 1);
    assert.ok(!pair.responder.heard.some(({ header }) => header.exchange === 44));
  });

  for (const what of ['rekey-child', 'rekey-ike'] as const)
    test(`a ciphertext that cannot be one: the IKE SA ends, and the peer hears of it (${what})`, () => {
      const pair = established(
        quiet,
        during(44, (payloads) => payloads.map((p) => (p.kind === 'KE' ? { ...p, data: p.data.subarray(1) } : p))),
      );
      pair.client.step(what === 'rekey-ike' ? { kind: what } : { kind: what, spiIn: firstChild(pair) });
      talk(pair);
      pair.client.advance(2000);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.equal(pair.responder.heard.at(-1)!.header.exchange, 37);
      assert.match(JSON.stringify(pair.responder.heard.at(-1)!.payloads), /"kind":"D","protocol":1/);
    });

  test('a request with a link that nobody gave, or out of the blue: STATE_NOT_FOUND', () => {
    const pair = established(quiet, hybrid);
    const { publicValue } = pair.responderCrypto.generateKeyPair(36);
    let answer: Message | undefined;
    pair.responder.request(44, [{ kind: 'KE', group: 36, data: publicValue }, notify(16441, new Uint8Array(16))], (message) => {
      answer = message;
    });
    talk(pair);
    assert.deepEqual(
      answer!.payloads.map((payload) => payload.kind === 'N' && payload.type),
      [47],
    );
    assert.equal(pair.client.phase, 'open');
  });

  test('a rekey of the peer that is not gone on with is forgotten, and its secret overwritten', () => {
    const pair = established(quiet, hybrid);
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    toClient(pair);
    const pending = pair.client.sa.peerFollowUp!;
    assert.ok(pending.rekey.sharedSecret!.some((octet) => octet !== 0));
    pair.client.take();
    pair.client.advance(21_000);
    assert.equal(pair.client.sa.peerFollowUp, undefined);
    assert.ok(pending.rekey.sharedSecret!.every((octet) => octet === 0));
  });
});
