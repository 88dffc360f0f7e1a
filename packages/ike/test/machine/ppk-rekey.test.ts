import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig, NamedPpk } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import { fixedPpkIdentity } from '../../src/machine/ppk.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe, outline } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { certificateConfig, hybridConfig, sharedPpk } from '../../testkit/world.ts';

const ppk = (name: string, key = `the key of ${name}, thirty-two octets`): NamedPpk => ({
  identity: fixedPpkIdentity(encodeUtf8(name)),
  key: encodeUtf8(key),
});
const [today, tomorrow] = [ppk('today'), ppk('tomorrow')];
const begun: IkeSaConfig = { ...certificateConfig, ppk: { ...sharedPpk, required: true } };
const early: ResponderOptions = { ppk: sharedPpk, ppkEarly: true };

/*
 * CREATE_CHILD_SA SK { [N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr, N(PPK_IDENTITY_KEY) (PPK_ID, confirmation) … } -->
 *                                       <-- CREATE_CHILD_SA SK { SA, Nr, [KEr,] TSi, TSr, N(PPK_IDENTITY) (PPK_ID) }
 * CREATE_CHILD_SA SK { SA, Ni, KEi, N(PPK_IDENTITY_KEY) (PPK_ID, confirmation) … } -->
 *                                       <-- CREATE_CHILD_SA SK { SA, Nr, KEr, N(PPK_IDENTITY) (PPK_ID) }
 */
suite('a fresh PPK in CREATE_CHILD_SA (RFC 9867 §3.2)', () => {
  const creates = (pair: Pair, response: boolean): Message[] =>
    pair.responder.heard.filter(({ header }) => header.exchange === 36 && header.response === response);
  const rekeyOurChild = (pair: Pair): void => {
    pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sending[0]! });
    talk(pair);
  };
  const rekeyOurIke = (pair: Pair): void => {
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
  };
  const skD = ({ client }: Pair): Uint8Array => client.sa.associations.find(({ role }) => role === 'current')!.protection!.skD;

  for (const [name, config, options] of [
    ['made with another PPK', begun, early],
    ['made without any', certificateConfig, {}],
    [
      'with additional key exchanges',
      hybridConfig,
      { ikeProposals: hybridConfig.ikeProposals, childProposals: hybridConfig.childProposals },
    ],
  ] as const)
    test(`our rekeys of both kinds use it, on an IKE SA ${name}`, () => {
      const pair = established(config, { ...options, freshPpks: [today] });
      pair.client.step({ kind: 'fresh-ppk', ppk: today });
      rekeyOurChild(pair);
      assert.match(describe(creates(pair, false).at(-1)!), /N16393 SA NONCE KE TSi TSr N16446$/);
      assertSameChildren(pair, 1);
      rekeyOurIke(pair);
      assert.match(describe(creates(pair, false).at(-1)!), /SA NONCE KE N16446$/);
      assertSameIke(pair);
      assert.match(pair.client.last('rekeyed')!.facts.authentication, /with PPK$/);
      rekeyOurChild(pair);
      assert.doesNotMatch(describe(creates(pair, false).at(-1)!), /N16446/, 'the IKE SA has it now, and hands it on');
      assertSameChildren(pair, 2);
      pair.client.step({ kind: 'fresh-ppk', ppk: tomorrow });
      rekeyOurIke(pair);
      assert.match(describe(creates(pair, false).at(-1)!), /N16446/);
      assertSameIke(pair);
    });

  test('what the gateway does not have is left out, for both, and offered again the next time', () => {
    for (const freshPpks of [[], [ppk('today', 'another key by that name')], [tomorrow]]) {
      const pair = established(begun, { ...early, freshPpks });
      pair.client.step({ kind: 'fresh-ppk', ppk: today });
      rekeyOurChild(pair);
      assertSameChildren(pair, 1);
      rekeyOurIke(pair);
      assertSameIke(pair);
      rekeyOurIke(pair);
      assert.equal(creates(pair, false).filter((request) => outline(request.payloads).includes('N16446')).length, 3);
      assertSameIke(pair);
    }
  });

  for (const [name, config, options] of [
    ['one exchange', begun, early],
    ['several exchanges', hybridConfig, { ikeProposals: hybridConfig.ikeProposals, childProposals: hybridConfig.childProposals }],
  ] as const)
    test(`the gateway's rekeys use it: of several that it offers the one that we have; in ${name}`, () => {
      const pair = established(config, { ...options, freshPpks: [tomorrow, today], offersPpks: true });
      pair.client.step({ kind: 'fresh-ppk', ppk: today });
      pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
      talk(pair);
      assertSameChildren(pair, 1);
      pair.responder.rekeyIke();
      talk(pair);
      assertSameIke(pair);
      const answers = creates(pair, true).map(({ payloads }) => outline(payloads));
      assert.ok(answers.length === 2 && answers.every((answer) => /KE (TSi TSr )?N16436/.test(answer)), answers.join('; '));
    });

  test('the PPK that the IKE SA was made with is known as well, should the gateway offer that', () => {
    const pair = established(begun, { ...early, freshPpks: [sharedPpk], offersPpks: true });
    const before = skD(pair).slice();
    pair.responder.rekeyIke();
    talk(pair);
    assert.match(outline(creates(pair, true)[0]!.payloads), /N16436/);
    assertSameIke(pair);
    assert.notDeepEqual(skD(pair), before);
  });

  test('one that we do not have, or have with another key, is not named in our answer', () => {
    for (const freshPpk of [tomorrow, ppk('today', 'another key by that name')]) {
      const pair = established(begun, { ...early, freshPpks: [freshPpk], offersPpks: true });
      pair.client.step({ kind: 'fresh-ppk', ppk: today });
      pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
      talk(pair);
      pair.responder.rekeyIke();
      talk(pair);
      assert.doesNotMatch(
        creates(pair, true)
          .map(({ payloads }) => outline(payloads))
          .join(),
        /N16436/,
      );
      assertSameChildren(pair, 1);
      assertSameIke(pair);
    }
  });

  test('offers that are too short, empty or for nobody do no harm', () => {
    const pair = established(begun, early);
    const { responder } = pair;
    const request = responder.request.bind(responder);
    const offers = [0, 1, 7, 8, 9].map((length) => notify(16446, new Uint8Array(length)));
    responder.request = (exchange, payloads, ...rest) =>
      request(
        exchange,
        exchange === 36 ? [...payloads, ...offers, notify(16446, concat(today.identity, new Uint8Array(8)))] : payloads,
        ...rest,
      );
    responder.rekeyIke();
    talk(pair);
    assertSameIke(pair);
  });

  for (const [name, offered, change] of [
    ['names another PPK than ours', true, (payloads: readonly Payload[]) => [...payloads, notify(16436, tomorrow.identity)]],
    [
      'names a PPK although none was offered',
      false,
      (payloads: readonly Payload[]) => [...payloads, notify(16436, today.identity)],
    ],
  ] as const) {
    const options: ResponderOptions = {
      ...early,
      impair: (payloads, { header }) =>
        header.exchange === 36 && payloads.some(({ kind }) => kind === 'SA') ? change(payloads) : payloads,
    };
    test(`an answer that ${name}: a CHILD_SA is deleted again and the old one stays`, () => {
      const pair = established(begun, options);
      if (offered) pair.client.step({ kind: 'fresh-ppk', ppk: today });
      const before = pair.client.sending[0]!;
      rekeyOurChild(pair);
      assert.deepEqual(pair.client.sending, [before]);
      assert.equal(pair.client.phase, 'open');
      assert.equal(pair.responder.children.size, 1);
    });

    test(`an answer that ${name}: an IKE SA with keys that we do not know is the end`, () => {
      const pair = established(begun, options);
      if (offered) pair.client.step({ kind: 'fresh-ppk', ppk: today });
      rekeyOurIke(pair);
      assert.equal(pair.client.end?.kind, 'failed');
    });
  }

  test('both rekey at once, each with it: one stays, with the same keys on both sides', () => {
    for (let i = 0; i < 8; i++) {
      const pair = established({ ...begun, dpdMs: 0 }, { ...early, freshPpks: [today], offersPpks: true });
      pair.client.step({ kind: 'fresh-ppk', ppk: today });
      pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sending[0]! });
      pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
      talk(pair);
      pair.client.advance(10_000);
      talk(pair);
      assertSameChildren(pair);
      pair.client.step({ kind: 'rekey-ike' });
      pair.responder.rekeyIke();
      talk(pair);
      assertSameIke(pair);
    }
  });

  test('a lost answer: the same request again, and the same keys', () => {
    const pair = established(begun, { ...early, freshPpks: [today] });
    pair.client.step({ kind: 'fresh-ppk', ppk: today });
    pair.client.step({ kind: 'rekey-ike' });
    toResponder(pair);
    pair.responder.take();
    pair.client.advance(1500);
    toResponder(pair);
    toClient(pair);
    talk(pair);
    assertSameIke(pair);
  });
});
